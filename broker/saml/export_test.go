package saml

import (
	"encoding/xml"
	"io"
	"time"

	"github.com/beevik/etree"

	"github.com/rolegate/rolegate/broker"
)

// Prepass is the streaming check without the shape of a SAML message, for the
// test that compares it with another implementation.
func Prepass(doc []byte) error { return prepass(doc, messageLimits(xml.Name{}, defaultNodes)) }

// FinishWithoutPrepass is Finish without the streaming check, to test what
// stands behind it.
func (sp *ServiceProvider) FinishWithoutPrepass(r broker.AuthRequest, raw []byte) (broker.Authentication, error) {
	doc := etree.NewDocument()
	if err := doc.ReadFromBytes(raw); err != nil {
		return broker.Authentication{}, err
	}
	c := &check{sp: sp, idp: sp.idp, request: r, now: sp.c.Now()}
	assertion, err := c.verified(doc.Root())
	if err != nil {
		return broker.Authentication{}, err
	}
	return c.assertion(assertion)
}

// Duration reads an xs:duration.
func Duration(s string) (time.Duration, error) { return duration(s) }

// Paced bounds a stream as that of metadata is bounded, of which so many bytes
// may still come.
func Paced(r io.Reader, left int) io.Reader { return &pacedReader{r: r, left: left} }
