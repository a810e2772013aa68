package issuer

import (
	"encoding/json"
	"fmt"

	"github.com/go-jose/go-jose/v4"

	"github.com/rolegate/rolegate/broker"
)

// tokenLimit is the length STS takes as WebIdentityToken.
const tokenLimit = 20_000

func newTokenSigner(k Key) (jose.Signer, error) {
	s, err := jose.NewSigner(
		jose.SigningKey{Algorithm: jose.ES256, Key: jose.JSONWebKey{Key: k.private, KeyID: k.ID}},
		(&jose.SignerOptions{}).WithType("JWT"))
	if err != nil {
		return nil, fmt.Errorf("issuer: token signer: %w", err)
	}
	return s, nil
}

// idToken is what STS reads (GO sts AssumeRoleWithWebIdentity, IAM User Guide
// "Passing session tags"). Times are integers, aud is one string, and there is
// no azp, which AWS would take for the audience.
type idToken struct {
	Issuer         string    `json:"iss"`
	Subject        string    `json:"sub"`
	Audience       string    `json:"aud"`
	IssuedAt       int64     `json:"iat"`
	Expires        int64     `json:"exp"`
	ID             string    `json:"jti"`
	Tags           *tokenTag `json:"https://aws.amazon.com/tags,omitempty"`
	SourceIdentity string    `json:"https://aws.amazon.com/source_identity,omitempty"`
}

type tokenTag struct {
	Principal  map[string][]string `json:"principal_tags"`
	Transitive []string            `json:"transitive_tag_keys,omitempty"`
}

var errNoIssuer = broker.Errorf(broker.CodeUnavailable, "rolegate has no address that AWS accepts as an OIDC issuer.").
	Fix("Your administrator can set aws.oidc.issuer to an https URL without a port, or use via: saml for the role.")

func (i *Issuer) mintToken(r broker.AssertionRequest) (broker.Assertion, error) {
	if i.noTokens != nil {
		return broker.Assertion{}, errNoIssuer.Because(i.noTokens)
	}
	id, err := i.randomIDs(1)
	if err != nil {
		return broker.Assertion{}, err
	}
	now := i.c.Now()
	expires := now.Add(assertionLife)
	t := idToken{
		Issuer: i.c.OIDCIssuer, Subject: r.Subject.Opaque(), Audience: i.c.OIDCAudience,
		IssuedAt: now.Unix(), Expires: expires.Unix(), ID: id,
	}
	if len(r.SessionTags) > 0 {
		t.Tags = &tokenTag{Principal: map[string][]string{}, Transitive: r.TransitiveTagKeys}
		for k, v := range r.SessionTags {
			t.Tags.Principal[k] = []string{v}
		}
	}
	if i.c.SourceIdentity {
		t.SourceIdentity = r.SourceIdentity
	}
	payload, err := json.Marshal(t)
	if err != nil {
		return broker.Assertion{}, fmt.Errorf("issuer: encode token: %w", err)
	}
	signed, err := i.oidc.Sign(payload)
	if err != nil {
		return broker.Assertion{}, fmt.Errorf("issuer: sign token: %w", err)
	}
	raw, err := signed.CompactSerialize()
	if err != nil {
		return broker.Assertion{}, fmt.Errorf("issuer: sign token: %w", err)
	}
	if len(raw) > tokenLimit {
		return broker.Assertion{}, tooLarge(len(raw), tokenLimit)
	}
	return broker.Assertion{
		Kind: broker.ViaOIDC, Raw: broker.NewSecret(raw), ID: id, Issuer: t.Issuer,
		Audience: t.Audience, Subject: t.Subject, ExpiresAt: expires,
	}, nil
}
