package oidc

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"

	"golang.org/x/oauth2"

	"github.com/rolegate/rolegate/broker"
)

// sent is what a provider says of a person.
type sent struct {
	claims broker.Claims
	odd    broker.Unreadable // left out of claims
}

// under lays s under what counts more: a claim of the stronger one that cannot
// be read is not replaced by one of the weaker.
func (s sent) under(strong sent) sent {
	out := sent{maps.Clone(s.claims), maps.Clone(s.odd)}
	// Whether an address is verified is said of one's own (OpenID Connect core
	// 5.1), so the pair stays together.
	own, theirs := strong.claims["email"], out.claims["email"]
	if _, odd := strong.odd["email"]; odd || own != nil && !slices.Equal(own, theirs) {
		out.forget("email_verified", "xms_edov")
	} else if own == nil && theirs != nil {
		strong = sent{maps.Clone(strong.claims), maps.Clone(strong.odd)}
		strong.forget("email_verified", "xms_edov")
	}
	for name, why := range strong.odd {
		delete(out.claims, name)
		out.odd[name] = why
		if strings.HasSuffix(name, ".") {
			maps.DeleteFunc(out.claims, func(k string, _ []string) bool { return strings.HasPrefix(k, name) })
		}
	}
	for name, v := range strong.claims {
		delete(out.odd, name)
		out.claims[name] = v
	}
	return out
}

func (s sent) forget(names ...string) {
	for _, n := range names {
		delete(s.claims, n)
		delete(s.odd, n)
	}
}

// said lists what was left out, for the trace; an object was not, as its members
// are claims.
func (s sent) said() (n int, text string) {
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(s.odd)) {
		if why := s.odd[name]; why != isObject && !strings.HasSuffix(name, ".") {
			parts = append(parts, fmt.Sprintf("%.80q is %s", name, why))
		}
	}
	return len(parts), strings.Join(parts, ", ")
}

// signedUserInfo returns what a signed answer says (OpenID Connect core 5.3.2),
// which is not JSON but a JWT, and another one as it is.
func (rp *RelyingParty) signedUserInfo(ctx context.Context, body []byte) ([]byte, error) {
	raw := strings.TrimSpace(string(body))
	if strings.HasPrefix(raw, "{") || strings.Count(raw, ".") != 2 {
		return body, nil
	}
	payload, err := rp.keys.verify(ctx, raw, typeID)
	if errors.Is(err, errFetch) {
		return nil, rp.unavailable(err)
	}
	if err != nil {
		return nil, rp.refused(fmt.Errorf("userinfo: %w", err))
	}
	claims, odd, err := flatten(payload)
	if err != nil {
		return nil, rp.refused(fmt.Errorf("userinfo: %w", err))
	}
	issuer, err := one(claims, "iss")
	if err != nil || issuer != rp.c.Issuer || !slices.Contains(claims["aud"], rp.c.ClientID) || odd["aud"] != "" {
		return nil, rp.refused(errors.New("userinfo: signed by the provider, and not for us"))
	}
	return payload, nil
}

// withUserInfo lays the userinfo claims under the token's (OpenID Connect core
// 5.3): userinfo adds, the signed token wins.
func (rp *RelyingParty) withUserInfo(ctx context.Context, op *provider, tok *oauth2.Token, id idToken) (sent, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, op.UserInfo, nil)
	if err != nil {
		return sent{}, fmt.Errorf("oidc: userinfo: %w", err)
	}
	req.Header.Set("Authorization", "Bearer "+tok.AccessToken)
	status, body, err := rp.call(req)
	switch {
	case err != nil:
		return sent{}, rp.unavailable(fmt.Errorf("userinfo: %w", err))
	case status >= 400 && status < 500 && status != http.StatusTooManyRequests:
		return sent{}, rp.refused(fmt.Errorf("userinfo: status %d", status))
	case status != http.StatusOK:
		return sent{}, rp.unavailable(fmt.Errorf("userinfo: status %d", status))
	}
	if body, err = rp.signedUserInfo(ctx, body); err != nil {
		return sent{}, err
	}
	var out sent
	if out.claims, out.odd, err = flatten(body); err != nil {
		return sent{}, rp.refused(fmt.Errorf("userinfo: %w", err))
	}
	// Its sub is a string (5.3.2): flatten would take a number or a list of one
	// for it as well.
	var members map[string]json.RawMessage
	var sub string
	if json.Unmarshal(body, &members) != nil || json.Unmarshal(members["sub"], &sub) != nil || sub != id.subject {
		return sent{}, rp.refused(errors.New("userinfo is about somebody else"))
	}
	return out.under(sent{id.claims, id.odd}), nil
}
