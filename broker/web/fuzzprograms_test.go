package web_test

import (
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/rolegate/rolegate/broker"
	"github.com/rolegate/rolegate/broker/program"
)

// FuzzTokenForm: no form at the token endpoint gets a token but one that holds,
// once each, something that was given out and what belongs to it; and each
// token that leaves was recorded.
func FuzzTokenForm(f *testing.F) {
	for _, s := range []string{
		"grant_type=authorization_code&client_id=~CLI&code=~CODE&redirect_uri=~LOOPBACK&code_verifier=~VERIFIER",
		"grant_type=authorization_code&client_id=~CLI&code=~CODE&redirect_uri=~LOOPBACK&code_verifier=~CHALLENGE",
		"grant_type=authorization_code&client_id=~CLI&code=~CODE&code=~CODE&redirect_uri=~LOOPBACK&code_verifier=~VERIFIER",
		"grant_type=refresh_token&client_id=~CLI&refresh_token=~REFRESH", "grant_type=refresh_token&client_id=~ID&client_secret=~SECRET&refresh_token=~REFRESH",
		"grant_type=refresh_token&client_id=~CLI&refresh_token=~ACCESS", "grant_type=~GDEVICE&client_id=~CLI&device_code=~DEVICE",
		"grant_type=~GDEVICE&client_id=~CLI&device_code=~WAITING", "grant_type=~GDEVICE&client_id=~CLI&device_code=~USER",
		"grant_type=~GEXCHANGE&client_id=~CLI&subject_token=~ACCESS&subject_token_type=~TACCESS&audience=~ID",
		"grant_type=~GEXCHANGE&client_id=~CLI&subject_token=~REFRESH&subject_token_type=~TACCESS&audience=~ID",
		"grant_type=password&client_id=~CLI&username=alice&password=x", "grant_type=refresh_token;client_id=~CLI", "%zz", "",
	} {
		f.Add(s, "")
	}
	f.Add("grant_type=~GDEVICE&device_code=~DEVICE", "Basic cm9sZWdhdGUtY2xpOg==")
	f.Add("grant_type=refresh_token&client_id=~CLI&refresh_token=~REFRESH", "Basic cm9sZWdhdGUtY2xpOng=")
	h := newHouse(f)
	given := lettings(h)
	again := h.snapshot()
	// What is genuine is taken, or nothing behind the first check is tried.
	for _, s := range []string{
		"grant_type=authorization_code&client_id=~CLI&code=~CODE&redirect_uri=~LOOPBACK&code_verifier=~VERIFIER",
		"grant_type=~GDEVICE&client_id=~CLI&device_code=~DEVICE", "grant_type=refresh_token&client_id=~CLI&refresh_token=~REFRESH",
		"grant_type=~GEXCHANGE&client_id=~CLI&subject_token=~ACCESS&subject_token_type=~TACCESS&audience=~ID",
	} {
		h.asForm("/oauth/token", given.fill(s), "").want(f, http.StatusOK)
		again(f)
	}
	f.Fuzz(func(t *testing.T, body, authorization string) {
		again(t)
		body = given.fill(body)
		a := h.asForm("/oauth/token", body, authorization)
		out := programDocument(t, a)
		if a.StatusCode != http.StatusOK {
			return
		}
		form, err := url.ParseQuery(body)
		for k, v := range form {
			if len(v) != 1 {
				t.Errorf("%q with %s twice got tokens", body, k)
			}
		}
		id := form.Get("client_id")
		if id == "" {
			id = "~CLI" // by HTTP Basic; the CLI's is the only id of these that fits there
		}
		var good bool
		switch form.Get("grant_type") {
		case "authorization_code":
			good = form.Get("code") == given["~CODE"] && form.Get("code_verifier") == verifier && form.Get("redirect_uri") == loopback
		case "refresh_token":
			good = form.Get("refresh_token") == given["~REFRESH"]
		case given["~GDEVICE"]:
			good = form.Get("device_code") == given["~DEVICE"]
		case given["~GEXCHANGE"]:
			good = form.Get("subject_token") == given["~ACCESS"] && form.Get("audience") == given["~ID"]
		}
		if err != nil || !good || given.fill(id) != program.CLIClientID || out.Access == "" || out.Refresh == "" {
			t.Errorf("%q got tokens: %s", body, a.body)
		}
		if !slices.ContainsFunc(h.store.AllEvents(), func(e broker.Event) bool { return e.Action == broker.ActionToken && e.Outcome == broker.OutcomeOK }) {
			t.Errorf("released with the events %v", h.store.AllEvents())
		}
		if strings.Contains(h.logs.String(), out.Access) || strings.Contains(h.logs.String(), out.Refresh) {
			t.Error("the log holds a token")
		}
	})
}

