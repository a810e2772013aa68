package oidc

import (
	"strings"

	"github.com/rolegate/rolegate/broker"
)

// ProviderStatus is [RelyingParty.Status] in the domain's words.
func (rp *RelyingParty) ProviderStatus() broker.ProviderStatus {
	s := rp.Status()
	return broker.ProviderStatus{
		Kind: "OpenID Connect", Issuer: s.Issuer, Refreshed: s.Refreshed, Standing: s.Standing, LeftOut: s.LeftOut,
		Skew: s.Skew, SkewKnown: s.SkewKnown,
	}
}

// Setup lists what the provider has to be told about us.
func (rp *RelyingParty) Setup() []broker.SetupValue {
	out := []broker.SetupValue{
		{Name: "Redirect URI (callback URL)", Value: rp.callback},
		{Name: "Client ID (from the provider)", Value: rp.c.ClientID},
		{Name: "Scopes", Value: strings.Join(rp.c.Scopes, " ")},
		{Name: "Grant type", Value: "authorization code with PKCE (S256)"},
		{Name: "Sign-in URL (initiate login URI)", Value: rp.c.PublicURL + "/signin/" + string(rp.c.ID)},
		{Name: "Sign-out redirect URI (post logout redirect URI)", Value: rp.gone},
		{Name: "Back-channel logout URI", Value: strings.TrimSuffix(rp.callback, "/callback") + "/backchannel-logout"},
	}
	if rp.c.ClientKey != nil {
		path := "/oidc/" + string(rp.c.ID) + "/jwks.json"
		out = append(out, broker.SetupValue{Name: "JWKS URL (keys of rolegate, for private_key_jwt)", Value: rp.c.PublicURL + path, Path: path})
	}
	return out
}
