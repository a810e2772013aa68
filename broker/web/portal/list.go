package portal

import (
	"html/template"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/rolegate/rolegate/broker"
	"github.com/rolegate/rolegate/broker/access"
	"github.com/rolegate/rolegate/broker/web/page"
)

// pageSize is how many roles one page lists. It bounds the cost of a page for
// people with thousands of them; they search.
const pageSize = 50

// ListPage is accounts and roles.
type ListPage struct {
	page.Meta
	Query        string
	Destinations []Destination
	Regions      []template.HTML // the options of each partition
	Destination  string          // chosen
	Region       string          // chosen
	Picked       bool            // a destination or a region is chosen
	GroupKeys    []string        // labels to group by
	GroupBy      string          // chosen, "" for accounts alone
	Shelf        []ShelfView
	Groups       []GroupView
	Roles        int // found
	Total        int // without search
	First, Last  int // of those found, from 1
	Previous     string
	Next         string
	Here         string  // this page, to come back to; "" for the plain one
	Notice       *Notice // to enrol a second factor
}

// Template names the page.
func (ListPage) Template() string { return "portal" }

// Complete reports whether all of the person's roles are on the page, so that
// the script can search without the server.
func (p ListPage) Complete() bool { return p.Last-p.First+1 == p.Total }

// GroupView is the accounts that share a label, or all of them.
type GroupView struct {
	Name     string // "" when nothing was grouped
	Accounts []AccountView
}

// ShelfView is a list of roles at hand.
type ShelfView struct {
	ID, Name string
	Roles    []ShelfRole
}

// ShelfRole is a role away from its account's list.
type ShelfRole struct {
	RoleView
	Account AccountView
	Marked  bool
}

// AccountView is an account with the roles that are on this page.
type AccountView struct {
	ID        broker.AccountID
	Name      string
	Partition broker.Partition // only where it is not "aws"
	Color     string
	Warning   string
	Labels    string
	Region    string // chosen, if this partition has it
	Roles     []RoleView
}

// RoleView is one row.
type RoleView struct {
	ID          string
	Role        string
	Description string
	Terms       string // how long, and what the sign-in must prove
	Label       string // role and account, for who cannot see the row
	Marked      bool   // a favourite
}

// NoRolesPage says why somebody who signed in has nothing.
type NoRolesPage struct {
	page.Meta
	Username string
	Groups   []string
	Missing  []string // groups that would give something
	Rules    int
}

// Template names the page.
func (NoRolesPage) Template() string { return "noroles" }

func (p *Portal) list(w http.ResponseWriter, r *http.Request, sess *broker.Session) error {
	as, err := p.c.Access.Assignments(r.Context(), sess)
	if err != nil {
		return err
	}
	if len(as) == 0 {
		return p.noRoles(w, r, sess)
	}
	shelf, err := p.c.Favourites.Of(r.Context(), sess, as)
	if err != nil {
		return err
	}
	out := p.NewListPage(sess, as, shelf, r.URL.Query())
	if out.Notice, err = p.notice(r, sess); err != nil {
		return err
	}
	return p.c.Pages.Render(w, http.StatusOK, out)
}

