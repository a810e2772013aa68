package web_test

import (
	"bytes"
	"encoding/json"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/rolegate/rolegate/broker"
)

// FuzzQuery ensures that no query breaks a signed-in page, opens the console by
// itself, or makes a list longer than a page.
func FuzzQuery(f *testing.F) {
	for _, q := range []string{"q=prod&page=2", "account=prod&role=Admin&destination=%00", "assignment=x;y", "q=%ff&page=1e9", "return_to=//evil.example", "%zz"} {
		f.Add(q)
	}
	h := newHouse(f)
	h.aws.assignments = many(200)
	h.signIn()
	again := h.snapshot()
	f.Fuzz(func(t *testing.T, query string) {
		again(t)
		// What the URL parser would refuse never reaches the server.
		if u, err := url.Parse("/?" + query); err != nil || strings.ContainsFunc(u.RawQuery, func(r rune) bool { return r <= ' ' || r >= 0x7f }) {
			return
		}
		query, _, _ = strings.Cut(query, "#")
		for _, path := range []string{"/", "/go", "/access", "/credentials", "/signin"} {
			a := h.get(path+"?"+query, fromElsewhere)
			if a.StatusCode >= http.StatusInternalServerError {
				t.Errorf("%s: %d", path, a.StatusCode)
			}
			if rows := len(rowPattern.FindAllString(a.body, -1)); rows > 50 {
				t.Errorf("%s: %d rows", path, rows)
			}
			if loc := a.Header.Get("Location"); loc != "" && (!strings.HasPrefix(loc, "/") || strings.HasPrefix(loc, "//")) {
				t.Errorf("%s led to %q", path, loc)
			}
		}
		if h.aws.assumed > 0 {
			t.Error("a role was assumed")
		}
	})
}

// FuzzACS: no body at the ACS signs a browser in but one with the state of the
// sign-in that this browser began, and none is answered with an error of ours.
func FuzzACS(f *testing.F) {
	for _, s := range []string{
		"SAMLResponse=eA%3D%3D&RelayState=STATE", "RelayState=STATE&RelayState=x", "SAMLResponse=&RelayState=%00", "RelayState=STATE;SAMLResponse=x",
		"SAMLResponse=eA%3D%3D&RelayState=https%3A%2F%2Fevil.example", "%zz", "relaystate=STATE", strings.Repeat("a", 1000), "",
	} {
		f.Add(s, "application/x-www-form-urlencoded")
		f.Add(s, "multipart/form-data; boundary=x")
	}
	h := newHouse(f)
	again := h.snapshot()
	f.Fuzz(func(t *testing.T, body, contentType string) {
		again(t)
		h.get("/signin/okta").want(t, http.StatusSeeOther)
		body = strings.ReplaceAll(body, "STATE", h.saml.last.State)
		a := h.do(http.MethodPost, "/saml/okta/acs", strings.NewReader(body), fromElsewhere, header("Content-Type", contentType))
		if a.StatusCode >= http.StatusInternalServerError {
			t.Errorf("%d: %s", a.StatusCode, a.body)
		}
		_, signedIn := h.cookies["__Host-rolegate_session"]
		if signedIn && !strings.Contains(body, h.saml.last.State) {
			t.Error("signed in without the state")
		}
		if signedIn != (a.StatusCode == http.StatusSeeOther) || signedIn && a.Header.Get("Location") != "/" {
			t.Errorf("%d to %q, signed in %t", a.StatusCode, a.Header.Get("Location"), signedIn)
		}
	})
}

