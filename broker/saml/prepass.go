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
)

// limits bound a document before any tree is built.
type limits struct {
	depth      int
	elements   int
	attributes int  // of one element
	message    bool // also hold what a SAML message may not have
}

var (
	responseLimits = limits{depth: 32, elements: 20000, attributes: 32, message: true}
	metadataLimits = limits{depth: 32, elements: 2000000, attributes: 64}
)

// prepass reads the document once, as a stream: no DTD, no processing
// instruction but the declaration, bounded depth, elements and attributes, no
// ID twice. In a message it also refuses comments (CVE-2017-11427 and its
// kind live on text that comments cut) and more than one Response or assertion
// anywhere, which is what signature wrapping needs.
func prepass(r io.Reader, l limits) error {
	d := xml.NewDecoder(r)
	d.Strict = true
	d.CharsetReader = func(charset string, _ io.Reader) (io.Reader, error) {
		return nil, fmt.Errorf("encoding %q, UTF-8 is needed", charset)
	}
	p := pass{limits: l, ids: map[string]bool{}}
	for {
		t, err := d.Token()
		if errors.Is(err, io.EOF) {
			return p.end()
		}
		if err != nil {
			return fmt.Errorf("not well-formed: %w", err)
		}
		if err := p.token(t); err != nil {
			return err
		}
	}
}

type pass struct {
	limits
	depthNow, count, roots        int
	responses, assertions, tokens int
	ids                           map[string]bool
}

func (p *pass) token(t xml.Token) error {
	p.tokens++
	switch t := t.(type) {
	case xml.StartElement:
		return p.start(t)
	case xml.EndElement:
		p.depthNow--
	case xml.CharData:
		if p.depthNow == 0 && len(bytes.TrimSpace(t)) > 0 {
			return errors.New("text outside the root element")
		}
	case xml.Comment:
		if p.message {
			return errors.New("a comment")
		}
	case xml.ProcInst:
		if t.Target != "xml" || p.tokens != 1 {
			return errors.New("a processing instruction")
		}
	case xml.Directive:
		return errors.New("a DOCTYPE or other declaration")
	}
	return nil
}

func (p *pass) start(e xml.StartElement) error {
	p.depthNow++
	p.count++
	if p.depthNow == 1 {
		p.roots++
	}
	switch {
	case p.roots > 1:
		return errors.New("two root elements")
	case p.depthNow > p.depth:
		return fmt.Errorf("nested deeper than %d", p.depth)
	case p.count > p.elements:
		return fmt.Errorf("more than %d elements", p.elements)
	case len(e.Attr) > p.attributes:
		return fmt.Errorf("more than %d attributes on one element", p.attributes)
	}
	seen := make(map[xml.Name]bool, len(e.Attr))
	for _, a := range e.Attr {
		if seen[a.Name] {
			return fmt.Errorf("attribute %s twice", a.Name.Local)
		}
		seen[a.Name] = true
		if err := p.attribute(a); err != nil {
			return err
		}
	}
	switch e.Name {
	case xml.Name{Space: nsProtocol, Local: "Response"}:
		p.responses++
	case xml.Name{Space: nsAssertion, Local: "Assertion"}, xml.Name{Space: nsAssertion, Local: "EncryptedAssertion"}:
		p.assertions++
	}
	return nil
}

func (p *pass) attribute(a xml.Attr) error {
	switch {
	case a.Name.Space == "xmlns" && (a.Value == "" || a.Name.Local == "xml" || a.Name.Local == "xmlns"),
		a.Name.Space == "xmlns" && a.Value == "http://www.w3.org/2000/xmlns/",
		a.Name.Space == "" && a.Name.Local == "xmlns" && a.Value == nsXML:
		return errors.New("a forbidden namespace declaration")
	case a.Name.Space != "" && a.Name.Space != nsXML, !strings.EqualFold(a.Name.Local, "id"):
		return nil
	}
	if p.ids[a.Value] {
		return fmt.Errorf("the ID %.40q twice", a.Value)
	}
	p.ids[a.Value] = true
	return nil
}

func (p *pass) end() error {
	switch {
	case p.roots != 1 || p.depthNow != 0:
		return errors.New("no whole root element")
	case p.message && p.responses > 1:
		return fmt.Errorf("%d Responses, one is needed", p.responses)
	case p.message && p.assertions > 1:
		return fmt.Errorf("%d assertions, one is needed", p.assertions)
	}
	return nil
}
