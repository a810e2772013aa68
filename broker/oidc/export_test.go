package oidc

import (
	"context"

	"golang.org/x/oauth2"

	"github.com/rolegate/rolegate/broker"
)

// Flatten is for the fuzz target.
func Flatten(raw []byte) (broker.Claims, broker.Unreadable, error) { return flatten(raw) }

// Verify is for the benchmark: the whole check of an ID token, without the code.
func (rp *RelyingParty) Verify(ctx context.Context, raw string) (broker.Claims, error) {
	op, err := rp.current(ctx)
	if err != nil {
		return nil, err
	}
	t, err := rp.verify(ctx, op, (&oauth2.Token{AccessToken: "at-1"}).WithExtra(map[string]any{"id_token": raw}))
	return t.claims, err
}