// FuzzReturnTo: wherever a sign-in is to return to, it ends on this site.
func FuzzReturnTo(f *testing.F) {
	for _, s := range []string{
		"/access", "/go?account=prod&role=Admin&entry=direct", "//evil.example", `/\evil.example`, "https://evil.example/", "/%2f%2fevil.example", "/.//evil.example",
		"\t//evil.example", "/a\r\nSet-Cookie: x=y", "javascript:alert(1)", "/go?entry=direct&entry=direct#//x", "/?" + strings.Repeat("x", 3000), "",
	} {
		f.Add(s)
	}
	h := newHouse(f)
	base, err := url.Parse(h.public + "/saml/okta/acs")
	if err != nil {
		f.Fatal(err)
	}
	again := h.snapshot()
	f.Fuzz(func(t *testing.T, to string) {
		again(t)
		h.get("/signin/okta?"+url.Values{"return_to": {to}}.Encode()).want(t, http.StatusSeeOther)
		a := h.acs()
		got, err := base.Parse(a.Header.Get("Location"))
		if err != nil || a.StatusCode != http.StatusSeeOther || got.Scheme != base.Scheme || got.Host != base.Host {
			t.Errorf("%q ends at %d %q (%v)", to, a.StatusCode, a.Header.Get("Location"), err)
		}
		if c := a.Header.Values("Set-Cookie"); len(c) > 3 {
			t.Errorf("%q sets %q", to, c)
		}
		// A place that no rule gives is not opened by a return path either.
		if h.aws.assumed > 0 {
			t.Error("a role was assumed")
		}
	})
}

// FuzzCredentialsOfRequest: no cookie and no authorization but the token of a
// session is one.
func FuzzCredentialsOfRequest(f *testing.F) {
	for _, s := range [][2]string{
		{"__Host-rolegate_session=TOKEN", ""}, {"", "Bearer TOKEN"}, {"__Host-rolegate_session=TOKENx", "Basic TOKEN"}, {"rolegate_session=TOKEN", "bearer  TOKEN"},
		{"__Host-rolegate_session=x; __Host-rolegate_session=TOKEN", ""}, {"__Host-rolegate_session=\"TOKEN\"", "Bearer"}, {"=;;=\x00", "Bearer \x00"},
		{"__Host-rolegate_signin=TOKEN; __Host-rolegate_entry=TOKEN", "Bearer " + strings.Repeat("a", 2000)},
	} {
		f.Add(s[0], s[1])
	}
	h := newHouse(f)
	h.signIn()
	token := h.cookies["__Host-rolegate_session"].Value
	clear(h.cookies)
	again := h.snapshot()
	f.Fuzz(func(t *testing.T, cookie, authorization string) {
		again(t)
		cookie, authorization = strings.ReplaceAll(cookie, "TOKEN", token), strings.ReplaceAll(authorization, "TOKEN", token)
		for _, path := range []string{"/api/v1/me", "/", "/signin"} {
			a := h.get(path, typed, func(r *http.Request) {
				// As header lines and not through AddCookie, which would clean them.
				r.Header["Cookie"] = []string{cookie}
				if authorization != "" {
					r.Header["Authorization"] = []string{authorization}
				}
			})
			if a.StatusCode >= http.StatusInternalServerError {
				t.Errorf("%s: %d", path, a.StatusCode)
			}
			if strings.Contains(a.body, "alice") && !strings.Contains(cookie, token) && !strings.Contains(authorization, token) {
				t.Errorf("%s: %q and %q are a session", path, cookie, authorization)
			}
		}
		if strings.Contains(h.logs.String(), token) {
			t.Error("the log holds the token")
		}
	})
}

// FuzzAPI: no document gets credentials but one that names a role that the
// person has, and a length that it may have.
func FuzzAPI(f *testing.F) {
	h := newHouse(f)
	h.signIn()
	id := string(h.aws.assignments[0].ID)
	for _, s := range []string{
		`{"assignment":"` + id + `"}`, `{"assignment":"` + id + `","duration_seconds":900}`, `{"assignment":"` + id + `","duration_seconds":-1}`,
		`{"assignment":"` + id + `","duration_seconds":1e99}`, `{"assignment":["` + id + `"]}`, `{"assignment":"` + id + `","role_arn":"arn:aws:iam::1:role/x"}`,
		`{"ASSIGNMENT":"` + id + `"}`, `{"assignment":"` + id + `"}{}`, "[]", "null", "", strings.Repeat("[", 100000), "{\"assignment\":\"\xff\"}",
	} {
		f.Add([]byte(s), "application/json")
	}
	f.Add([]byte(`{"assignment":"`+id+`"}`), "text/plain")
	again := h.snapshot()
	f.Fuzz(func(t *testing.T, body []byte, contentType string) {
		again(t)
		a := h.do(http.MethodPost, "/api/v1/role-credentials", bytes.NewReader(body), fromHere, header("Content-Type", contentType), header("Accept", ""))
		if a.StatusCode >= http.StatusInternalServerError {
			t.Errorf("%d: %s", a.StatusCode, a.body)
		}
		released := strings.Contains(a.body, "planted-secret-key")
		events := h.store.AllEvents()
		if released != (a.StatusCode == http.StatusOK) || released != (h.aws.assumed == 1) || !released && len(events) > 1 {
			t.Errorf("%d, released %t, assumed %d, %d events", a.StatusCode, released, h.aws.assumed, len(events))
		}
		if !released {
			return
		}
		var in struct {
			Assignment string
			Seconds    int64 `json:"duration_seconds"`
		}
		if err := json.Unmarshal(body, &in); err != nil || !h.has(in.Assignment) || in.Seconds < 0 || in.Seconds > 3600 {
			t.Errorf("%q got credentials (%v)", body, err)
		}
		if !mintedOnce(events, broker.ActionCredentials) {
			t.Errorf("released with the events %v", events)
		}
	})
}

