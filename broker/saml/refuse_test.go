package saml_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/beevik/etree"
	"github.com/google/go-cmp/cmp"

	"github.com/rolegate/rolegate/broker"
	"github.com/rolegate/rolegate/broker/saml"
)

func wrap(inner *etree.Element, in string) *etree.Element {
	el := parse(in)
	el.AddChild(inner)
	return el
}

// forge returns a copy of the assertion that says mallory, unsigned.
func forge(as *etree.Element, id string) *etree.Element {
	evil := standalone(as)
	if s := evil.FindElement("./Signature"); s != nil {
		evil.RemoveChild(s)
	}
	evil.CreateAttr("ID", id)
	evil.FindElement("./Subject/NameID").SetText("mallory")
	return evil
}

func assertionOf(r *etree.Element) *etree.Element { return r.FindElement("./Assertion") }

func sigOf(r *etree.Element) *etree.Element { return r.FindElement("./Assertion/Signature") }

// set sets an attribute in the assertion before it is signed.
func set(path, name, value string) func(*answer) {
	return change(func(as *etree.Element) { as.FindElement(path).CreateAttr(name, value) })
}

func remove(path string) func(*answer) {
	return change(func(as *etree.Element) { e := as.FindElement(path); e.Parent().RemoveChild(e) })
}

// add puts an element into the one at path, in the assertion before it is signed.
func add(path, xml string) func(*answer) {
	return change(func(as *etree.Element) { as.FindElement(path).AddChild(parse(xml)) })
}

// foreign moves an element of the assertion into another namespace.
func foreign(path string) func(*answer) {
	return change(func(as *etree.Element) {
		e := as.FindElement(path)
		e.Space = "x"
		e.CreateAttr("xmlns:x", "urn:x")
	})
}

func change(f func(as *etree.Element)) func(*answer) {
	return func(a *answer) { a.before = func(_, as *etree.Element) { f(as) } }
}

// after changes the response when all is signed.
func after(f func(r *etree.Element)) func(*answer) { return func(a *answer) { a.after = f } }

// text replaces in the bytes of the response.
func text(before, after string) func(*answer) {
	return func(a *answer) {
		a.raw = func(b []byte) []byte { return bytes.Replace(b, []byte(before), []byte(after), 1) }
	}
}

// refusal is a row: why is what the private error must say, so that a row
// cannot pass because of something else.
type refusal struct {
	name, why string
	config    func(*saml.Config)
	answer    func(*answer)
}

// refuse runs the rows: each must be refused, by our code and not by a panic,
// without a word of the answer in the result, and with the step in the trace.
func refuse(t *testing.T, tests []refusal) {
	t.Helper()
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			sp := newSP(t, metadata(idpKey(), weakKey()), tt.config)
			a := good()
			if tt.answer != nil {
				tt.answer(&a)
			}
			raw := a.build(t)
			trace := &broker.Trace{}
			got, err := sp.Finish(broker.WithTrace(t.Context(), trace), request(), form(raw))
			if broker.CodeOf(err) != broker.CodeUnauthenticated || !cmp.Equal(got, broker.Authentication{}, cmp.AllowUnexported(broker.Secret{})) {
				t.Fatalf("error %v, got %+v", err, got)
			}
			if tt.why == "" || !strings.Contains(err.Error(), tt.why) || strings.Contains(err.Error(), "panicked") {
				t.Errorf("refused because %v, want %q", err, tt.why)
			}
			steps := trace.Steps()
			if len(steps) == 0 || steps[len(steps)-1].OK {
				t.Errorf("trace %v", steps)
			}
		})
	}
}
