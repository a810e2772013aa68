package idp

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"slices"
)

// token is RFC 6749 section 3.2.
func (p *OIDC) token(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, formLimit)
	if err := r.ParseForm(); err != nil {
		tokenError(w, http.StatusBadRequest, "invalid_request")
		return
	}
	c, ok := p.authenticate(r)
	if !ok {
		w.Header().Set("WWW-Authenticate", `Basic realm="demo"`)
		tokenError(w, http.StatusUnauthorized, "invalid_client")
		return
	}
	var g *grant
	var nonce string
	switch r.PostForm.Get("grant_type") {
	case "authorization_code":
		g = p.redeem(p.codes, r.PostForm.Get("code"), c)
		sum := sha256.Sum256([]byte(r.PostForm.Get("code_verifier")))
		if g != nil && (g.redirect != r.PostForm.Get("redirect_uri") || g.challenge != base64.RawURLEncoding.EncodeToString(sum[:])) {
			g = nil
		}
		if g != nil {
			nonce = g.nonce
		}
	case "refresh_token":
		g = p.redeem(p.refresh, r.PostForm.Get("refresh_token"), c)
	default:
		tokenError(w, http.StatusBadRequest, "unsupported_grant_type")
		return
	}
	if g == nil {
		tokenError(w, http.StatusBadRequest, "invalid_grant")
		return
	}
	answer, err := p.issue(g, nonce)
	if err != nil {
		tokenError(w, http.StatusInternalServerError, "server_error")
		return
	}
	writeJSON(w, http.StatusOK, answer)
}

func tokenError(w http.ResponseWriter, status int, code string) {
	writeJSON(w, status, map[string]string{"error": code})
}

// redeem takes a code or refresh token, which works once. Whoever brings it
// again ends everything that came of it (RFC 6749 4.1.2, RFC 9700 4.14.2).
func (p *OIDC) redeem(from *shelf[*grant], name string, c Client) *grant {
	g, ok := from.take(name)
	if !ok {
		if old, spent := p.spent.get(name); spent {
			old.revoked.Store(true)
		}
		return nil
	}
	p.spent.put(name, g)
	if g.client.ID != c.ID || g.revoked.Load() {
		return nil
	}
	return g
}

func (p *OIDC) issue(g *grant, nonce string) (map[string]any, error) {
	access := rand.Text()
	now := p.o.Now()
	sum := sha256.Sum256([]byte(access))
	claims := g.claims()
	claims["iss"], claims["aud"], claims["iat"], claims["exp"] = p.o.Issuer, g.client.ID, now.Unix(), now.Add(idTokenLife).Unix()
	claims["auth_time"], claims["sid"], claims["jti"] = g.session.at.Unix(), g.session.id, rand.Text()
	claims["at_hash"] = base64.RawURLEncoding.EncodeToString(sum[:16])
	claims["acr"], claims["amr"] = ACRPassword, []string{"pwd"}
	if g.session.mfa {
		claims["acr"], claims["amr"] = ACRMFA, []string{"pwd", "otp", "mfa"}
	}
	if nonce != "" {
		claims["nonce"] = nonce
	}
	p.mu.Lock()
	tamper := p.tamper
	p.mu.Unlock()
	if tamper != nil {
		tamper(claims)
	}
	idToken, err := p.sign(claims)
	if err != nil {
		return nil, err
	}
	out := map[string]any{"access_token": access, "token_type": "Bearer", "expires_in": int(accessLife.Seconds()), "id_token": idToken}
	p.access.put(access, g)
	if slices.Contains(g.scopes, "offline_access") {
		refresh := rand.Text()
		p.refresh.put(refresh, g)
		out["refresh_token"] = refresh
	}
	return out, nil
}