func (h *house) has(id string) bool {
	return slices.ContainsFunc(h.aws.assignments, func(a broker.Assignment) bool { return string(a.ID) == id })
}

// FuzzForms: no form of ours does what its person may not do, or leads away.
func FuzzForms(f *testing.F) {
	h := newHouse(f)
	h.signIn()
	id := string(h.aws.assignments[0].ID)
	paths := []string{"/console", "/credentials", "/favourites", "/signin", "/signin/okta", "/saml/okta/agree"}
	for i := range paths {
		for _, s := range []string{
			"assignment=" + id + "&destination=ec2%2Fhome&region=eu-west-1", "assignment=" + id + "&duration=99999999999999999999", "assignment=x&return_to=%2F%2Fevil.example",
			"email=a%40example.com&return_to=%2Fgo", "mfa=true&max_auth_age=1e9", "arrival=" + strings.Repeat("a", 43), "%zz", "assignment=" + id + "&assignment=x", "",
		} {
			f.Add(uint8(i), s)
		}
	}
	again := h.snapshot()
	f.Fuzz(func(t *testing.T, which uint8, body string) {
		again(t)
		path := paths[int(which)%len(paths)]
		a := h.do(http.MethodPost, path, strings.NewReader(body), fromHere, header("Content-Type", "application/x-www-form-urlencoded"))
		if a.StatusCode >= http.StatusInternalServerError {
			t.Errorf("%s: %d: %s", path, a.StatusCode, a.body)
		}
		form, err := url.ParseQuery(body)
		if h.aws.assumed > 0 && (err != nil || !h.has(form.Get("assignment")) || path != "/console" && path != "/credentials") {
			t.Errorf("%s: %q assumed a role (%v)", path, body, err)
		}
		loc := a.Header.Get("Location")
		if loc != "" && loc != awsLink && (!strings.HasPrefix(loc, "/") || strings.HasPrefix(loc, "//")) {
			t.Errorf("%s: %q led to %q", path, body, loc)
		}
		if (loc == awsLink) != (path == "/console" && h.aws.assumed == 1) {
			t.Errorf("%s: %q got a console link, %d roles assumed", path, body, h.aws.assumed)
		}
		marked, err := h.store.Favourites(t.Context(), broker.Subject{Provider: "okta", ID: "00u1"})
		if err != nil {
			t.Fatal(err)
		}
		for _, id := range marked {
			if !h.has(string(id)) {
				t.Errorf("%q is a favourite", id)
			}
		}
	})
}

