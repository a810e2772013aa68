package saml_test

import (
	"fmt"
	"testing"

	"github.com/beevik/etree"

	"github.com/rolegate/rolegate/broker"
)

// TestAttributesWithoutName ensures that what has no name is no claim, and that
// values of a name go on counting where there is no room for more names.
func TestAttributesWithoutName(t *testing.T) {
	const ns = ` xmlns:saml="urn:oasis:names:tc:SAML:2.0:assertion"`
	attribute := func(attributes, value string) *etree.Element {
		return parse(`<saml:Attribute` + ns + ` ` + attributes + `><saml:AttributeValue>` + value + `</saml:AttributeValue></saml:Attribute>`)
	}
	finish := func(change func(statement *etree.Element)) broker.Authentication {
		a := good()
		a.before = func(_, as *etree.Element) { change(as.FindElement("./AttributeStatement")) }
		auth, err := newSP(t, metadata(idpKey()), nil).Finish(t.Context(), request(), form(a.build(t)))
		if err != nil {
			t.Fatal(err)
		}
		return auth
	}
	auth := finish(func(st *etree.Element) {
		st.AddChild(attribute(`FriendlyName="role"`, "admin"))
		st.AddChild(attribute(`Name=" "`, "admin"))
	})
	if _, ok := auth.Claims[""]; ok || auth.Claims["role"] != nil {
		t.Errorf("claims %v", auth.Claims)
	}
	auth = finish(func(st *etree.Element) {
		for i := range 498 { // beside two
			st.AddChild(attribute(fmt.Sprintf(`Name="a%d"`, i), "x"))
		}
		st.AddChild(attribute(`Name="groups"`, "the-last"))
	})
	if g := auth.Claims["groups"]; len(g) != 4 || g[3] != "the-last" || len(auth.Unreadable) != 0 {
		t.Errorf("groups %q, unreadable %v", g, auth.Unreadable)
	}
}
