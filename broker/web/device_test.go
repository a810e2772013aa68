package web_test

import (
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/rolegate/rolegate/broker"
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
	events := len(h.mem.events)
	for _, to := range []string{d.Complete, d.Complete + "&answer=approve"} {
		a := h.get(strings.TrimPrefix(to, h.public)).want(t, http.StatusOK, `value="`+d.UserCode+`"`)
		if strings.Contains(a.body, "lure") || strings.Contains(a.body, "approve") {
			t.Error("a link alone shows the request")
		}
	}
	if len(h.mem.events) != events {
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
			if e := h.event(broker.ActionClient, broker.OutcomeRefused); e.Detail["reason"] != "expired" {
				t.Errorf("%+v", e)
			}
			n := len(h.mem.events)
			h.pollWant(d, "expired_token")
			if len(h.mem.events) != n {
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
	h.pollWant(d, "authorization_pending")
	// An address tries a hundred, however many sessions it has.
	for range 9 {
		h.signIn()
		for range 10 {
			h.post("/device", url.Values{"user_code": {"BBBB-BBBB"}}).want(t, http.StatusUnprocessableEntity)
		}
	}
	h.signIn()
	h.post("/device", url.Values{"user_code": {"BBBB-BBBB"}}).want(t, http.StatusTooManyRequests)
	h.clock = h.clock.Add(10 * time.Minute)
	h.signIn()
	h.post("/device", url.Values{"user_code": {"BBBB-BBBB"}}).want(t, http.StatusUnprocessableEntity)
}

// TestDeviceStarts ensures that one address does not fill the store.
func TestDeviceStarts(t *testing.T) {
	h := newHouse(t)
	for range 60 {
		h.startDevice("x")
	}
	a, got := h.program("/oauth/device_authorization", url.Values{"client_id": {broker.CLIClientID}})
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
	h.mem.mu.Lock()
	n := len(h.mem.sessions)
	h.mem.mu.Unlock()
	if h.alive(other.Access) {
		t.Errorf("the program outlives the end of everything; %d sessions", n)
	}
}
