package web_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/rolegate/rolegate/broker"
	"github.com/rolegate/rolegate/broker/brokertest"
	"github.com/rolegate/rolegate/broker/limit"
	"github.com/rolegate/rolegate/broker/program"
	"github.com/rolegate/rolegate/broker/web"
)

// TestDeviceCode ensures the whole way over a second device.
func TestDeviceCode(t *testing.T) {
	h := newHouse(t)
	d := h.startDevice("build-box")
	if !regexp.MustCompile(`^[BCDFGHJKLMNPQRSTVWXZ]{4}-[BCDFGHJKLMNPQRSTVWXZ]{4}$`).MatchString(d.UserCode) || d.ExpiresIn != 600 || d.Interval != 5 ||
		d.URI != h.public+"/device" || len(d.DeviceCode) != 43 {
		t.Errorf("%+v", d)
	}
	h.pollWant(d, "authorization_pending")
	h.get("/device").wantLocation(t, "/signin?return_to=%2Fdevice")
	h.signIn()
	h.get("/device").want(t, http.StatusOK, "Did somebody send you here?")
	a := h.post("/device", url.Values{"user_code": {strings.ToLower(strings.Replace(d.UserCode, "-", " ", 1))}}).want(t, http.StatusOK,
		d.UserCode, "build-box", "192.0.2.1", "rolegate command line", "Compare the code", `datetime="2026-11-24T09:00:00Z"`)
	if !strings.Contains(a.body, `value="approve"`) || !strings.Contains(a.body, `value="deny"`) {
		t.Error(a.body)
	}
	h.pollWant(d, "authorization_pending")
	h.post("/device", url.Values{"user_code": {d.UserCode}, "answer": {"approve"}}).want(t, http.StatusOK, "is let in")
	if e := h.event(broker.ActionClient, broker.OutcomeOK); e.Username != "alice" || e.Detail["asked_from"] != "192.0.2.1" || e.Detail["host"] != "build-box" {
		t.Errorf("%+v", e)
	}
	got := h.pollWant(d, "")
	if !h.alive(got.Access) {
		t.Error("the token does not work")
	}
}

// TestDeviceCodeWorksOnce ensures that neither code works a second time.
func TestDeviceCodeWorksOnce(t *testing.T) {
	h := newHouse(t)
	h.signIn()
	d := h.startDevice("x")
	h.post("/device", url.Values{"user_code": {d.UserCode}, "answer": {"approve"}}).want(t, http.StatusOK)
	h.pollWant(d, "")
	h.pollWant(d, "invalid_grant")
	h.post("/device", url.Values{"user_code": {d.UserCode}}).want(t, http.StatusUnprocessableEntity)
}

// TestDeviceNeedsAPost ensures that no link approves: not the complete
// verification address, not a GET with an answer, and it does not even say what
// asks.
func TestDeviceNeedsAPost(t *testing.T) {
	h := newHouse(t)
	h.signIn()
	d := h.startDevice("lure")
	events := len(h.store.AllEvents())
	for _, to := range []string{d.Complete, d.Complete + "&answer=approve"} {
		a := h.get(strings.TrimPrefix(to, h.public)).want(t, http.StatusOK, `value="`+d.UserCode+`"`)
		if strings.Contains(a.body, "lure") || strings.Contains(a.body, "approve") {
			t.Error("a link alone shows the request")
		}
	}
	if len(h.store.AllEvents()) != events {
		t.Error("a link did something")
	}
	h.pollWant(d, "authorization_pending")
}

// TestDeviceApprovalFromElsewhere ensures that another site cannot approve.
func TestDeviceApprovalFromElsewhere(t *testing.T) {
	h := newHouse(t)
	h.signIn()
	d := h.startDevice("x")
	form := url.Values{"user_code": {d.UserCode}, "answer": {"approve"}}
	h.post("/device", form, fromElsewhere).want(t, http.StatusForbidden)
	cookies := h.cookies
	h.cookies = map[string]*http.Cookie{}
	h.post("/device", form).want(t, http.StatusUnauthorized)
	h.cookies = cookies
	h.pollWant(d, "authorization_pending")
}

// TestDeviceApprovalByAProgram ensures that a program cannot approve another.
func TestDeviceApprovalByAProgram(t *testing.T) {
	h := newHouse(t)
	h.signIn()
	token := h.programTokens().Access
	d := h.startDevice("x")
	a := h.post("/device", url.Values{"user_code": {d.UserCode}, "answer": {"approve"}}, asProgram(token))
	if a.StatusCode != http.StatusUnauthorized {
		t.Error(a.StatusCode, a.body)
	}
	h.pollWant(d, "authorization_pending")
}

