package demo

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	awssdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/pquerna/otp/totp"

	"github.com/rolegate/rolegate/broker/sandbox/aws/probe"
	"github.com/rolegate/rolegate/broker/sandbox/idp"
	"github.com/rolegate/rolegate/cmd/rolegate/internal/formbrowser"
)

// check drives the demo and counts what went as it must.
type check struct {
	d        *Demo
	ctx      context.Context //nolint:containedctx // one run, passed to every step
	out      io.Writer
	steps    int
	refusals int
	failed   int

	samlBrowser, oidcBrowser *formbrowser.Browser
	lastCode                 map[string]string
}

// Check drives both sign-ins to a console session, all three ways to STS, every
// attempt that must be refused, and one refusal for each check of the AWS
// double, printing one line for each. The error
// says how many went wrong.
func (d *Demo) Check(ctx context.Context, out io.Writer) error {
	c := &check{d: d, ctx: ctx, out: out, lastCode: map[string]string{}}
	c.signIns()
	c.roles()
	c.refuseSignIns()
	c.refuseAccess()
	for _, r := range probe.Run(ctx, d.switchOff...) {
		c.refuse("by AWS, "+r.Check.ID+": "+r.Check.What, func() error { return r.Err })
	}
	fmt.Fprintf(out, "%d steps, %d refusals, %d failed\n", c.steps, c.refusals, c.failed)
	if c.failed > 0 {
		return fmt.Errorf("demo: %d of %d did not go as they must", c.failed, c.steps+c.refusals)
	}
	return nil
}

func (c *check) step(name string, f func() error) {
	c.steps++
	c.report("step", name, f())
}

// refuse runs f, which must end in a refusal that it recognises itself.
func (c *check) refuse(name string, f func() error) {
	c.refusals++
	c.report("refused", name, f())
}

func (c *check) report(kind, name string, err error) {
	if err != nil {
		c.failed++
		fmt.Fprintf(c.out, "FAILED  %s: %v\n", name, err)
		return
	}
	fmt.Fprintf(c.out, "%-7s %s\n", kind, name)
}

func (c *check) person(username string) idp.Person {
	for _, p := range c.d.People {
		if p.Username == username {
			return p
		}
	}
	return idp.Person{}
}

// authenticate goes through the identity provider's pages, up to but without
// the form that carries a SAML response.
func (c *check) authenticate(b *formbrowser.Browser, provider, username string) error {
	p := c.person(username)
	if err := b.Get(c.ctx, c.d.Portal+"/signin/"+provider); err != nil {
		return err
	}
	// A POST-binding page of ours or theirs may come first.
	for range 2 {
		if _, ok := b.Find(formbrowser.Has("SAMLRequest")); ok {
			if err := b.Submit(c.ctx, formbrowser.Has("SAMLRequest"), nil); err != nil {
				return err
			}
		}
	}
	if err := b.Submit(c.ctx, formbrowser.Has("username"), map[string]string{"username": p.Username, "password": p.Password}); err != nil {
		return err
	}
	if p.TOTPSecret == "" {
		return nil
	}
	code, err := c.code(provider, p)
	if err != nil {
		return err
	}
	return b.Submit(c.ctx, formbrowser.Has("code"), map[string]string{"code": code})
}

// code returns a TOTP code that this provider has not seen: the present one, or
// the next, which providers take for clocks that are ahead.
func (c *check) code(provider string, p idp.Person) (string, error) {
	now := time.Now()
	for _, at := range []time.Time{now, now.Add(30 * time.Second), now.Add(-30 * time.Second)} {
		code, err := totp.GenerateCode(p.TOTPSecret, at)
		if err != nil {
			return "", err
		}
		key := provider + "/" + p.Username
		if !strings.Contains(c.lastCode[key], code) {
			c.lastCode[key] += " " + code
			return code, nil
		}
	}
	return "", errors.New("every code of the minute is used")
}

// signIn signs in from an empty browser to the portal page.
func (c *check) signIn(provider, username string) (*formbrowser.Browser, error) {
	b, err := formbrowser.New(nil)
	if err != nil {
		return nil, err
	}
	if err := c.authenticate(b, provider, username); err != nil {
		return nil, err
	}
	if provider == "saml" {
		if err := b.Submit(c.ctx, formbrowser.Has("SAMLResponse"), nil); err != nil {
			return nil, err
		}
	}
	return b, atPortal(c.d, b)
}

func atPortal(d *Demo, b *formbrowser.Browser) error {
	if b.Status != http.StatusOK || !strings.HasPrefix(b.URL.String(), d.Portal+"/") || b.URL.Path != "/" {
		return fmt.Errorf("ended at %s with status %d", b.URL, b.Status)
	}
	return nil
}

