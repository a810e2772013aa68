package saml

import (
	"bufio"
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/beevik/etree"
)

// The limits of metadata. A document is read as a stream, and only the entity
// that is wanted is kept: a federation's aggregate costs time, not memory.
const (
	maxMetadata = 256 << 20 // bytes of a document
	maxPinned   = 20 << 20  // bytes of one whose signature is checked: it is held whole
	maxEntity   = 4 << 20   // bytes of text and nodes of one entity
	maxToken    = 8 << 20   // bytes between two tags
)

// metadataLimits let through what is well-formed, whatever it is about.
var metadataLimits = limits{depth: 64, nodes: 30000000, attributes: 64, bindings: 128, foreign: true}

var (
	nameEntity   = xml.Name{Space: nsMetadata, Local: "EntityDescriptor"}
	nameEntities = xml.Name{Space: nsMetadata, Local: "EntitiesDescriptor"}
)

const nsMetadata = "urn:oasis:names:tc:SAML:2.0:metadata"

// life is how long metadata may be used and kept.
type life struct {
	until time.Time     // zero: for ever
	cache time.Duration // zero: not said
}

// within shortens a life by what an element says (metadata 2.3.1: the smallest
// value counts). A validUntil that cannot be read is no validUntil in the
// distance; a cacheDuration that cannot be read is none.
func (l life) within(el *etree.Element) (life, error) {
	if hasAttr(el, "validUntil") {
		t, err := dateTime(attr(el, "validUntil"))
		if err != nil {
			return l, fmt.Errorf("validUntil of %s: %w", el.Tag, err)
		}
		l.until = sooner(l.until, t)
	}
	if d, err := duration(attr(el, "cacheDuration")); err == nil && d > 0 && (l.cache == 0 || d < l.cache) {
		l.cache = d
	}
	return l, nil
}

// sooner returns the earlier time; zero means never.
func sooner(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// found is an entity of a metadata document.
type found struct {
	el   *etree.Element
	life life
}

// finder reads a metadata document and keeps the entity that is wanted: the one
// of the ID, or the only identity provider.
type finder struct {
	id     string // "": the only one
	pass   pass
	around []*etree.Element // the EntitiesDescriptors that are open, without their content
	at     []*etree.Element // the open elements of the entity at hand, outermost first
	room   int              // bytes that the entity at hand may still have
	skip   int              // depth in an entity that is not wanted
	out    *found
	others int // entities that are no identity provider, or not the wanted one
}

// findEntity reads the document to its end.
func findEntity(r io.Reader, id string) (*found, error) {
	paced := &pacedReader{r: r, left: maxMetadata}
	buffered := bufio.NewReader(paced)
	switch mark, _ := buffered.Peek(3); {
	case bytes.Equal(mark, []byte("\xef\xbb\xbf")): // as AD FS writes it
		_, _ = buffered.Discard(3)
	case bytes.HasPrefix(mark, []byte("\xff\xfe")), bytes.HasPrefix(mark, []byte("\xfe\xff")):
		return nil, errors.New("it is UTF-16: save it as UTF-8")
	}
	f := finder{id: id, pass: pass{limits: metadataLimits}}
	d := decoder(buffered)
	for first := true; ; first = false {
		paced.since = 0
		t, err := d.RawToken()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("not well-formed: %w", err)
		}
		if err := f.token(t, first); err != nil {
			return nil, err
		}
	}
	if f.pass.count == 0 || len(f.pass.open) > 0 {
		return nil, errors.New("no whole root element")
	}
	if f.out == nil && id != "" {
		return nil, fmt.Errorf("it holds no identity provider with the entity ID %q (and %d other entities)", id, f.others)
	}
	if f.out == nil {
		return nil, fmt.Errorf("it holds no identity provider of SAML 2.0 (and %d other entities)", f.others)
	}
	return f.out, nil
}

