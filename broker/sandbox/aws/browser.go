package aws

import (
	"encoding/base64"
	"encoding/xml"
	"errors"
	"html/template"
	"net/http"
	"net/url"
	"strings"

	"github.com/crewjam/saml"
)

var chooserPage = template.Must(template.ParseFS(pages, "chooser.html"))

// browserPost is the sign-in of a browser that brings the SAML response itself
// (IAM User Guide "Enabling SAML 2.0 federated principals to access the AWS
// Management Console"). STS's checks decide; of several roles the person
// chooses one.
func (a *AWS) browserPost(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, 512<<10)
	h := w.Header()
	h.Set("Cache-Control", "no-store")
	h.Set("Referrer-Policy", "no-referrer")
	if a.need("browser.method", r.Method == http.MethodPost, refuse("", "method")) != nil {
		http.Error(w, unhelpful, http.StatusMethodNotAllowed)
		return
	}
	form := r.URL.Query()
	if r.Method == http.MethodPost {
		_, posted, err := readForm(r)
		if err != nil {
			http.Error(w, unhelpful, http.StatusBadRequest)
			return
		}
		form = posted.Values
	}
	if err := a.signInByResponse(w, r, form); err != nil {
		status := http.StatusBadRequest
		if no, ok := errors.AsType[*refusal](err); ok {
			status = no.status
		}
		http.Error(w, err.Error(), status)
	}
}

func (a *AWS) signInByResponse(w http.ResponseWriter, r *http.Request, form url.Values) error {
	raw := form.Get("SAMLResponse")
	pairs, seconds := offered(raw)
	if chosen := form.Get("role"); chosen != "" {
		pairs = []string{chosen}
	}
	if len(pairs) == 0 {
		return invalidToken("Response does not offer a role")
	}
	// Nothing of the response is believed, or shown, before STS's checks of the
	// one role, or of each that is offered.
	var c *assume
	for _, pair := range pairs {
		role, provider, _ := strings.Cut(pair, ",")
		call := url.Values{"Action": {"AssumeRoleWithSAML"}, "RoleArn": {role}, "PrincipalArn": {provider}, "SAMLAssertion": {raw}}
		if seconds != "" {
			call.Set("DurationSeconds", seconds)
		}
		var err error
		if c, err = a.assumeRole(r.Context(), call); err != nil {
			return err
		}
	}
	if len(pairs) > 1 {
		h := w.Header()
		h.Set("Content-Type", "text/html; charset=utf-8")
		h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'self' "+a.o.ConsoleURL)
		return chooserPage.Execute(w, map[string]any{"Response": raw, "RelayState": form.Get("RelayState"), "Pairs": pairs})
	}
	s, _, err := c.grant(randomHex(16))
	if err != nil {
		return err
	}
	to, err := url.Parse(form.Get("RelayState"))
	if err != nil || a.need("browser.relay_state", a.console(to, s.Partition), refuse("", "RelayState")) != nil {
		if to, err = url.Parse(a.consoleHome(s.Partition)); err != nil {
			return err
		}
	}
	console := *s
	console.AccessKeyID = newAccessKey()
	a.openConsole(w, &console, to)
	return nil
}

// offered reads the Role and SessionDuration attributes of a response that
// nobody has verified yet.
func offered(raw string) (pairs []string, seconds string) {
	doc, err := base64.StdEncoding.DecodeString(raw)
	var response saml.Response
	if err != nil || xml.Unmarshal(doc, &response) != nil || response.Assertion == nil {
		return nil, ""
	}
	for _, st := range response.Assertion.AttributeStatements {
		for _, at := range st.Attributes {
			for _, v := range at.Values {
				switch at.Name {
				case samlAttributes + "Role":
					pairs = append(pairs, v.Value)
				case samlAttributes + "SessionDuration":
					seconds = v.Value
				}
			}
		}
	}
	return pairs, seconds
}

// consoleHome is where the browser goes without a destination.
func (a *AWS) consoleHome(partition string) string {
	if a.o.ConsoleURL != "" {
		return a.o.ConsoleURL + "/"
	}
	hosts := map[string]string{"aws": "console.aws.amazon.com", "aws-us-gov": "console.amazonaws-us-gov.com", "aws-cn": "console.amazonaws.cn", "aws-eusc": "console.amazonaws-eusc.eu"}
	return "https://" + hosts[partition] + "/"
}