// TestDeviceCodeOfAnotherClient ensures that a code is redeemed by its client
// only, and that the try does not use it up.
func TestDeviceCodeOfAnotherClient(t *testing.T) {
	h := newHouse(t)
	h.signIn()
	id, secret := h.register("other", "http://127.0.0.1/cb")
	d := h.startDevice("x")
	h.post("/device", url.Values{"user_code": {d.UserCode}, "answer": {"approve"}}).want(t, http.StatusOK)
	a, got := h.poll(d, "client_id", id, "client_secret", secret)
	if a.StatusCode != http.StatusBadRequest || got.Error != "invalid_grant" {
		t.Error(a.StatusCode, a.body)
	}
	h.pollWant(d, "")
}

// TestDevicePollTooFast ensures that the server keeps the interval and makes it
// longer for those who do not.
func TestDevicePollTooFast(t *testing.T) {
	h := newHouse(t)
	h.signIn()
	d := h.startDevice("x")
	h.pollWant(d, "authorization_pending")
	if _, got := h.poll(d); got.Error != "slow_down" {
		t.Errorf("%+v", got)
	}
	h.clock = h.clock.Add(6 * time.Second) // enough for the first interval, not for the longer one
	if _, got := h.poll(d); got.Error != "slow_down" {
		t.Errorf("%+v", got)
	}
	h.post("/device", url.Values{"user_code": {d.UserCode}, "answer": {"approve"}}).want(t, http.StatusOK)
	if _, got := h.poll(d); got.Error != "slow_down" || got.Access != "" {
		t.Errorf("%+v", got)
	}
	h.clock = h.clock.Add(20 * time.Second)
	if _, got := h.poll(d); got.Access == "" {
		t.Errorf("%+v", got)
	}
}

// TestDeviceDenialIsFinal ensures that a refusal stands and is an event.
func TestDeviceDenialIsFinal(t *testing.T) {
	h := newHouse(t)
	h.signIn()
	d := h.startDevice("x")
	h.post("/device", url.Values{"user_code": {d.UserCode}, "answer": {"deny"}}).want(t, http.StatusOK, "not let in")
	if e := h.event(broker.ActionClient, broker.OutcomeRefused); e.Code != broker.CodeDenied || e.Username != "alice" {
		t.Errorf("%+v", e)
	}
	h.pollWant(d, "access_denied")
	h.post("/device", url.Values{"user_code": {d.UserCode}, "answer": {"approve"}}).want(t, http.StatusNotFound)
	h.pollWant(d, "access_denied")
}

// TestDeviceExpiryIsFinal ensures that a code ends after ten minutes, approved
// or not, that this is an event, and that nothing brings it back.
func TestDeviceExpiryIsFinal(t *testing.T) {
	for name, answer := range map[string]string{"pending": "", "approved": "approve"} {
		t.Run(name, func(t *testing.T) {
			h := newHouse(t)
			h.signIn()
			d := h.startDevice("x")
			if answer != "" {
				h.post("/device", url.Values{"user_code": {d.UserCode}, "answer": {answer}}).want(t, http.StatusOK)
			}
			h.clock = h.clock.Add(10 * time.Minute)
			h.pollWant(d, "expired_token")
			if e := h.event(broker.ActionClient, broker.OutcomeRefused); e.Detail["reason"] != "This device code has expired." {
				t.Errorf("%+v", e)
			}
			n := len(h.store.AllEvents())
			h.pollWant(d, "expired_token")
			if len(h.store.AllEvents()) != n {
				t.Error("the expiry is recorded twice")
			}
			h.post("/device", url.Values{"user_code": {d.UserCode}, "answer": {"approve"}}).want(t, http.StatusNotFound)
			h.pollWant(d, "expired_token")
		})
	}
}