func (f *finder) token(t xml.Token, first bool) error {
	if err := f.pass.token(t, first); err != nil {
		return err
	}
	switch t := t.(type) {
	case xml.StartElement:
		return f.start(t)
	case xml.EndElement:
		return f.end()
	case xml.CharData:
		if len(f.at) > 0 {
			f.at[len(f.at)-1].CreateText(string(t))
			return f.spend(len(t))
		}
	}
	return nil
}

func (f *finder) spend(n int) error {
	if f.room -= n; f.room < 0 {
		return fmt.Errorf("an entity of more than %d bytes", maxEntity)
	}
	return nil
}

func (f *finder) start(t xml.StartElement) error {
	name := f.pass.open[len(f.pass.open)-1].name
	switch {
	case f.skip > 0:
		f.skip++
	case len(f.at) > 0:
		el := f.at[len(f.at)-1].CreateElement(fullName(t.Name))
		f.at = append(f.at, el)
		return f.attributes(el, t)
	case name == nameEntities:
		el := etree.NewElement("EntitiesDescriptor")
		f.around = append(f.around, el)
		f.room = maxEntity
		return f.attributes(el, t)
	case name == nameEntity:
		el := etree.NewElement(fullName(t.Name))
		for _, b := range f.pass.inForce { // the innermost of a prefix comes last
			key := "xmlns"
			if b.prefix != "" {
				key = "xmlns:" + b.prefix
			}
			el.CreateAttr(key, b.uri)
		}
		f.room = maxEntity
		if err := f.attributes(el, t); err != nil {
			return err
		}
		if f.id != "" && collapse(attr(el, "entityID")) != f.id {
			f.skip, f.others = 1, f.others+1
			return nil
		}
		f.at = append(f.at, el)
	case len(f.pass.open) == 1:
		return fmt.Errorf("the root is %.60s and not EntityDescriptor or EntitiesDescriptor of SAML 2.0 metadata", name.Local)
	default: // a signature or an extension of the aggregate
		f.skip = 1
	}
	return nil
}

func (f *finder) attributes(el *etree.Element, t xml.StartElement) error {
	size := 64
	for _, a := range t.Attr {
		el.CreateAttr(fullName(a.Name), a.Value)
		size += len(a.Value) + 64
	}
	return f.spend(size)
}

func fullName(n xml.Name) string {
	if n.Space == "" {
		return n.Local
	}
	return n.Space + ":" + n.Local
}

func (f *finder) end() error {
	switch {
	case f.skip > 0:
		f.skip--
	case len(f.at) > 1:
		f.at = f.at[:len(f.at)-1]
	case len(f.at) == 1:
		el := f.at[0]
		f.at = nil
		return f.take(el)
	default:
		f.around = f.around[:len(f.around)-1]
	}
	return nil
}

// take keeps an entity if it is the wanted one.
func (f *finder) take(el *etree.Element) error {
	if f.id == "" && len(idpRoles(el)) == 0 {
		f.others++
		return nil
	}
	if f.out != nil && f.id != "" {
		return fmt.Errorf("the entity %q is there twice", f.id)
	}
	if f.out != nil {
		return fmt.Errorf("it holds more than one identity provider, like %.200q and %.200q: set entity_id to one of them",
			collapse(attr(f.out.el, "entityID")), collapse(attr(el, "entityID")))
	}
	var l life
	var err error
	for _, outer := range slices.Concat(f.around, []*etree.Element{el}) {
		if l, err = l.within(outer); err != nil {
			return err
		}
	}
	f.out = &found{el, l}
	return nil
}

// pacedReader bounds a stream as a whole and between two tags: a decoder keeps
// what lies between them.
type pacedReader struct {
	r           io.Reader
	left, since int
}

// Read implements io.Reader.
func (p *pacedReader) Read(b []byte) (int, error) {
	n, err := p.r.Read(b)
	p.left -= n
	p.since += n
	switch {
	case p.left < 0:
		return 0, fmt.Errorf("metadata of more than %d MiB: use the address of this one entity at the federation's metadata query service (MDQ)", maxMetadata>>20)
	case p.since > maxToken:
		return 0, fmt.Errorf("more than %d MiB between two tags", maxToken>>20)
	}
	return n, err
}
