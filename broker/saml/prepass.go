package saml

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"strings"
)

const (
	nsAssertion = "urn:oasis:names:tc:SAML:2.0:assertion"
	nsProtocol  = "urn:oasis:names:tc:SAML:2.0:protocol"
	nsDSig      = "http://www.w3.org/2000/09/xmldsig#"
	nsEnc       = "http://www.w3.org/2001/04/xmlenc#"
	nsXML       = "http://www.w3.org/XML/1998/namespace"
	nsXMLNS     = "http://www.w3.org/2000/xmlns/"
)

var (
	nameResponse  = xml.Name{Space: nsProtocol, Local: "Response"}
	nameAssertion = xml.Name{Space: nsAssertion, Local: "Assertion"}
	nameEncrypted = xml.Name{Space: nsAssertion, Local: "EncryptedAssertion"}
	nameSignature = xml.Name{Space: nsDSig, Local: "Signature"}
	nameNameID    = xml.Name{Space: nsAssertion, Local: "NameID"}
	nameAttribute = xml.Name{Space: nsAssertion, Local: "Attribute"}

	nameLogoutRequest  = xml.Name{Space: nsProtocol, Local: "LogoutRequest"}
	nameLogoutResponse = xml.Name{Space: nsProtocol, Local: "LogoutResponse"}
)

// limits bound a document before any tree is built.
type limits struct {
	depth      int
	nodes      int      // elements and attributes
	attributes int      // of one element
	bindings   int      // namespace declarations in force at one place
	root       xml.Name // set for a SAML message: its root, and the shape below it is held too
	foreign    bool     // most of it is none of our business, as in metadata
	prolog     bool     // processing instructions may stand before the root
}

func messageLimits(root xml.Name, nodes int) limits {
	return limits{depth: 32, nodes: nodes, attributes: 32, bindings: 64, root: root}
}

// pinnedLimits are for metadata that is held whole to verify its signature.
var pinnedLimits = limits{depth: 32, nodes: 4000000, attributes: 64, bindings: 128, prolog: true}

// prepass reads the document once, as a stream: UTF-8, no DTD, no entity but
// the five of XML, no processing instruction but the declaration, bounded
// depth, nodes and namespaces, every prefix declared, no
// attribute and no ID twice, plain ASCII names.
//
// In a message it also refuses comments (CVE-2017-11427 and its kind live on
// text that comments cut), and it holds the places that signature wrapping
// needs to move: the Response is the root, the one assertion its child, and
// each signature the child of what it signs.
//
// It reads raw tokens with the tokenizer that builds the tree later, so the two
// cannot disagree, and what it lets through survives a round trip through
// encoding/xml unchanged (a fuzz test compares it with
// mattermost/xml-roundtrip-validator).
func prepass(doc []byte, l limits) error {
	d := decoder(bytes.NewReader(doc))
	p := pass{limits: l, ids: map[string]bool{}}
	for first := true; ; first = false {
		t, err := d.RawToken()
		if errors.Is(err, io.EOF) {
			if p.count == 0 || len(p.open) > 0 {
				return errors.New("no whole root element")
			}
			return nil
		}
		if err != nil {
			return fmt.Errorf("not well-formed: %w", err)
		}
		if err := p.token(t, first); err != nil {
			return err
		}
	}
}

func decoder(r io.Reader) *xml.Decoder {
	d := xml.NewDecoder(r)
	d.CharsetReader = func(charset string, _ io.Reader) (io.Reader, error) {
		return nil, fmt.Errorf("encoding %.40q, UTF-8 is needed", charset)
	}
	return d
}

type binding struct{ prefix, uri string }

type openElement struct {
	raw, name  xml.Name // as written, and with the prefix resolved
	bindings   int      // how many were in force outside it
	signatures int      // children that are signatures
}

type pass struct {
	limits
	count, assertions int // nodes and assertions so far
	open              []openElement
	inForce           []binding
	ids               map[string]bool
}

func (p *pass) token(t xml.Token, first bool) error {
	switch t := t.(type) {
	case xml.StartElement:
		return p.start(t)
	case xml.EndElement:
		if len(p.open) == 0 || p.open[len(p.open)-1].raw != t.Name {
			return errors.New("not well-formed: an end tag that does not match")
		}
		top := p.open[len(p.open)-1]
		p.inForce, p.open = p.inForce[:top.bindings], p.open[:len(p.open)-1]
	case xml.CharData:
		if len(t) == 0 || len(p.open) == 0 && len(bytes.TrimSpace(t)) > 0 {
			return errors.New("text outside the root element, or an empty CDATA section")
		}
	case xml.Comment:
		if p.root.Local != "" {
			return errors.New("a comment")
		}
	case xml.ProcInst:
		switch {
		case t.Target == "xml" && first:
		case t.Target == "xml":
			return errors.New("an XML declaration that is not the very first thing: take away the blank line, or what else stands before <?xml")
		case !p.foreign && (!p.prolog || p.count > 0):
			return fmt.Errorf("a processing instruction (<?%.40s)", t.Target)
		}
	case xml.Directive:
		return errors.New("a DOCTYPE or other declaration")
	}
	return nil
}

