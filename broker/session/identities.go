package session

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/rolegate/rolegate/broker"
)

// Identities keeps each person's last sign-in, sealed, for explain and diff.
type Identities struct {
	Store  broker.IdentityStore
	Sealer broker.Sealer
}

func identityKey(s broker.Subject) string { return "identity/" + s.String() }

// Save keeps the identity of a sign-in at the time at.
func (i Identities) Save(ctx context.Context, id broker.Identity, at time.Time) error {
	plain, err := json.Marshal(id)
	if err != nil {
		return fmt.Errorf("session: encode identity: %w", err)
	}
	sealed, err := i.Sealer.Seal(plain, identityKey(id.Subject))
	if err != nil {
		return fmt.Errorf("session: seal identity: %w", err)
	}
	return i.Store.SaveIdentity(ctx, broker.IdentityRow{
		Subject: id.Subject, Username: strings.ToLower(id.Username), Email: strings.ToLower(id.Email), SeenAt: at, Body: sealed,
	})
}

// Find returns the last sign-ins of the people that user matches (username,
// e-mail or subject id; "" for all).
func (i Identities) Find(ctx context.Context, user string) ([]broker.Identity, error) {
	rows, err := i.Store.FindIdentities(ctx, strings.ToLower(user))
	if err != nil {
		return nil, err
	}
	out := make([]broker.Identity, 0, len(rows))
	for _, row := range rows {
		plain, err := i.Sealer.Open(row.Body, identityKey(row.Subject))
		if err != nil {
			return nil, fmt.Errorf("session: open identity of %s: %w", row.Subject, err)
		}
		var id broker.Identity
		if err := json.Unmarshal(plain, &id); err != nil {
			return nil, fmt.Errorf("session: decode identity: %w", err)
		}
		out = append(out, id)
	}
	return out, nil
}

// Subjects returns those that user names, at most limit.
func (i Identities) Subjects(ctx context.Context, user string, limit int) ([]broker.Subject, error) {
	rows, err := i.Store.FindIdentities(ctx, strings.ToLower(user))
	if err != nil {
		return nil, err
	}
	var out []broker.Subject
	for _, r := range rows[:min(len(rows), limit)] {
		out = append(out, r.Subject)
	}
	return out, nil
}