// FuzzForwardedFor: a client's address is the peer's, or an address that a
// trusted proxy wrote.
func FuzzForwardedFor(f *testing.F) {
	for _, s := range []string{"192.0.2.7", "198.51.100.1, 10.0.0.3", "10.0.0.1,,10.0.0.2", "evil\n, 192.0.2.7", "::ffff:10.0.0.1", "fe80::1%eth0", "192.0.2.7:80", "::0AAA:00.", ""} {
		f.Add("10.0.0.9:1234", s)
		f.Add("203.0.113.5:1234", s)
	}
	h := newHouse(f)
	f.Fuzz(func(t *testing.T, peer, forwarded string) {
		if !utf8.ValidString(peer) {
			return // the peer's address is the kernel's, and text
		}
		h.in(t)
		h.logs.Reset()
		h.get("/healthz", func(r *http.Request) { r.RemoteAddr = peer; r.Header["X-Forwarded-For"] = []string{forwarded} })
		// A proxy whose header is not understood is named in a line of its own.
		var line struct{ Msg, Remote string }
		for text := range bytes.Lines(h.logs.Bytes()) {
			if line.Msg == "request" {
				t.Fatalf("more after the line of the request\n%s", h.logs)
			}
			if err := json.Unmarshal(text, &line); err != nil {
				t.Fatalf("not one JSON object a line: %v\n%s", err, h.logs)
			}
		}
		if line.Msg != "request" {
			t.Fatalf("no line of the request\n%s", h.logs)
		}
		host, _, err := net.SplitHostPort(peer)
		if err != nil {
			host = peer
		}
		if line.Remote == host {
			return
		}
		trusted := netip.MustParsePrefix("10.0.0.0/8")
		at, err := netip.ParseAddr(host)
		if _, parseErr := netip.ParseAddr(line.Remote); err != nil || parseErr != nil || !trusted.Contains(at.Unmap()) {
			t.Errorf("%q and %q made %q", peer, forwarded, line.Remote)
		}
	})
}

// FuzzAdmin: no query, form or upload breaks an administrators' page, leads
// away from it, or lets anybody else in.
func FuzzAdmin(f *testing.F) {
	gets := []string{"/admin", "/admin/traces", "/admin/sessions", "/admin/audit", "/admin/audit/export", "/admin/explain", "/admin/setup"}
	posts := []string{"/admin/sessions/end", "/admin/sessions/revoke", "/admin/simulate", "/sessions/end", "/sessions/end-others"}
	const form = "application/x-www-form-urlencoded"
	for _, s := range []string{
		"id=Amber+otter+plum+07", "person=alice&action=signin&outcome=ok&since=2026-01-01&until=9999-99-99&account=1&before=x", "person=%00&group=%ff",
		"format=csv&person=%3D1%2B1", "format=jsonl&before=%27%3B--", "session=x&provider=okta&subject=00u7&return_to=%2F%2Fevil.example", "candidate=public_url%3A+x", "%zz", "",
	} {
		f.Add(s, form)
	}
	f.Add("--x\r\nContent-Disposition: form-data; name=\"file\"; filename=\"../../etc\"\r\n\r\ncandidate\r\n--x--\r\n", "multipart/form-data; boundary=x")
	admin, other := newHouse(f), newHouse(f)
	admin.aws.admin, admin.mfa = true, true
	again := map[*house]func(testing.TB){admin: admin.snapshot(), other: other.snapshot()}
	f.Fuzz(func(t *testing.T, s, contentType string) {
		for _, h := range []*house{admin, other} {
			again[h](t)
			h.signIn()
			judge := func(path string, a answer) {
				if a.StatusCode >= http.StatusInternalServerError {
					t.Errorf("%s: %d: %s", path, a.StatusCode, a.body)
				}
				if h == other && strings.HasPrefix(path, "/admin") && a.StatusCode != http.StatusForbidden && a.StatusCode != http.StatusBadRequest {
					t.Errorf("%s: %d for somebody else", path, a.StatusCode)
				}
				if loc := a.Header.Get("Location"); loc != "" && (!strings.HasPrefix(loc, "/") || strings.HasPrefix(loc, "//")) {
					t.Errorf("%s led to %q", path, loc)
				}
			}
			// What the URL parser would refuse never reaches the server.
			if u, err := url.Parse("/?" + s); err == nil && u.Fragment == "" && !strings.ContainsFunc(u.RawQuery, func(r rune) bool { return r <= ' ' || r >= 0x7f }) {
				for _, path := range gets {
					judge(path, h.get(path+"?"+u.RawQuery))
				}
			}
			for _, path := range posts {
				judge(path, h.do(http.MethodPost, path, strings.NewReader(s), fromHere, header("Content-Type", contentType)))
				if len(h.store.Sessions()) == 0 {
					h.signIn() // it was the person's own
				}
			}
		}
	})
}
