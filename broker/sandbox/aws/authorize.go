package aws

import (
	"encoding/xml"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
)

// canary is the one action that needs a permission here. It lets the effect of
// a role's inline policies be seen, AWSRevokeOlderSessions above all.
const canary = "GetAccessKeyInfo"

type keyInfoResponse struct {
	XMLName   xml.Name `xml:"GetAccessKeyInfoResponse"`
	NS        string   `xml:"xmlns,attr"`
	Account   string   `xml:"GetAccessKeyInfoResult>Account"`
	RequestID string   `xml:"ResponseMetadata>RequestId"`
}

// accessKeyInfo answers who may ask with the caller's own account, whatever
// key is asked about.
func (a *AWS) accessKeyInfo(r *http.Request, body []byte, form formValues, requestID string) (any, error) {
	if len(form.Get("AccessKeyId")) < 16 {
		return nil, refuse("ValidationError", "AccessKeyId has 16 characters at least")
	}
	s, err := a.caller(r, body)
	if err != nil {
		return nil, err
	}
	if err := a.authorize(s, "sts:"+canary); err != nil {
		return nil, err
	}
	return keyInfoResponse{NS: stsNamespace, Account: s.Account, RequestID: requestID}, nil
}

// authorize evaluates the inline policies of the session's role (IAM User Guide
// "Policy evaluation logic"). Deny wins, and nothing is allowed by default.
func (a *AWS) authorize(s *session, action string) error {
	f := facts{
		"aws:tokenissuetime": {s.Issued.UTC().Format(time.RFC3339Nano)},
		"aws:currenttime":    {a.o.Now().UTC().Format(time.RFC3339)},
		"aws:userid":         {s.RoleID + ":" + s.Name},
	}
	if s.SourceIdentity != "" {
		f["aws:sourceidentity"] = []string{s.SourceIdentity}
	}
	for k, v := range s.Tags {
		f["aws:principaltag/"+strings.ToLower(k)] = []string{v}
	}
	allowed, denied := false, false
	a.mu.Lock()
	if acc := a.account(s.Account); acc != nil {
		for _, r := range acc.Roles {
			for _, p := range r.inline {
				for _, st := range p.Statement {
					hit := r.id == s.RoleID && st.acts(action) && st.conditions(f)
					allowed, denied = allowed || hit && st.Effect == "Allow", denied || hit && st.Effect == "Deny"
				}
			}
		}
	}
	a.mu.Unlock()
	return first(
		a.need("call.denied", !denied, refuse("AccessDenied", "User: %s is not authorized to perform: %s with an explicit deny in an identity-based policy", s.ARN(), action)),
		a.need("call.allowed", allowed, refuse("AccessDenied", "User: %s is not authorized to perform: %s because no identity-based policy allows the %s action", s.ARN(), action, action)),
	)
}

// PutRolePolicy is IAM's: it puts an inline policy into a role, in the place of
// one of the same name. What the double cannot evaluate is an error.
func (a *AWS) PutRolePolicy(account, role, name, document string) error {
	p, err := parseInlinePolicy(document)
	if err != nil {
		return fmt.Errorf("aws: policy %s of role %s: %w", name, role, err)
	}
	return a.withRole(account, role, func(r *Role) {
		if r.inline == nil {
			r.inline = map[string]policy{}
		}
		r.inline[name] = p
	})
}

// DeleteRolePolicy is IAM's.
func (a *AWS) DeleteRolePolicy(account, role, name string) error {
	return a.withRole(account, role, func(r *Role) { delete(r.inline, name) })
}

func (a *AWS) withRole(account, role string, f func(*Role)) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	acc := a.account(account)
	if acc == nil {
		return fmt.Errorf("aws: no account %s", account)
	}
	i := slices.IndexFunc(acc.Roles, func(r Role) bool { return r.Name == role })
	if i < 0 {
		return fmt.Errorf("aws: no role %s in %s", role, account)
	}
	f(&acc.Roles[i])
	return nil
}

// Chained gives issued credentials the mark of AssumeRole from temporary
// credentials, and returns their session token with it.
func (a *AWS) Chained(accessKeyID string) (string, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	s := a.sessions[accessKeyID]
	if s == nil {
		return "", fmt.Errorf("aws: no access key %s", accessKeyID)
	}
	s.Chained = true
	return a.token(s), nil
}
