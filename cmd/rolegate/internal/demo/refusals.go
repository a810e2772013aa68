package demo

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/beevik/etree"

	"github.com/rolegate/rolegate/cmd/rolegate/internal/formbrowser"
)

// refusedPage recognises a refused sign-in: the status, and no session.
func (c *check) refusedPage(b *formbrowser.Browser) error {
	if b.Status != http.StatusUnauthorized {
		return fmt.Errorf("status %d at %s, 401 was wanted", b.Status, b.URL)
	}
	var me struct{ Username string }
	if err := c.api(b, http.MethodGet, "/api/v1/me", nil, &me); err == nil {
		return fmt.Errorf("a session of %s exists", me.Username)
	}
	return nil
}

// answered signs bob in at the SAML provider and stops before the response is
// sent.
func (c *check) answered() (*formbrowser.Browser, url.Values, error) {
	b, err := formbrowser.New(nil)
	if err != nil {
		return nil, nil, err
	}
	if err := c.authenticate(b, "saml", "bob"); err != nil {
		return nil, nil, err
	}
	f, ok := b.Find(formbrowser.Has("SAMLResponse"))
	if !ok {
		return nil, nil, fmt.Errorf("no response at %s (%d)", b.URL, b.Status)
	}
	return b, f.Fields, nil
}

// badResponse sends a response of bob's that change spoiled.
func (c *check) badResponse(change func(url.Values)) func() error {
	return func() error {
		b, form, err := c.answered()
		if err != nil {
			return err
		}
		change(form)
		if err := b.Post(c.ctx, c.d.Portal+"/saml/saml/acs", form); err != nil {
			return err
		}
		return c.refusedPage(b)
	}
}

func edit(form url.Values, old, new string) {
	raw, err := base64.StdEncoding.DecodeString(form.Get("SAMLResponse"))
	if err != nil {
		return
	}
	form.Set("SAMLResponse", base64.StdEncoding.EncodeToString([]byte(strings.ReplaceAll(string(raw), old, new))))
}

// liar lets the demo's SAML provider sign something it should not.
func (c *check) liar(change func(response, assertion *etree.Element), sign bool) func() error {
	return func() error {
		c.d.saml.SetTamper(func(response *etree.Element, signElement func(*etree.Element)) {
			assertion := response.FindElement("./Assertion")
			change(response, assertion)
			if sign {
				signElement(assertion)
			}
		})
		defer c.d.saml.SetTamper(nil)
		return c.badResponse(func(url.Values) {})()
	}
}

