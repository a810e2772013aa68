package admin

import (
	"errors"
	"io"
	"mime"
	"net/http"

	"github.com/rolegate/rolegate/broker"
	"github.com/rolegate/rolegate/broker/web/page"
)

// maxChanges bounds the list of changes on the page.
const maxChanges = 300

// SimulatePage asks for a configuration and shows what it would change.
type SimulatePage struct {
	page.Meta
	Done      bool
	Candidate string
	Simulation
	Gained, Lost, Changed int
	More                  int // changes left out
}

// Template names the page.
func (SimulatePage) Template() string { return "admin-simulate" }

func (a *Admin) askSimulate(w http.ResponseWriter, _ *http.Request, sess *broker.Session) error {
	return a.render(w, SimulatePage{Meta: a.meta(sess, "Simulate a change")})
}

func (a *Admin) simulate(w http.ResponseWriter, r *http.Request, sess *broker.Session) error {
	candidate, err := readCandidate(r)
	if err != nil {
		return err
	}
	people, err := a.c.Admin.Everybody(r.Context(), sess)
	if err != nil {
		return err
	}
	done, err := a.c.Simulate(r.Context(), candidate, people)
	if err != nil {
		return err
	}
	out := SimulatePage{Meta: a.meta(sess, "Simulate a change"), Done: true, Candidate: string(candidate), Simulation: done}
	for _, c := range done.Changes {
		switch c.Kind {
		case "gained":
			out.Gained++
		case "lost":
			out.Lost++
		default:
			out.Changed++
		}
	}
	if n := len(out.Changes); n > maxChanges {
		out.Changes, out.More = out.Changes[:maxChanges], n-maxChanges
	}
	return a.render(w, out)
}

// readCandidate returns the chosen file, or else what was pasted. The body is
// bounded, so all of it stays in memory.
func readCandidate(r *http.Request) ([]byte, error) {
	unreadable := broker.Errorf(broker.CodeInvalid, "The configuration cannot be read.").Fix("Paste the whole text, or choose the file.")
	t, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err == nil && t == "multipart/form-data" {
		if err := r.ParseMultipartForm(2 << 20); err != nil {
			return nil, unreadable.Because(err)
		}
		f, _, err := r.FormFile("file")
		if err == nil {
			b, err := io.ReadAll(f)
			if err = errors.Join(err, f.Close()); err != nil {
				return nil, unreadable.Because(err)
			}
			if len(b) > 0 {
				return b, nil
			}
		}
	}
	if text := r.PostFormValue("candidate"); text != "" {
		return []byte(text), nil
	}
	return nil, unreadable
}
