package admin

import (
	"encoding/csv"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/rolegate/rolegate/broker"
	"github.com/rolegate/rolegate/broker/admin"
	"github.com/rolegate/rolegate/broker/web/page"
)

// AuditPage searches the audit log.
type AuditPage struct {
	page.Meta
	Who, TraceID, Account string
	Since, Until          string
	Action                broker.Action
	Outcome               broker.Outcome
	Actions               []broker.Action
	Outcomes              []broker.Outcome
	Events                []broker.EventRow
	Problem               string
	Next                  string
	CSV, JSONL            string // where the whole result can be had
}

// Template names the page.
func (AuditPage) Template() string { return "admin-audit" }

func (a *Admin) audit(w http.ResponseWriter, r *http.Request, sess *broker.Session) error {
	q := r.URL.Query()
	out := AuditPage{
		Meta: a.meta(sess, "Audit"), Who: strings.TrimSpace(q.Get("person")), TraceID: strings.TrimSpace(q.Get("trace")),
		Account: strings.TrimSpace(q.Get("account")), Since: q.Get("since"), Until: q.Get("until"),
		Action: broker.Action(q.Get("action")), Outcome: broker.Outcome(q.Get("outcome")),
		Actions: broker.Actions(), Outcomes: []broker.Outcome{broker.OutcomeOK, broker.OutcomeRefused, broker.OutcomeFailed},
	}
	query, err := auditQuery(q)
	if broker.CodeOf(err) == broker.CodeInvalid {
		out.Problem = broker.Message(err)
		return a.render(w, out)
	}
	if err != nil {
		return err
	}
	query.Limit = perPage + 1
	if out.Events, err = a.c.Admin.Audit(r.Context(), sess, query); err != nil {
		return err
	}
	link := func(path, key, value string) string {
		next := maps.Clone(q)
		next.Set(key, value)
		return path + "?" + next.Encode()
	}
	if len(out.Events) > perPage {
		out.Events = out.Events[:perPage]
		out.Next = link("/admin/audit", "before", out.Events[perPage-1].ID)
	}
	out.CSV, out.JSONL = link("/admin/audit/export", "format", "csv"), link("/admin/audit/export", "format", "jsonl")
	return a.render(w, out)
}

// auditQuery reads the search form. CodeInvalid with what is wrong.
func auditQuery(q url.Values) (admin.AuditQuery, error) {
	out := admin.AuditQuery{Person: strings.TrimSpace(q.Get("person")), EventQuery: broker.EventQuery{
		Action: broker.Action(q.Get("action")), Outcome: broker.Outcome(q.Get("outcome")), TraceID: strings.TrimSpace(q.Get("trace")),
		Account: broker.AccountID(strings.TrimSpace(q.Get("account"))), Before: q.Get("before"),
	}}
	for _, values := range q {
		if err := fields(values...); err != nil {
			return out, err
		}
	}
	var err error
	if out.Since, err = moment(q.Get("since")); err != nil {
		return out, err
	}
	out.Until, err = moment(q.Get("until"))
	return out, err
}

// moment reads a time in UTC as browsers and people write it.
func moment(s string) (time.Time, error) {
	if s == "" {
		return time.Time{}, nil
	}
	for _, layout := range []string{"2006-01-02T15:04", "2006-01-02T15:04:05", "2006-01-02 15:04", "2006-01-02", time.RFC3339} {
		if t, err := time.Parse(layout, s); err == nil {
			return t, nil
		}
	}
	return time.Time{}, broker.Errorf(broker.CodeInvalid, "A time is written like 2026-11-24 09:00, in UTC.")
}

// export sends the whole result as a file. An error after the first row can
// only break the connection off, so that nobody takes half a file for a whole.
func (a *Admin) export(w http.ResponseWriter, r *http.Request, sess *broker.Session) error {
	q := r.URL.Query()
	query, err := auditQuery(q)
	if err != nil {
		return err
	}
	write, contentType := jsonLines(w), "application/jsonl"
	switch q.Get("format") {
	case "jsonl":
	case "csv":
		write, contentType = commaSeparated(w), "text/csv; charset=utf-8"
	default:
		return broker.Errorf(broker.CodeInvalid, "The format is csv or jsonl.")
	}
	begun := false
	begin := func() {
		h := w.Header()
		h.Set("Content-Type", contentType)
		h.Set("Content-Disposition", `attachment; filename="rolegate-events.`+q.Get("format")+`"`)
		h.Set("Cache-Control", "no-store")
		begun = true
	}
	err = a.c.Admin.Export(r.Context(), sess, query, func(e broker.EventRow) error {
		if !begun {
			begin()
		}
		return write(e)
	})
	if err != nil && begun {
		panic(http.ErrAbortHandler)
	}
	if err == nil && !begun {
		begin()
	}
	return err
}

func jsonLines(w io.Writer) func(broker.EventRow) error {
	enc := json.NewEncoder(w)
	return func(e broker.EventRow) error { return enc.Encode(e) }
}

// commaSeparated writes a heading before the first row.
func commaSeparated(w io.Writer) func(broker.EventRow) error {
	c, headed := csv.NewWriter(w), false
	return func(e broker.EventRow) error {
		if !headed {
			headed = true
			if err := c.Write([]string{"id", "time", "action", "outcome", "code", "provider", "subject", "username", "target", "request_id", "trace_id", "remote", "detail"}); err != nil {
				return err
			}
		}
		var detail []string
		for _, k := range slices.Sorted(maps.Keys(e.Detail)) {
			detail = append(detail, k+"="+e.Detail[k])
		}
		row := []string{
			e.ID, e.Time.UTC().Format(time.RFC3339Nano), string(e.Action), string(e.Outcome), string(e.Code), string(e.Actor.Provider), e.Actor.ID,
			e.Username, e.Target, e.RequestID, e.TraceID, e.Remote, strings.Join(detail, "; "),
		}
		for i := range row {
			row[i] = cell(row[i])
		}
		if err := c.Write(row); err != nil {
			return err
		}
		c.Flush()
		return c.Error()
	}
}

// cell keeps spreadsheets from taking a value for a formula: an attacker
// chooses user names and addresses, and an administrator opens the file.
func cell(s string) string {
	if s != "" && strings.ContainsRune("=+-@\t\r\n", rune(s[0])) {
		return "'" + s
	}
	return s
}
