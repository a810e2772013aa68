package portal

import (
	"net/http"

	"github.com/rolegate/rolegate/broker"
	"github.com/rolegate/rolegate/broker/access"
	"github.com/rolegate/rolegate/broker/web/cookie"
	"github.com/rolegate/rolegate/broker/web/door"
)

// shelf lists favourites and what was used often and lately; empty lists are
// left out.
func (p *Portal) shelf(s access.AtHand, region string) []ShelfView {
	var out []ShelfView
	for _, l := range []struct {
		id, name string
		marked   bool
		as       []broker.Assignment
	}{
		{"favourites", "Favourites", true, s.Favourites},
		{"recent", "Used lately", false, s.Recent},
	} {
		if len(l.as) == 0 {
			continue
		}
		v := ShelfView{ID: l.id, Name: l.name}
		for i := range l.as {
			v.Roles = append(v.Roles, ShelfRole{newRoleView(&l.as[i]), p.accountIn(l.as[i].Account, region), l.marked})
		}
		out = append(out, v)
	}
	return out
}

// mark answers the star of a row. The script wants no page back.
func (p *Portal) mark(w http.ResponseWriter, r *http.Request, sess *broker.Session) error {
	id, on := r.PostFormValue("assignment"), r.PostFormValue("on") == "1"
	if err := fields(id); err != nil {
		return err
	}
	as, err := p.c.Access.Assignments(r.Context(), sess)
	if err != nil {
		return err
	}
	if err := p.c.Favourites.Mark(r.Context(), sess, as, broker.AssignmentID(id), on); err != nil {
		return err
	}
	if r.Header.Get("X-Requested-With") == "fetch" {
		w.Header().Set("Cache-Control", "no-store")
		w.WriteHeader(http.StatusNoContent)
		return nil
	}
	to, _ := cookie.SplitEntry(broker.LocalPath(r.PostFormValue("return_to")))
	door.SeeOther(w, to)
	return nil
}
