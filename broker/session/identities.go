package session

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/rolegate/rolegate/broker"
)

// Recorded returns the last sign-ins of the people that user matches (username,
// e-mail or subject id; "" for all), for explain and diff.
func Recorded(ctx context.Context, store broker.IdentityStore, sealer broker.Sealer, user string) ([]broker.Identity, error) {
	rows, err := store.FindIdentities(ctx, strings.ToLower(user))
	if err != nil {
		return nil, err
	}
	out := make([]broker.Identity, 0, len(rows))
	for _, row := range rows {
		plain, err := sealer.Open(row.Body, "identity/"+row.Subject.String())
		if err != nil {
			return nil, fmt.Errorf("broker: open identity of %s: %w", row.Subject, err)
		}
		var id broker.Identity
		if err := json.Unmarshal(plain, &id); err != nil {
			return nil, fmt.Errorf("broker: decode identity: %w", err)
		}
		out = append(out, id)
	}
	return out, nil
}
