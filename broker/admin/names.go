package admin

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"

	"github.com/rolegate/rolegate/broker"
	"github.com/rolegate/rolegate/broker/journal"
	"github.com/rolegate/rolegate/broker/session"
)

// NameReleaser lets names in AWS be somebody else's. It opens no session, so it
// needs no key. All fields are needed.
type NameReleaser struct {
	Names   broker.NameKeeper
	Ender   *session.Ender
	Journal *journal.Journal
}

// Released is a name that was taken from a person.
type Released struct {
	Name     string            `json:"name"`
	Kinds    []broker.NameKind `json:"kinds"`
	Subject  broker.Subject    `json:"subject"`
	Sessions int               `json:"sessions"` // that ended
}

// Holders says whose a name is: one person's, or two's where one of them has had
// it from before names were unique over both kinds. CodeNotFound if nobody's.
func (r NameReleaser) Holders(ctx context.Context, name string) ([]Released, error) {
	var out []Released
	if name == "" {
		return nil, errors.New("admin: holders of an empty name")
	}
	err := r.Names.Names(ctx, name, func(row broker.NameRow) error {
		if !strings.EqualFold(row.Name, name) { // a person of this name has others
			return nil
		}
		i := slices.IndexFunc(out, func(o Released) bool { return o.Subject == row.Subject })
		if i < 0 {
			i, out = len(out), append(out, Released{Name: row.Name, Subject: row.Subject})
		}
		out[i].Kinds = append(out[i].Kinds, row.Kind)
		return nil
	})
	if err == nil && len(out) == 0 {
		err = broker.Errorf(broker.CodeNotFound, "nobody has the name %s in AWS", name)
	}
	return out, err
}

// Release takes a name from whoever has it, with an event for each, and ends
// their sessions, which would go on under the name. by names the operator, detail
// says more of them. No name goes without its event.
func (r NameReleaser) Release(ctx context.Context, by string, detail map[string]string, name string) ([]Released, error) {
	out, err := r.Holders(ctx, name)
	if err != nil {
		return nil, err
	}
	for i, o := range out {
		var kinds []string
		for _, k := range o.Kinds {
			kinds = append(kinds, string(k))
		}
		slices.Sort(kinds)
		d := map[string]string{"holder": o.Subject.String(), "kinds": strings.Join(kinds, " ")}
		maps.Copy(d, detail)
		e := journal.Entry{Action: broker.ActionNameRelease, Username: by, Target: o.Name, Detail: d}
		err := r.Journal.RecordWith(ctx, e, func(ctx context.Context, e broker.Event) error {
			return r.Names.ReleaseName(ctx, o.Name, o.Subject, e)
		})
		if err != nil {
			return out[:i], err
		}
		out[i].Sessions, err = r.Ender.Revoke(ctx, o.Subject, journal.Entry{
			Action: broker.ActionRevoke, Username: by, Target: o.Subject.String(), Detail: detail,
		})
		if err != nil {
			return out[:i+1], err
		}
	}
	return out, nil
}
