package oauth

import (
	"net/http"
	"net/url"
	"time"

	"github.com/rolegate/rolegate/broker"
	"github.com/rolegate/rolegate/broker/program"
	"github.com/rolegate/rolegate/broker/web/page"
	"github.com/rolegate/rolegate/broker/web/wire"
)

// DevicePage asks for a user code, then shows what asks, then says what was
// decided.
type DevicePage struct {
	page.Meta
	UserCode string
	Problem  string                 // what is wrong with UserCode
	Request  *program.DeviceRequest // nil: the code is not typed yet
	Client   string
	Done     string // "approved" or "denied"
	Closed   bool   // some of the person's roles need more proof than the session has
}

// Template names the page.
func (DevicePage) Template() string { return "device" }

const maxUserCode = 40

// askUserCode never looks the code up: a link that holds it only fills the
// field (RFC 8628 3.3.1, 5.4).
func (o *OAuth) askUserCode(w http.ResponseWriter, r *http.Request, sess *broker.Session) error {
	code := r.URL.Query().Get("user_code")
	if len(code) > maxUserCode {
		code = ""
	}
	return o.c.Pages.Render(w, http.StatusOK, DevicePage{Meta: o.meta(sess, "Sign in on another device"), UserCode: code})
}

func (o *OAuth) device(w http.ResponseWriter, r *http.Request, sess *broker.Session) error {
	code := r.PostForm.Get("user_code")
	if len(code) > maxUserCode {
		code = ""
	}
	switch r.PostForm.Get("answer") {
	case "":
		req, err := o.c.Programs.FindDevice(r.Context(), sess, code)
		if broker.CodeOf(err) == broker.CodeNotFound {
			return o.c.Pages.Render(w, http.StatusUnprocessableEntity, DevicePage{
				Meta: o.meta(sess, "Sign in on another device"), UserCode: code, Problem: broker.Message(err) + " " + broker.Remedy(err),
			})
		}
		if err != nil {
			return err
		}
		closed, err := o.c.Programs.Admits(r.Context(), sess, req.Need)
		if err != nil {
			return o.c.Door.Fail(sess, err, devicePath(code))
		}
		return o.c.Pages.Render(w, http.StatusOK, DevicePage{
			Meta: o.meta(sess, "Is this you?"), UserCode: req.UserCode, Request: &req, Client: req.Client, Closed: closed,
		})
	case "stronger":
		return o.c.Door.Fail(sess, errStronger, devicePath(code))
	case "approve":
		return o.decide(w, r, sess, code, true)
	case "deny":
		return o.decide(w, r, sess, code, false)
	default:
		return broker.Errorf(broker.CodeInvalid, "This form has been changed and cannot be used.").Fix("Start again in your program.")
	}
}

func (o *OAuth) decide(w http.ResponseWriter, r *http.Request, sess *broker.Session, code string, approve bool) error {
	if err := o.c.Programs.DecideDevice(r.Context(), sess, code, approve); err != nil {
		return o.c.Door.Fail(sess, err, devicePath(code))
	}
	out := DevicePage{Meta: o.meta(sess, "Let in"), Done: "approved"}
	if !approve {
		out.Title, out.Done = "Not let in", "denied"
	}
	return o.c.Pages.Render(w, http.StatusOK, out)
}

// devicePath leads back to the page with the code filled in.
func devicePath(code string) string {
	return PathDevice + "?" + url.Values{"user_code": {code}}.Encode()
}

type deviceAnswer struct {
	DeviceCode      string `json:"device_code"`
	UserCode        string `json:"user_code"`
	VerificationURI string `json:"verification_uri"`
	Complete        string `json:"verification_uri_complete"`
	ExpiresIn       int64  `json:"expires_in"`
	Interval        int64  `json:"interval"`
}

func (o *OAuth) deviceAuthorization(w http.ResponseWriter, r *http.Request) error {
	v, c, err := o.client(r)
	if err != nil {
		return err
	}
	host := v["host"]
	if len(host) > maxHost {
		host = host[:maxHost]
	}
	need, err := needOf(v)
	if err != nil {
		return err
	}
	d, err := o.c.Programs.StartDevice(r.Context(), c, host, need)
	if err != nil {
		return err
	}
	uri := o.c.PublicURL + PathDevice
	wire.JSON(w, http.StatusOK, deviceAnswer{
		DeviceCode: d.DeviceCode.Reveal(), UserCode: d.UserCode, VerificationURI: uri, Complete: uri + "?user_code=" + d.UserCode,
		ExpiresIn: int64(d.ExpiresIn / time.Second), Interval: int64(d.Interval / time.Second),
	})
	return nil
}
