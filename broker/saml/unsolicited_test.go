package saml_test

import (
	"strings"
	"testing"
	"time"

	"github.com/beevik/etree"
	"github.com/google/go-cmp/cmp"

	"github.com/rolegate/rolegate/broker"
	"github.com/rolegate/rolegate/broker/saml"
)

func idpInitiated(c *saml.Config) { c.IDPInitiated = true }

// unasked makes an answer to no request.
func unasked(_, as *etree.Element) {
	as.Parent().RemoveAttr("InResponseTo")
	as.FindElement(".//SubjectConfirmationData").RemoveAttr("InResponseTo")
}

// TestUnsolicited ensures that an answer to no request is verified like any
// other where that is configured, with what the replay guard needs.
func TestUnsolicited(t *testing.T) {
	sp := newSP(t, metadata(idpKey()), idpInitiated)
	a := good()
	a.before = unasked
	got, err := sp.FinishUnsolicited(t.Context(), form(a.build(t)))
	if err != nil || got.Subject.ID != "alice-0001" || got.ReplayID != "_a1" || !got.ReplayExpires.After(fixed.Add(5*time.Minute)) || !sp.AcceptsUnsolicited() {
		t.Errorf("%v %+v", err, got)
	}
	if newSP(t, metadata(idpKey()), nil).AcceptsUnsolicited() {
		t.Error("offered where idp_initiated is off")
	}
}

// TestUnsolicitedRefused ensures that what is not exactly an answer to no
// request is refused, and that nothing else is relaxed.
func TestUnsolicitedRefused(t *testing.T) {
	evil := evilKey()
	for _, tt := range []refusal{
		{"idp_initiated is off", "idp_initiated is off", func(c *saml.Config) { c.IDPInitiated = false }, func(a *answer) { a.before = unasked }},
		{"answer stolen from a sign-in in flight", "the response answers", nil, nil},
		{"InResponseTo on the response only", "the response answers", nil, set(".//SubjectConfirmationData", "x", "y")},
		{"InResponseTo on the confirmation only", "the confirmation answers", nil, func(a *answer) {
			a.before = func(r, _ *etree.Element) { r.RemoveAttr("InResponseTo") }
		}},
		{"InResponseTo stripped from the response", "the confirmation answers", nil, after(func(r *etree.Element) { r.RemoveAttr("InResponseTo") })},
		{"InResponseTo stripped everywhere after signing", "signature of the assertion", nil, after(func(r *etree.Element) { unasked(r, assertionOf(r)) })},
		{"empty InResponseTo", "the response answers", nil, func(a *answer) {
			a.before = func(r, as *etree.Element) { unasked(r, as); r.CreateAttr("InResponseTo", "") }
		}},
		{"empty InResponseTo of the confirmation", "the confirmation answers", nil, func(a *answer) {
			a.before = func(r, as *etree.Element) {
				unasked(r, as)
				as.FindElement(".//SubjectConfirmationData").CreateAttr("InResponseTo", "")
			}
		}},
		{"a second confirmation that answers a request", "the confirmation answers", nil, func(a *answer) {
			a.before = func(r, as *etree.Element) {
				conf := as.FindElement(".//SubjectConfirmation").Copy()
				unasked(r, as)
				as.FindElement("./Subject").AddChild(conf)
			}
		}},
		{"unsolicited and forged", "no certificate that this was signed with", nil, func(a *answer) { a.before, a.signAssertion = unasked, &evil }},
		{"unsolicited and unsigned", "no signature on the element", nil, func(a *answer) { a.before, a.signAssertion = unasked, nil }},
		{"unsolicited and for another audience", "the audience is not", nil, func(a *answer) {
			a.before = func(r, as *etree.Element) {
				unasked(r, as)
				as.FindElement(".//Audience").SetText("https://other.example")
			}
		}},
		{"unsolicited and for another recipient", "the confirmation is for", nil, func(a *answer) {
			a.before = func(r, as *etree.Element) {
				unasked(r, as)
				as.FindElement(".//SubjectConfirmationData").CreateAttr("Recipient", "https://sso.example.com/saml/other/acs")
			}
		}},
		{"unsolicited and expired", "ended at", nil, func(a *answer) {
			a.before = func(r, as *etree.Element) {
				unasked(r, as)
				as.FindElement(".//SubjectConfirmationData").CreateAttr("NotOnOrAfter", at(-time.Minute))
			}
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			sp := newSP(t, metadata(idpKey()), func(c *saml.Config) {
				idpInitiated(c)
				if tt.config != nil {
					tt.config(c)
				}
			})
			a := good()
			if tt.answer != nil {
				tt.answer(&a)
			}
			got, err := sp.FinishUnsolicited(t.Context(), form(a.build(t)))
			if broker.CodeOf(err) != broker.CodeUnauthenticated || !strings.Contains(err.Error(), tt.why) || !cmp.Equal(got, broker.Authentication{}, cmp.AllowUnexported(broker.Secret{})) {
				t.Errorf("error %v, want %q, got %+v", err, tt.why, got)
			}
		})
	}
}

// TestUnsolicitedDoesNotRelaxOthers ensures that a sign-in that was begun here
// needs its answer even where unsolicited ones are taken.
func TestUnsolicitedDoesNotRelaxOthers(t *testing.T) {
	sp := newSP(t, metadata(idpKey()), idpInitiated)
	a := good()
	a.before = unasked
	if _, err := sp.Finish(t.Context(), request(), form(a.build(t))); broker.CodeOf(err) != broker.CodeUnauthenticated {
		t.Errorf("an unsolicited answer ended a sign-in: %v", err)
	}
	if _, err := sp.Finish(t.Context(), broker.AuthRequest{}, form(a.build(t))); err == nil {
		t.Error("an empty request was answered")
	}
}
