package page

import (
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/rolegate/rolegate/broker"
)

// Post posts a form to an identity provider (SAML bindings 3.5).
type Post struct {
	Meta
	Text   string
	Action string
	Fields []Field
}

// Template names the page.
func (Post) Template() string { return "post" }

// Field is a hidden value of a form.
type Field struct{ Name, Value string }

// NewPost makes the page that posts a challenge. Its policy lets forms go to the
// provider's endpoint and to the further origins that it redirects to.
func NewPost(title, text string, c broker.Challenge, origins []string) (Post, error) {
	u, err := url.Parse(c.URL)
	if err != nil {
		return Post{}, fmt.Errorf("page: %w", err)
	}
	out := Post{
		Meta: Meta{Title: title, FormAction: append([]string{u.Scheme + "://" + u.Host}, origins...)}, Text: text, Action: c.URL,
	}
	for name, values := range c.Form {
		for _, v := range values {
			out.Fields = append(out.Fields, Field{name, v})
		}
	}
	slices.SortFunc(out.Fields, func(a, b Field) int { return strings.Compare(a.Name, b.Name) })
	return out, nil
}

// SignedOut says what a sign-out did. At most one of the flags is set.
type SignedOut struct {
	Meta
	Provider    string // name of the identity provider, "" if it has no part in it
	Confirmed   bool   // it said that its session has ended too
	Returned    bool   // it sent the browser back, which says less
	Unreachable bool   // it could not be asked
	Asked       bool   // it asked for the sign-out
	TraceID     string // where something did not work
}

// Template names the page.
func (SignedOut) Template() string { return "signedout" }

// NewSignedOut returns the page with its title.
func NewSignedOut(provider string) SignedOut {
	return SignedOut{Meta: Meta{Title: "Signed out"}, Provider: provider}
}

// BackChannel is an error that an identity provider is told, which speaks to us
// without a browser: in JSON, whatever it accepts (Back-Channel Logout 2.8).
type BackChannel struct{ Err error }

// Error returns the private text.
func (b *BackChannel) Error() string { return b.Err.Error() }

// Unwrap returns the error.
func (b *BackChannel) Unwrap() error { return b.Err }