func (p *pass) start(e xml.StartElement) error {
	first := p.count == 0
	p.count += 1 + len(e.Attr)
	switch {
	case len(p.open) == 0 && !first:
		return errors.New("two root elements")
	case len(p.open) >= p.depth:
		return fmt.Errorf("nested deeper than %d", p.depth)
	case p.count > p.nodes:
		return fmt.Errorf("more than %d elements and attributes", p.nodes)
	case len(e.Attr) > p.attributes:
		return fmt.Errorf("more than %d attributes on one element", p.attributes)
	}
	outside := len(p.inForce)
	for _, a := range e.Attr {
		if err := p.declare(a); err != nil {
			return err
		}
	}
	if len(p.inForce) > p.bindings {
		return fmt.Errorf("more than %d namespace declarations", p.bindings)
	}
	name, err := p.resolve(e.Name, p.lookup(""))
	if err != nil {
		return err
	}
	if err := p.attributesOf(e); err != nil {
		return err
	}
	if p.root.Local != "" {
		if err := p.place(name); err != nil {
			return err
		}
	}
	p.open = append(p.open, openElement{raw: e.Name, name: name, bindings: outside})
	return nil
}

// declare notes a namespace declaration and refuses what Namespaces in XML
// (section 3 and its constraints on xml and xmlns) does not allow.
func (p *pass) declare(a xml.Attr) error {
	prefix := a.Name.Local
	switch {
	case a.Name.Space == "" && a.Name.Local == "xmlns":
		prefix = ""
	case a.Name.Space == "xmlns":
	case a.Name.Local == "xmlns":
		return errors.New("a forbidden namespace declaration")
	default:
		return nil
	}
	if prefix == "xml" || prefix == "xmlns" || a.Name.Space == "xmlns" && a.Value == "" || a.Value == nsXML || a.Value == nsXMLNS {
		return errors.New("a forbidden namespace declaration")
	}
	p.inForce = append(p.inForce, binding{prefix, a.Value})
	return nil
}

func (p *pass) lookup(prefix string) string {
	for i := len(p.inForce) - 1; i >= 0; i-- {
		if p.inForce[i].prefix == prefix {
			return p.inForce[i].uri
		}
	}
	return ""
}

// resolve replaces a prefix by its namespace; unprefixed is that of a name
// without one.
func (p *pass) resolve(n xml.Name, unprefixed string) (xml.Name, error) {
	if !p.named(n.Local) || n.Space != "" && !p.named(n.Space) {
		return n, fmt.Errorf("the name %.80q", n.Space+":"+n.Local)
	}
	switch n.Space {
	case "":
		return xml.Name{Space: unprefixed, Local: n.Local}, nil
	case "xml":
		return xml.Name{Space: nsXML, Local: n.Local}, nil
	}
	uri := p.lookup(n.Space)
	if uri == "" {
		return n, fmt.Errorf("the prefix %.40q is not declared", n.Space)
	}
	return xml.Name{Space: uri, Local: n.Local}, nil
}

// named reports whether a part of a name is one: in ASCII, but for what is none
// of our business.
func (p *pass) named(s string) bool {
	return asciiName(s) || p.foreign && s != "" && !strings.Contains(s, ":")
}

func asciiName(s string) bool {
	for i := range len(s) {
		c := s[i]
		letter := c|0x20 >= 'a' && c|0x20 <= 'z' || c == '_'
		if !letter && (i == 0 || c != '-' && c != '.' && (c < '0' || c > '9')) {
			return false
		}
	}
	return s != ""
}

// attributesOf refuses an attribute that stands there twice, as written or by
// its namespace, and an ID that the document has already.
func (p *pass) attributesOf(e xml.StartElement) error {
	var seen [64]xml.Name
	for i, a := range e.Attr {
		if a.Name.Space == "xmlns" {
			// Declarations are compared as written: the prefix is the name.
			if !p.named(a.Name.Local) {
				return fmt.Errorf("the prefix %.40q", a.Name.Local)
			}
			seen[i] = a.Name
		} else {
			name, err := p.resolve(a.Name, "")
			if err != nil {
				return err
			}
			seen[i] = name
			if isID := !p.foreign && strings.EqualFold(name.Local, "id") && (name.Space == "" || name.Space == nsXML); isID {
				if p.ids[a.Value] {
					return fmt.Errorf("the ID %.40q twice", a.Value)
				}
				p.ids[a.Value] = true
			}
		}
		for _, other := range seen[:i] {
			// In a message not even x:ID beside ID: readers that look at local
			// names would differ on which one counts.
			alike := p.root.Local != "" && other.Local == seen[i].Local && other.Space != "xmlns" && seen[i].Space != "xmlns"
			if other == seen[i] || alike {
				return fmt.Errorf("attribute %.80s twice", a.Name.Local)
			}
		}
	}
	return nil
}

// place holds the shape of a message: what is not where it belongs can only be
// there to be mistaken for something else.
func (p *pass) place(name xml.Name) error {
	depth := len(p.open)
	if depth == 0 {
		if name != p.root {
			return fmt.Errorf("the root is %.60s and not %s", name.Local, p.root.Local)
		}
		if name == nameAssertion {
			p.assertions++
		}
		return nil
	}
	parent := &p.open[depth-1]
	switch name {
	case nameResponse, nameLogoutRequest, nameLogoutResponse:
		return fmt.Errorf("a %s inside the document", name.Local)
	case nameAssertion, nameEncrypted:
		if p.assertions++; p.assertions > 1 {
			return errors.New("two assertions, one is needed")
		}
		if depth != 1 || parent.name != nameResponse {
			return errors.New("an assertion that is not the Response's own")
		}
	case nameSignature:
		if parent.name != p.root && parent.name != nameAssertion {
			return errors.New("a signature that is not of the Response or the assertion")
		}
		if parent.signatures++; parent.signatures > 1 {
			return errors.New("two signatures on one element")
		}
	}
	return nil
}