// FuzzRevoke: no form ends a program's session but one that holds a token of
// it, from the program it was given to.
func FuzzRevoke(f *testing.F) {
	for _, s := range []string{
		"client_id=~CLI&token=~REFRESH", "client_id=~CLI&token=~ACCESS&token_type_hint=access_token", "client_id=~CLI&token=~REFRESHx", "client_id=~ID&client_secret=~SECRET&token=~REFRESH",
		"client_id=~CLI&token=~ACCESS&token=x", "client_id=~CLI&token=.", "client_id=~CLI", "token=~ACCESS", "%zz", "",
	} {
		f.Add(s, "")
	}
	f.Add("token=~ACCESS", "Basic cm9sZWdhdGUtY2xpOg==")
	h := newHouse(f)
	given := lettings(h)
	again := h.snapshot()
	f.Fuzz(func(t *testing.T, body, authorization string) {
		again(t)
		body = given.fill(body)
		a := h.asForm("/oauth/revoke", body, authorization)
		programDocument(t, a)
		form, _ := url.ParseQuery(body)
		dead := !h.alive(given["~ACCESS"])
		mine := form.Get("token") == given["~ACCESS"] || form.Get("token") == given["~REFRESH"]
		if dead && (!mine || a.StatusCode != http.StatusOK) {
			t.Errorf("%q ended the session: %d", body, a.StatusCode)
		}
		if !dead && form.Get("token") == given["~REFRESH"] && a.StatusCode == http.StatusOK && form.Get("client_id") == program.CLIClientID {
			t.Errorf("%q left the session alive", body)
		}
	})
}

// FuzzDeviceAuthorization: a device code that is given out waits for a person,
// whatever the form says, and what it says of its host is one clean line.
func FuzzDeviceAuthorization(f *testing.F) {
	for _, s := range []string{
		"client_id=~CLI&host=alices-laptop", "client_id=~CLI&host=a%0Ab%E2%80%AE%00%ff", "client_id=~ID&client_secret=~SECRET", "client_id=~ID&client_secret=x",
		"client_id=~CLI&host=" + strings.Repeat("%E2%82%AC", 200), "client_id=~CLI&host=" + strings.Repeat("x", 99) + "+" + strings.Repeat("x", 99), "client_id=~CLI&status=approved&source=x", "client_id=x", "%zz", "",
	} {
		f.Add(s)
	}
	h := newHouse(f)
	given := lettings(h)
	again := h.snapshot()
	f.Fuzz(func(t *testing.T, body string) {
		again(t)
		a := h.asForm("/oauth/device_authorization", given.fill(body), "")
		programDocument(t, a)
		if a.StatusCode != http.StatusOK {
			return
		}
		var d deviceStart
		if err := json.Unmarshal([]byte(a.body), &d); err != nil || d.Complete != d.URI+"?user_code="+d.UserCode || d.URI != h.public+"/device" {
			t.Fatalf("%s (%v)", a.body, err)
		}
		var rec struct{ Status, Host, Source string }
		key := "device/" + broker.NewSecret(d.DeviceCode).Hash()
		h.opened(h.store.State()[key], key, &rec)
		if rec.Status != "pending" || rec.Source != "" || rec.Host != broker.CleanLabel(rec.Host, 100) {
			t.Errorf("%q is kept as %+v", body, rec)
		}
	})
}