func (c *check) signIns() {
	c.step("the portal sends who is not signed in to the sign-in page", func() error {
		b, err := formbrowser.New(nil)
		if err != nil {
			return err
		}
		if err := b.Get(c.ctx, c.d.Portal+"/"); err != nil {
			return err
		}
		if b.URL.Path != "/signin" {
			return fmt.Errorf("ended at %s", b.URL)
		}
		return nil
	})
	c.step("alice signs in through SAML with her second factor", func() (err error) {
		c.samlBrowser, err = c.signIn("saml", "alice")
		return err
	})
	c.step("bob signs in through OpenID Connect", func() (err error) {
		c.oidcBrowser, err = c.signIn("oidc", "bob")
		return err
	})
	c.step("carol signs in and is told that she has no role, and why", func() error {
		b, err := c.signIn("saml", "carol")
		if err != nil {
			return err
		}
		if _, has := b.Find(formbrowser.Has("assignment")); has {
			return errors.New("she was offered a role")
		}
		return nil
	})
	c.step("the API says who alice is, and that she proved a second factor", func() error {
		var me struct {
			Username string
			MFA      bool
		}
		if err := c.api(c.samlBrowser, http.MethodGet, "/api/v1/me", nil, &me); err != nil {
			return err
		}
		if me.Username != "alice" || !me.MFA {
			return fmt.Errorf("it says %+v", me)
		}
		return nil
	})
}

// api calls the JSON API with the browser's session.
func (c *check) api(b *formbrowser.Browser, method, path string, in, out any) error {
	var body io.Reader
	if in != nil {
		j, err := json.Marshal(in)
		if err != nil {
			return err
		}
		body = strings.NewReader(string(j))
	}
	req, err := http.NewRequestWithContext(c.ctx, method, c.d.Portal+path, body)
	if err != nil {
		return err
	}
	req.Header.Set("Accept", "application/json")
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Sec-Fetch-Site", "same-origin")
	if b != nil {
		for _, cookie := range b.Cookies(c.d.Portal) {
			req.AddCookie(cookie)
		}
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		b, _ := io.ReadAll(io.LimitReader(resp.Body, 4096)) // the status says enough
		return fmt.Errorf("status %d: %s", resp.StatusCode, b)
	}
	return json.NewDecoder(resp.Body).Decode(out)
}

// assignment finds the id for an account and role in the person's list.
func (c *check) assignment(b *formbrowser.Browser, account, role string) (string, error) {
	var list struct {
		Assignments []struct {
			ID      string
			Role    string
			Account struct{ Name string }
		}
	}
	if err := c.api(b, http.MethodGet, "/api/v1/assignments", nil, &list); err != nil {
		return "", err
	}
	for _, a := range list.Assignments {
		if a.Account.Name == account && a.Role == role {
			return a.ID, nil
		}
	}
	return "", fmt.Errorf("no role %s in %s", role, account)
}

type keys struct {
	AccessKeyID     string    `json:"access_key_id"`
	SecretAccessKey string    `json:"secret_access_key"`
	SessionToken    string    `json:"session_token"`
	Expiration      time.Time `json:"expiration"`
}

func (c *check) credentials(b *formbrowser.Browser, account, role string) (keys, error) {
	id, err := c.assignment(b, account, role)
	if err != nil {
		return keys{}, err
	}
	var k keys
	err = c.api(b, http.MethodPost, "/api/v1/role-credentials", map[string]any{"assignment": id, "duration_seconds": 900}, &k)
	return k, err
}

// caller asks the double who the credentials are, with the real SDK.
func (c *check) caller(k keys) (string, error) {
	client := sts.New(sts.Options{
		Region: "us-east-1", BaseEndpoint: &c.d.STS, RetryMaxAttempts: 1,
		Credentials: credentials.NewStaticCredentialsProvider(k.AccessKeyID, k.SecretAccessKey, k.SessionToken),
	})
	out, err := client.GetCallerIdentity(c.ctx, &sts.GetCallerIdentityInput{})
	if err != nil {
		return "", err
	}
	return awssdk.ToString(out.Arn), nil
}

func (c *check) roles() {
	tests := []struct {
		browser            **formbrowser.Browser
		via, account, role string
		iamRole, who       string
	}{
		{&c.samlBrowser, "saml", "production", "Admin", "RolegateAdmin", "alice@example.com"},
		{&c.oidcBrowser, "oidc", "development", "Developer", "RolegateDeveloper", "bob@example.com"},
		{&c.oidcBrowser, "idp_token", "sandbox", "Build", "RolegateBuild", "bob@example.com"},
	}
	for _, t := range tests {
		want := "assumed-role/" + t.iamRole + "/" + t.who
		c.step(fmt.Sprintf("via %s: the console says %s", t.via, want), func() error {
			if *t.browser == nil {
				return errors.New("not signed in")
			}
			id, err := c.assignment(*t.browser, t.account, t.role)
			if err != nil {
				return err
			}
			b := *t.browser
			if err := b.Get(c.ctx, c.d.Portal+"/"); err != nil {
				return err
			}
			if err := b.Post(c.ctx, c.d.Portal+"/console", url.Values{"assignment": {id}, "destination": {"ec2/home"}, "region": {"eu-west-1"}}); err != nil {
				return err
			}
			if !strings.HasPrefix(b.URL.String(), c.d.Console) || !strings.Contains(b.Body, want) || !strings.Contains(b.Body, "/ec2/home") {
				return fmt.Errorf("ended at %s with status %d", b.URL, b.Status)
			}
			return nil
		})
		c.step(fmt.Sprintf("via %s: GetCallerIdentity with the credentials says the same", t.via), func() error {
			if *t.browser == nil {
				return errors.New("not signed in")
			}
			k, err := c.credentials(*t.browser, t.account, t.role)
			if err != nil {
				return err
			}
			arn, err := c.caller(k)
			if err != nil {
				return err
			}
			if !strings.HasSuffix(arn, want) {
				return fmt.Errorf("it says %s", arn)
			}
			return nil
		})
	}
}