func (c *check) refuseSignIns() {
	c.refuse("a wrong password", func() error {
		b, err := formbrowser.New(nil)
		if err != nil {
			return err
		}
		if err := b.Get(c.ctx, c.d.Portal+"/signin/saml"); err != nil {
			return err
		}
		if err := b.Submit(c.ctx, formbrowser.Has("username"), map[string]string{"username": "alice", "password": "wrong"}); err != nil {
			return err
		}
		if _, ok := b.Find(formbrowser.Has("username")); !ok || b.Status != http.StatusUnauthorized {
			return fmt.Errorf("ended at %s with status %d", b.URL, b.Status)
		}
		return nil
	})
	c.refuse("a wrong second factor", func() error {
		b, err := formbrowser.New(nil)
		if err != nil {
			return err
		}
		if err := b.Get(c.ctx, c.d.Portal+"/signin/oidc"); err != nil {
			return err
		}
		if err := b.Submit(c.ctx, formbrowser.Has("username"), map[string]string{"username": "alice", "password": c.person("alice").Password}); err != nil {
			return err
		}
		if err := b.Submit(c.ctx, formbrowser.Has("code"), map[string]string{"code": "000000"}); err != nil {
			return err
		}
		if _, ok := b.Find(formbrowser.Has("code")); !ok {
			return fmt.Errorf("ended at %s with status %d", b.URL, b.Status)
		}
		return nil
	})
	c.refuse("a response whose groups were changed", c.badResponse(func(f url.Values) { edit(f, "aws-developers", "aws-platform__") }))
	c.refuse("a response whose name was changed", c.badResponse(func(f url.Values) { edit(f, "bob@example.com", "ali@example.com") }))
	c.refuse("a response with a DOCTYPE", c.badResponse(func(f url.Values) { edit(f, "<samlp:Response", "<!DOCTYPE x><samlp:Response") }))
	c.refuse("an unsolicited response", c.badResponse(func(f url.Values) { f.Del("RelayState") }))
	c.refuse("a response under another sign-in's state", c.badResponse(func(f url.Values) { f.Set("RelayState", strings.Repeat("A", 43)) }))
	c.refuse("a response sent twice", func() error {
		b, form, err := c.answered()
		if err != nil {
			return err
		}
		if err := b.Post(c.ctx, c.d.Portal+"/saml/saml/acs", form); err != nil {
			return err
		}
		if err := atPortal(c.d, b); err != nil {
			return err
		}
		thief, err := formbrowser.New(nil)
		if err != nil {
			return err
		}
		if err := thief.Post(c.ctx, c.d.Portal+"/saml/saml/acs", form); err != nil {
			return err
		}
		return c.refusedPage(thief)
	})
	c.refuse("a stolen response in another browser", func() error {
		_, form, err := c.answered()
		if err != nil {
			return err
		}
		thief, err := formbrowser.New(nil)
		if err != nil {
			return err
		}
		if err := thief.Post(c.ctx, c.d.Portal+"/saml/saml/acs", form); err != nil {
			return err
		}
		return c.refusedPage(thief)
	})
	c.refuse("an unsigned response", c.liar(func(_, _ *etree.Element) {}, false))
	c.refuse("a response for another service", c.liar(func(_, as *etree.Element) { as.FindElement(".//Audience").SetText("https://other.example") }, true))
	c.refuse("a response for another address", c.liar(func(_, as *etree.Element) {
		as.FindElement(".//SubjectConfirmationData").CreateAttr("Recipient", "https://other.example/acs")
	}, true))
	c.refuse("an expired response", c.liar(func(_, as *etree.Element) {
		as.FindElement("./Conditions").CreateAttr("NotOnOrAfter", "2020-01-01T00:00:00Z")
	}, true))
	c.refuse("a response of another issuer", c.liar(func(_, as *etree.Element) { as.FindElement("./Issuer").SetText("https://other.example") }, true))
	c.refuse("an OpenID answer with another state", c.badCallback(func(q url.Values) { q.Set("state", "other") }, false))
	c.refuse("an OpenID answer with another code", c.badCallback(func(q url.Values) { q.Set("code", "other") }, false))
	c.refuse("a stolen OpenID answer in another browser", c.badCallback(func(url.Values) {}, true))
}

// badCallback stops bob's OpenID sign-in before the callback and sends a
// spoiled one, from the same or another browser.
func (c *check) badCallback(change func(url.Values), elsewhere bool) func() error {
	return func() error {
		b, err := formbrowser.New(nil)
		if err != nil {
			return err
		}
		b.StopAt(func(u *url.URL) bool { return u.Path == "/oidc/oidc/callback" })
		if err := c.authenticate(b, "oidc", "bob"); err != nil {
			return err
		}
		last, err := url.Parse(b.Hops[len(b.Hops)-1])
		if err != nil || last.Path != "/oidc/oidc/callback" {
			return fmt.Errorf("no callback: %v", b.Hops)
		}
		q := last.Query()
		change(q)
		last.RawQuery = q.Encode()
		if elsewhere {
			if b, err = formbrowser.New(nil); err != nil {
				return err
			}
		}
		if err := b.Get(c.ctx, last.String()); err != nil {
			return err
		}
		return c.refusedPage(b)
	}
}

