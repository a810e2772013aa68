package saml

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/beevik/etree"

	"github.com/rolegate/rolegate/broker"
)

const (
	maxAttributes = 500
	maxName       = 512 // bytes of an attribute's name
	maxDecrypted  = 8   // encrypted attributes: each costs work with our private keys
)

// attributes reads every AttributeStatement (core 2.7.3). The key of a claim is
// the attribute's exact Name; some products write one Attribute per value, so
// values of one Name and NameFormat are joined. The FriendlyName is a second
// key, unless it is the Name of an attribute or the FriendlyName of another
// one: a claim never mixes attributes.
//
// An attribute that is no list of texts is left out and named: it refuses only
// who asks for it.
func (c *check) attributes(el *etree.Element, auth *broker.Authentication) error {
	r := attributeReader{claims: broker.Claims{}, odd: broker.Unreadable{}, formats: map[string]string{}, owners: map[string]string{}}
	decrypted := 0
	for _, st := range children(el, nsAssertion, "AttributeStatement") {
		for _, at := range st.ChildElements() {
			switch {
			case at.NamespaceURI() != nsAssertion: // an extension, which is no attribute
			case at.Tag == "Attribute":
				r.attribute(at)
			case at.Tag == "EncryptedAttribute":
				if decrypted++; decrypted > maxDecrypted {
					r.odd[""] = "perhaps among the encrypted attributes"
				} else if plain, err := c.sp.decrypt(at, nameAttribute); err != nil {
					r.odd[""] = "perhaps among the encrypted attributes, which cannot be decrypted"
				} else {
					r.attribute(plain)
				}
			}
		}
	}
	claims, odd := r.done()
	auth.Claims = claims
	if c.pass("%d attributes", len(claims)); len(odd) > 0 {
		auth.Unreadable = odd
		var said []string
		for _, name := range slices.Sorted(maps.Keys(odd)) {
			said = append(said, fmt.Sprintf("%.80q is %s", name, odd[name]))
		}
		c.pass("%d attributes left out: %.1000s", len(odd), strings.Join(said, ", "))
	}
	if r.nameless > 0 {
		c.pass("%d attributes left out, as they have no Name", r.nameless)
	}
	return nil
}

type attributeReader struct {
	claims   broker.Claims
	odd      broker.Unreadable
	formats  map[string]string // Name to NameFormat
	owners   map[string]string // FriendlyName to Name, "" when several have it
	nameless int
}

func (r *attributeReader) attribute(at *etree.Element) {
	name := strings.TrimSpace(attr(at, "Name"))
	if name == "" {
		r.nameless++
		return
	}
	if _, seen := r.formats[name]; !seen && len(r.formats) == maxAttributes {
		r.odd[""] = fmt.Sprintf("perhaps among the attributes after the first %d", maxAttributes)
		return
	}
	if friendly, err := checkText("FriendlyName", attr(at, "FriendlyName")); err == nil && friendly != "" && len(friendly) <= maxName {
		owner := name
		if other, seen := r.owners[friendly]; seen && other != name {
			owner = ""
		}
		r.owners[friendly] = owner
	}
	if _, err := checkText("Name", name); err != nil || len(name) > maxName {
		r.odd[name] = "an attribute with an odd name"
	}
	if f, seen := r.formats[name]; seen && f != attr(at, "NameFormat") {
		r.odd[name] = "an attribute in two formats"
	}
	r.formats[name] = attr(at, "NameFormat")
	values, err := attributeValues(at)
	if err != nil {
		r.odd[name] = err.Error()
	}
	r.claims[name] = append(r.claims[name], values...)
}

// done leaves out what cannot be read, under each of its names.
func (r *attributeReader) done() (broker.Claims, broker.Unreadable) {
	for friendly, name := range r.owners {
		if _, taken := r.formats[friendly]; taken || name == "" {
			continue
		}
		if why, odd := r.odd[name]; odd {
			r.odd[friendly] = why
		}
		r.claims[friendly] = r.claims[name]
	}
	for name := range r.odd {
		delete(r.claims, name)
	}
	return r.claims, r.odd
}

// attributeValues returns the values of an attribute, or what it is instead of a
// list of texts.
func attributeValues(at *etree.Element) ([]string, error) {
	kids := at.ChildElements()
	values := make([]string, 0, len(kids))
	for _, v := range kids {
		if v.Tag != "AttributeValue" || v.NamespaceURI() != nsAssertion {
			return nil, errors.New("XML")
		}
		// eduPersonTargetedID and its like wrap one NameID.
		if inner := v.ChildElements(); len(inner) == 1 && inner[0].Tag == "NameID" && inner[0].NamespaceURI() == nsAssertion && collapse(leafText(v)) == "" {
			v = inner[0]
		}
		s, err := text(v)
		if err != nil {
			return nil, errors.New("XML")
		}
		if len(s) > maxText {
			return nil, fmt.Errorf("longer than %d bytes", maxText)
		}
		if s, err = checkText("value", s); err != nil {
			return nil, errors.New("text with control characters")
		}
		values = append(values, s)
	}
	return values, nil
}