// TestUserCodeTries ensures that a session tries ten codes in ten minutes, the
// right one included.
func TestUserCodeTries(t *testing.T) {
	h := newHouse(t)
	h.signIn()
	d := h.startDevice("x")
	for range 10 {
		h.post("/device", url.Values{"user_code": {"BBBB-BBBB"}}).want(t, http.StatusUnprocessableEntity, "No sign-in is waiting under this code")
	}
	h.post("/device", url.Values{"user_code": {d.UserCode}}).want(t, http.StatusTooManyRequests)
	h.post("/device", url.Values{"user_code": {d.UserCode}, "answer": {"approve"}}).want(t, http.StatusTooManyRequests)
	if told := h.events(broker.ActionLimit); len(told) != 1 || told[0].Target != string(limit.UserCode) || told[0].Username != "alice" {
		t.Errorf("the two that were too many have the events %v", told)
	}
	h.pollWant(d, "authorization_pending")
	// Another session of the same person brings no more tries.
	h.signIn()
	h.post("/device", url.Values{"user_code": {"BBBB-BBBB"}}).want(t, http.StatusTooManyRequests)
	// An address tries a hundred, however many people it has.
	for n := range 9 {
		h.inAs(fmt.Sprint("00u", n+2))
		for range 10 {
			h.post("/device", url.Values{"user_code": {"BBBB-BBBB"}}).want(t, http.StatusUnprocessableEntity)
		}
	}
	h.inAs("00u11")
	h.post("/device", url.Values{"user_code": {"BBBB-BBBB"}}).want(t, http.StatusTooManyRequests)
	h.clock = h.clock.Add(10 * time.Minute)
	h.inAs("00u12")
	h.post("/device", url.Values{"user_code": {"BBBB-BBBB"}}).want(t, http.StatusUnprocessableEntity)
}

// TestDeviceStarts ensures that one address does not fill the store.
func TestDeviceStarts(t *testing.T) {
	h := limited(t, map[limit.Kind]limit.Rate{limit.Device: {Address: 3, Per: time.Minute}})
	for range 3 {
		h.startDevice("x")
	}
	a, got := h.program("/oauth/device_authorization", url.Values{"client_id": {program.CLIClientID}})
	if a.StatusCode != http.StatusTooManyRequests || got.Error != "slow_down" {
		t.Error(a.StatusCode, a.body)
	}
}

// TestPhishedApprovalIsRevoked ensures that what was approved by mistake can be
// taken back.
func TestPhishedApprovalIsRevoked(t *testing.T) {
	h := newHouse(t)
	h.signIn()
	d := h.startDevice("thief")
	h.post("/device", url.Values{"user_code": {d.UserCode}, "answer": {"approve"}}).want(t, http.StatusOK)
	h.post("/signout", nil) // before the thief polls
	h.pollWant(d, "invalid_grant")
}

// TestDeviceHostName ensures that what a program says about itself cannot
// disguise the page.
func TestDeviceHostName(t *testing.T) {
	h := newHouse(t)
	h.signIn()
	d := h.startDevice("good\u202egnp.exe\n<b>" + strings.Repeat("x", 300))
	a := h.post("/device", url.Values{"user_code": {d.UserCode}}).want(t, http.StatusOK, "goodgnp.exe&lt;b&gt;")
	if strings.Contains(a.body, strings.Repeat("x", 101)) || strings.Contains(a.body, "\u202e") {
		t.Error(a.body)
	}
}

// TestPhishedApprovalIsEnded ensures that the person finds a program that they
// let in by mistake among their sessions, and ends it there.
func TestPhishedApprovalIsEnded(t *testing.T) {
	h := newHouse(t)
	h.signIn()
	d := h.startDevice("thief")
	h.post("/device", url.Values{"user_code": {d.UserCode}, "answer": {"approve"}}).want(t, http.StatusOK)
	thief := h.pollWant(d, "")
	if !h.alive(thief.Access) {
		t.Fatal("the token does not work")
	}
	h.clock = h.clock.Add(30 * time.Minute)
	h.get("/")
	h.clock = h.clock.Add(40 * time.Minute) // longer than a browser's session idles
	a := h.get("/sessions").want(t, http.StatusOK, "rolegate command line on thief")
	_, rest, _ := strings.Cut(a.body, `action="/sessions/end"><input type="hidden" name="session" value="`)
	key, _, _ := strings.Cut(rest, `"`)
	h.post("/sessions/end", url.Values{"session": {key}}).want(t, http.StatusSeeOther)
	if _, got := h.refresh(thief.Refresh); got.Error != "invalid_grant" {
		t.Errorf("%+v", got)
	}
	// Ending everything ends programs too.
	other := h.programTokens()
	h.clock = h.clock.Add(time.Minute)
	h.post("/sessions/end-all", nil)
	if h.alive(other.Access) {
		t.Errorf("the program outlives the end of everything; %d sessions", len(h.store.Sessions()))
	}
}

// demanding makes programs of okta's people need proof, by settings.
func demanding(h *house, c *web.Config) {
	h.parts(c, func(p *brokertest.Parts) { p.Providers[0].MFA.Programs = true })
}