// console posts a console form of bob's and wants a page of the status.
func (c *check) console(form url.Values, status int) func() error {
	return func() error {
		b := c.oidcBrowser
		if b == nil {
			return errors.New("not signed in")
		}
		if err := b.Get(c.ctx, c.d.Portal+"/"); err != nil {
			return err
		}
		if err := b.Post(c.ctx, c.d.Portal+"/console", form); err != nil {
			return err
		}
		if b.Status != status {
			return fmt.Errorf("status %d at %s", b.Status, b.URL)
		}
		return nil
	}
}

func (c *check) refuseAccess() {
	c.refuse("a form with an unknown role", c.console(url.Values{"assignment": {"abcdefghij"}}, http.StatusForbidden))
	c.refuse("a form with a role ARN", c.console(url.Values{"assignment": {"arn:aws:iam::111111111111:role/RolegateAdmin"}}, http.StatusForbidden))
	c.refuse("a form with alice's role", func() error {
		id, err := c.assignment(c.samlBrowser, "production", "Admin")
		if err != nil {
			return err
		}
		return c.console(url.Values{"assignment": {id}}, http.StatusForbidden)()
	})
	c.refuse("a deep link to a role that bob lacks", func() error {
		if err := c.oidcBrowser.Get(c.ctx, c.d.Portal+"/go?account=production&role=Admin"); err != nil {
			return err
		}
		if c.oidcBrowser.Status != http.StatusForbidden {
			return fmt.Errorf("status %d", c.oidcBrowser.Status)
		}
		return nil
	})
	c.refuse("a destination outside the console", func() error {
		id, err := c.assignment(c.oidcBrowser, "development", "Developer")
		if err != nil {
			return err
		}
		return c.console(url.Values{"assignment": {id}, "destination": {"https://evil.example/"}}, http.StatusBadRequest)()
	})
	c.refuse("a form posted from another site", func() error {
		id, err := c.assignment(c.oidcBrowser, "development", "Developer")
		if err != nil {
			return err
		}
		b := c.oidcBrowser
		if err := b.Get(c.ctx, c.d.Console); err != nil {
			return err
		}
		if err := b.Post(c.ctx, c.d.Portal+"/console", url.Values{"assignment": {id}}); err != nil {
			return err
		}
		if b.Status != http.StatusForbidden {
			return fmt.Errorf("status %d at %s", b.Status, b.URL)
		}
		return nil
	})
	c.refuse("a role that AWS does not give, naming the account to mend", func() error {
		id, err := c.assignment(c.samlBrowser, "security", "Auditor")
		if err != nil {
			return err
		}
		b := c.samlBrowser
		if err := b.Get(c.ctx, c.d.Portal+"/"); err != nil {
			return err
		}
		if err := b.Post(c.ctx, c.d.Portal+"/console", url.Values{"assignment": {id}}); err != nil {
			return err
		}
		if b.Status != http.StatusForbidden || !strings.Contains(b.Body, "444444444444") {
			return fmt.Errorf("status %d at %s", b.Status, b.URL)
		}
		return nil
	})
	c.refuse("credentials for longer than the role allows", func() error {
		id, err := c.assignment(c.samlBrowser, "production", "Admin")
		if err != nil {
			return err
		}
		return wantStatus(c.api(c.samlBrowser, http.MethodPost, "/api/v1/role-credentials", map[string]any{"assignment": id, "duration_seconds": 7200}, &keys{}), "status 400")
	})
	c.refuse("the API without a session", func() error {
		return wantStatus(c.api(nil, http.MethodGet, "/api/v1/me", nil, &keys{}), "status 401")
	})
	c.refuse("credentials with another secret", func() error {
		k, err := c.credentials(c.samlBrowser, "production", "Admin")
		if err != nil {
			return err
		}
		k.SecretAccessKey = "wrong"
		_, err = c.caller(k)
		return wantStatus(err, "SignatureDoesNotMatch")
	})
}

func wantStatus(err error, says string) error {
	if err == nil {
		return errors.New("it was given")
	}
	if !strings.Contains(err.Error(), says) {
		return err
	}
	return nil
}
