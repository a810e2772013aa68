package idp

import (
	"crypto/rand"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// authRequest is an authentication request of a known client.
type authRequest struct {
	client   Client
	redirect string
	query    url.Values
	scopes   []string
	prompt   []string
	maxAge   time.Duration // negative: any
	wanted   bool          // a second factor
}

// authorize is OpenID Connect core 3.1.2. A request from an unknown client or
// for an unknown redirect URI is answered here and never redirected.
func (p *OIDC) authorize(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, formLimit)
	query, err := url.ParseQuery(r.URL.RawQuery)
	if r.Method == http.MethodPost {
		err = r.ParseForm()
		query = r.PostForm
	}
	c, ok := p.client(query.Get("client_id"))
	if err != nil || !ok || len(query["redirect_uri"]) != 1 || !slices.Contains(c.RedirectURIs, query.Get("redirect_uri")) {
		refuse(w, http.StatusBadRequest, "The client or its redirect URI is not known.")
		return
	}
	req, code, description := readAuthRequest(c, query)
	if code != "" {
		p.back(w, req, url.Values{"error": {code}, "error_description": {description}})
		return
	}
	if cur := p.login.current(r); cur != nil && p.fresh(req, cur) {
		p.grant(w, req, cur)
		return
	}
	if slices.Contains(req.prompt, "none") {
		p.back(w, req, url.Values{"error": {"login_required"}})
		return
	}
	p.login.ask(w, &flight{
		wanted: req.wanted, hint: query.Get("login_hint"), leads: origin(req.redirect),
		resume: func(w http.ResponseWriter, cur *session) { p.grant(w, req, cur) },
	})
}

// readAuthRequest returns an error code of RFC 6749 section 4.1.2.1 or OpenID
// Connect core 3.1.2.6 for what is not acceptable.
func readAuthRequest(c Client, query url.Values) (req authRequest, code, description string) {
	req = authRequest{
		client: c, redirect: query.Get("redirect_uri"), query: query, scopes: strings.Fields(query.Get("scope")),
		prompt: strings.Fields(query.Get("prompt")), maxAge: -1,
		wanted: slices.Contains(strings.Fields(query.Get("acr_values")), ACRMFA),
	}
	for k, v := range query {
		if len(v) > 1 {
			return req, "invalid_request", k + " is there twice"
		}
	}
	if s := query.Get("max_age"); s != "" {
		n, err := strconv.ParseUint(s, 10, 31)
		if err != nil {
			return req, "invalid_request", "max_age is not a number of seconds"
		}
		req.maxAge = time.Duration(n) * time.Second
	}
	switch {
	case query.Has("request"):
		return req, "request_not_supported", "parameters go into the query"
	case query.Has("request_uri"):
		return req, "request_uri_not_supported", "parameters go into the query"
	case query.Get("response_type") != "code":
		return req, "unsupported_response_type", "code is supported"
	case query.Has("response_mode") && query.Get("response_mode") != "query":
		return req, "invalid_request", "response_mode query is supported"
	case !slices.Contains(req.scopes, "openid"):
		return req, "invalid_scope", "openid is needed"
	case query.Get("code_challenge_method") != "S256" || len(query.Get("code_challenge")) != 43:
		return req, "invalid_request", "PKCE with S256 is needed"
	case slices.Contains(req.prompt, "none") && len(req.prompt) > 1:
		return req, "invalid_request", "prompt none stands alone"
	}
	return req, "", ""
}

// fresh says whether the session is enough for the request. A person without a
// second factor is asked again where one is wanted, for they may be another.
func (p *OIDC) fresh(req authRequest, cur *session) bool {
	again := slices.Contains(req.prompt, "login") || slices.Contains(req.prompt, "select_account")
	old := req.maxAge >= 0 && p.o.Now().Sub(cur.at) >= req.maxAge // so that max_age=0 is prompt=login
	return !again && !old && (!req.wanted || cur.mfa)
}

// back sends the browser to the client with the answer, state and iss (RFC 9207).
func (p *OIDC) back(w http.ResponseWriter, req authRequest, answer url.Values) {
	if req.query.Has("state") {
		answer.Set("state", req.query.Get("state"))
	}
	answer.Set("iss", p.o.Issuer)
	sep := "?"
	if strings.Contains(req.redirect, "?") {
		sep = "&"
	}
	w.Header().Set("Location", req.redirect+sep+answer.Encode())
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Referrer-Policy", "no-referrer")
	w.WriteHeader(http.StatusSeeOther)
}

// grant answers with a code for the session.
func (p *OIDC) grant(w http.ResponseWriter, req authRequest, cur *session) {
	code := rand.Text()
	p.codes.put(code, &grant{
		client: req.client, redirect: req.redirect, nonce: req.query.Get("nonce"),
		challenge: req.query.Get("code_challenge"), scopes: req.scopes, session: cur,
	})
	p.back(w, req, url.Values{"code": {code}})
}