// NewListPage selects the rows that the query (q, page, group, destination,
// region) asks for.
func (p *Portal) NewListPage(sess *broker.Session, as []broker.Assignment, shelf access.AtHand, q url.Values) ListPage {
	out := ListPage{
		Meta: p.meta(sess, "Accounts and roles", "portal"), Query: q.Get("q"), Total: len(as),
		Destinations: p.c.Destinations,
	}
	for _, d := range p.c.Destinations {
		if d.Path == q.Get("destination") {
			out.Destination = d.Path
		}
	}
	if len(out.Query) > maxQuery {
		out.Query = ""
	}
	out.GroupKeys = labelKeys(as)
	if by := q.Get("group"); slices.Contains(out.GroupKeys, by) {
		out.GroupBy = by
		as = byLabel(as, by)
	}
	found := matcher{terms: terms(out.Query)}
	number, err := strconv.Atoi(q.Get("page"))
	if err != nil || number < 1 {
		number = 1
	}
	number = min(number, len(as)/pageSize+1)
	start, partitions := (number-1)*pageSize, []broker.Partition(nil)
	rows := make([]*broker.Assignment, 0, min(pageSize, len(as)))
	for i := range as {
		if !slices.Contains(partitions, as[i].Account.Partition) {
			partitions = append(partitions, as[i].Account.Partition)
		}
		if !found.matches(&as[i]) {
			continue
		}
		if out.Roles >= start && len(rows) < pageSize {
			rows = append(rows, &as[i])
		}
		out.Roles++
	}
	for _, x := range partitions {
		if menu, ok := p.menus[x]; ok {
			out.Regions = append(out.Regions, menu)
		}
		if slices.Contains(p.c.Regions[x], q.Get("region")) {
			out.Region = q.Get("region")
		}
	}
	if len(rows) > 0 {
		out.First, out.Last = start+1, start+len(rows)
	}
	if number > 1 {
		out.Previous = pageLink(q, number-1)
	}
	if start+pageSize < out.Roles {
		out.Next = pageLink(q, number+1)
	}
	known := url.Values{"q": {out.Query}, "group": {out.GroupBy}, "destination": {out.Destination}, "region": {out.Region}}
	if here := pageLink(known, number); here != pageLink(nil, 1) {
		out.Here = here
	}
	out.Picked = out.Destination != "" || out.Region != ""
	marked := make(map[broker.AssignmentID]bool, len(shelf.Favourites))
	for _, a := range shelf.Favourites {
		marked[a.ID] = true
	}
	out.Groups = p.group(rows, out.Region, out.GroupBy, marked)
	if out.Query == "" && number == 1 {
		out.Shelf = p.shelf(shelf, out.Region)
	}
	return out
}

func pageLink(q url.Values, number int) string {
	to := url.Values{"page": {strconv.Itoa(number)}}
	for _, k := range []string{"q", "group", "destination", "region"} {
		if v := q.Get(k); v != "" {
			to.Set(k, v)
		}
	}
	return "/?" + to.Encode()
}

// Colors lists the colours of accounts that the pages know: the style sheet has
// a shade of each that suits light and dark.
func Colors() []string { return []string{"red", "orange", "green", "blue", "purple"} }

func newAccountView(a broker.Account) AccountView {
	v := AccountView{ID: a.ID, Name: a.Name, Warning: a.Warning}
	if a.Partition != broker.PartitionAWS {
		v.Partition = a.Partition
	}
	if slices.Contains(Colors(), a.Color) {
		v.Color = a.Color
	}
	labels := make([]string, 0, len(a.Labels))
	for k, value := range a.Labels {
		labels = append(labels, k+": "+value)
	}
	slices.Sort(labels)
	v.Labels = strings.Join(labels, " · ")
	return v
}

func newRoleView(a *broker.Assignment) RoleView {
	terms := "Up to " + page.Lasts(a.MaxDuration)
	if a.Require.MFA {
		terms += " · needs a second factor"
	}
	if a.Require.MaxAuthAge > 0 {
		terms += " · needs a sign-in of the last " + page.Lasts(a.Require.MaxAuthAge)
	}
	return RoleView{
		ID: string(a.ID), Role: a.Role, Description: a.Description, Terms: terms, Label: a.Role + " in " + a.Account.Name,
	}
}

func (p *Portal) noRoles(w http.ResponseWriter, r *http.Request, sess *broker.Session) error {
	why, err := p.c.Access.Explain(r.Context(), sess)
	if err != nil {
		return err
	}
	out := NoRolesPage{
		Meta: p.meta(sess, "No roles yet", "portal"), Username: sess.Identity.Username, Groups: sess.Identity.Groups, Rules: len(why.Rules),
	}
	for _, rule := range why.Rules {
		for _, g := range rule.Missing {
			if len(out.Missing) < 20 && !slices.Contains(out.Missing, g) {
				out.Missing = append(out.Missing, g)
			}
		}
	}
	return p.c.Pages.Render(w, http.StatusOK, out)
}