// TestDeviceStepUp ensures that a device is let in only after the second factor
// where that is configured or asked for, that the page leads there and back, and
// that the button cannot be pressed without.
func TestDeviceStepUp(t *testing.T) {
	asked := func(h *house) deviceStart {
		a, _ := h.program("/oauth/device_authorization", url.Values{"client_id": {program.CLIClientID}, "host": {"laptop"}, "acr_values": {"mfa"}})
		var d deviceStart
		if err := json.Unmarshal([]byte(a.want(t, http.StatusOK).body), &d); err != nil {
			t.Fatal(err)
		}
		return d
	}
	for _, tt := range []struct {
		name   string
		change []func(*house, *web.Config)
		start  func(*house) deviceStart
	}{
		{"the settings want it", []func(*house, *web.Config){demanding}, func(h *house) deviceStart { return h.startDevice("laptop") }},
		{"the program asks for it", nil, asked},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h := newHouse(t, tt.change...)
			h.mfa = false
			h.signIn()
			d := tt.start(h)
			back := "/device?user_code=" + d.UserCode
			h.post("/device", url.Values{"user_code": {d.UserCode}}).want(t, http.StatusUnauthorized,
				`action="/signin/okta"`, `name="mfa" value="true"`, `name="return_to" value="`+back+`"`, "second factor")
			h.post("/device", url.Values{"user_code": {d.UserCode}, "answer": {"approve"}}).want(t, http.StatusUnauthorized, `action="/signin/okta"`)
			if e := h.event(broker.ActionClient, broker.OutcomeRefused); e.Code != broker.CodeStepUp || e.Detail["host"] != "laptop" {
				t.Errorf("%+v", e)
			}
			h.pollWant(d, "authorization_pending")
			h.post("/signin/okta", url.Values{"mfa": {"true"}, "return_to": {back}}).want(t, http.StatusOK, "Continue to Okta")
			h.mfa = true
			h.acs().wantLocation(t, back)
			h.get(back).want(t, http.StatusOK, `value="`+d.UserCode+`"`)
			a := h.post("/device", url.Values{"user_code": {d.UserCode}}).want(t, http.StatusOK, "Is this you?")
			if strings.Contains(a.body, "Prove my second factor") {
				t.Error("it asks for what was proven")
			}
			h.post("/device", url.Values{"user_code": {d.UserCode}, "answer": {"approve"}}).want(t, http.StatusOK, "is let in")
			h.pollWant(d, "")
		})
	}
	h := newHouse(t)
	a, _ := h.program("/oauth/device_authorization", url.Values{"client_id": {program.CLIClientID}, "max_age": {"soon"}})
	a.want(t, http.StatusBadRequest, "invalid_request")
}

// TestProgramsOfAWSStepUp ensures the same for AWS clients, which cannot ask for
// a second factor: where some roles need one the pages offer to prove it first,
// and credentials without say what to do.
func TestProgramsOfAWSStepUp(t *testing.T) {
	h := newHouse(t, demanding, ownFactor(t))
	h.mfa = false
	h.signIn()
	ask := "/authorize?" + authorization()
	h.get(ask).want(t, http.StatusUnauthorized, "needs a second factor", "Use your second factor", `href="/mfa?return_to=%2Fauthorize`)

	h = newHouse(t)
	h.mfa = false
	h.aws.assignments[1].Require.MFA = true
	h.signIn()
	h.get(ask).want(t, http.StatusOK, "Some of your roles need a second factor", "Prove my second factor first")
	a := h.post("/authorize", authorizationForm("answer", "stronger")).want(t, http.StatusUnauthorized, `action="/signin/okta"`, `name="mfa" value="true"`)
	if !strings.Contains(a.body, "code_challenge=") {
		t.Error("the way back is lost")
	}
	d := h.startDevice("laptop")
	h.post("/device", url.Values{"user_code": {d.UserCode}}).want(t, http.StatusOK, "Is this you?", "Prove my second factor first")
	h.post("/device", url.Values{"user_code": {d.UserCode}, "answer": {"stronger"}}).want(t, http.StatusUnauthorized, `action="/signin/okta"`)
	h.post("/device", url.Values{"user_code": {d.UserCode}, "answer": {"approve"}}).want(t, http.StatusOK)
	got := h.pollWant(d, "")
	a, _ = h.portal("federation/credentials?account_id=444455556666&role_name=ReadOnly", got.Access)
	if a.StatusCode != http.StatusUnauthorized || a.Header.Get("x-amzn-ErrorType") != "UnauthorizedException" || !strings.Contains(a.body, "rolegate login --mfa") {
		t.Errorf("%d %v %s", a.StatusCode, a.Header, a.body)
	}
}