// FuzzAuthorize: no link lets a program in; and no form does but one of a known
// program, with its own loopback address, a state and a challenge. The browser
// is sent nowhere else.
func FuzzAuthorize(f *testing.F) {
	good := authorization("host", "laptop")
	for _, s := range []string{
		good, good + "&answer=yes", good + "&answer=no", good + "&answer=yes&answer=no", authorization("client_id", "~ID", "answer", "yes", "redirect_uri", "http://127.0.0.1:5/oauth/callback"),
		authorization("redirect_uri", "https://evil.example/cb", "answer", "yes"), authorization("redirect_uri", "http://127.0.0.1:1@evil.example/", "answer", "yes"),
		authorization("redirect_uri", program.RedirectPaste, "answer", "yes"), authorization("redirect_uri", "http://[::1]:5000/cb", "answer", "yes"), authorization("state", "-", "answer", "yes"),
		authorization("code_challenge_method", "plain", "answer", "yes"), authorization("max_age", "99999999999999999999", "acr_values", "mfa", "answer", "yes"), "%zz", "",
	} {
		f.Add(s)
	}
	h := newHouse(f)
	given := lettings(h)
	again := h.snapshot()
	codes := func() int {
		n := 0
		for k := range h.store.State() {
			if strings.HasPrefix(k, "code/") {
				n++
			}
		}
		return n
	}
	led := func(t *testing.T, a answer, query string) {
		t.Helper()
		if a.StatusCode >= http.StatusInternalServerError {
			t.Errorf("%q: %d", query, a.StatusCode)
		}
		to := a.Header.Get("Location")
		if to == "" {
			return
		}
		u, err := url.Parse(to)
		if err != nil || u.Scheme != "http" || u.User != nil || u.Hostname() != "127.0.0.1" && u.Hostname() != "::1" || u.Query().Get("iss") != h.public {
			t.Errorf("%q led to %q", query, to)
		}
	}
	f.Fuzz(func(t *testing.T, query string) {
		again(t)
		query = given.fill(query)
		before := codes()
		if !unsendable(query) {
			led(t, h.get("/authorize?"+query), query)
			if codes() != before || len(h.store.AllEvents()) > 0 {
				t.Errorf("the link %q did something: %v", query, h.store.AllEvents())
			}
		}
		a := h.do(http.MethodPost, "/authorize", strings.NewReader(query), fromHere, header("Content-Type", "application/x-www-form-urlencoded"))
		led(t, a, query)
		if codes() == before {
			if strings.Contains(a.Header.Get("Location"), "code=") {
				t.Errorf("%q: a code that is not kept", query)
			}
			return
		}
		form, err := url.ParseQuery(query)
		client := form.Get("client_id")
		if err != nil || client != program.CLIClientID && client != given["~ID"] || form.Get("answer") != "yes" || form.Get("state") == "" ||
			form.Get("code_challenge_method") != "S256" || len(form.Get("code_challenge")) != 43 || form.Get("response_type") != "code" {
			t.Errorf("%q let a program in", query)
		}
		if to := a.Header.Get("Location"); to != "" && !strings.HasPrefix(to, form.Get("redirect_uri")+"?") {
			t.Errorf("%q led to %q", query, to)
		}
		if e := h.store.AllEvents(); len(e) != 1 || e[0].Action != broker.ActionClient || e[0].Outcome != broker.OutcomeOK {
			t.Errorf("let in with the events %v", e)
		}
	})
}

// FuzzUserCode: no form approves a device but one with the very code, however it
// is spaced, and the word for yes.
func FuzzUserCode(f *testing.F) {
	for _, s := range []string{
		"user_code=~USER&answer=approve", "user_code=~USER", "user_code=~USER&answer=deny", "user_code=~USER&answer=APPROVE", "user_code=+~USER+-&answer=approve",
		"user_code=~WAITING&answer=approve", "user_code=%C5%BF&answer=approve", "user_code=BBBB-BBBB&answer=approve", "user_code=" + strings.Repeat("-", 50) + "~USER&answer=approve", "%zz", "",
	} {
		f.Add(s)
	}
	h := newHouse(f)
	given := lettings(h)
	again := h.snapshot()
	key := "device/" + broker.NewSecret(given["~WAITING"]).Hash()
	f.Fuzz(func(t *testing.T, body string) {
		again(t)
		body = given.fill(body)
		if !unsendable(body) {
			before := string(h.store.State()[key])
			if a := h.get("/device?" + body); a.StatusCode >= http.StatusInternalServerError || len(h.store.AllEvents()) > 0 || string(h.store.State()[key]) != before {
				t.Errorf("the link %q: %d, %v", body, a.StatusCode, h.store.AllEvents())
			}
		}
		a := h.do(http.MethodPost, "/device", strings.NewReader(body), fromHere, header("Content-Type", "application/x-www-form-urlencoded"))
		if a.StatusCode >= http.StatusInternalServerError {
			t.Errorf("%q: %d", body, a.StatusCode)
		}
		var rec struct{ Status string }
		h.opened(h.store.State()[key], key, &rec)
		if rec.Status == "pending" {
			return
		}
		form, err := url.ParseQuery(body)
		typed := strings.NewReplacer("-", "", " ", "", "\t", "").Replace(strings.ToUpper(form.Get("user_code")))
		want := map[string]string{"approve": "approved", "deny": "denied"}[form.Get("answer")]
		if err != nil || typed != strings.ReplaceAll(given["~USER"], "-", "") || rec.Status != want {
			t.Errorf("%q made the device %s", body, rec.Status)
		}
		if e := h.store.AllEvents(); len(e) != 1 || e[0].Action != broker.ActionClient {
			t.Errorf("decided with the events %v", e)
		}
	})
}
