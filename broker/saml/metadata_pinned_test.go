package saml_test

import (
	"strings"
	"testing"

	"github.com/beevik/etree"
	dsig "github.com/russellhaering/goxmldsig"

	"github.com/rolegate/rolegate/broker/saml"
)

// signedMetadata is metadata with an enveloped signature, as a federation
// writes it.
func signedMetadata(t *testing.T, meta string, k saml.KeyPair) string {
	t.Helper()
	el := parse(meta)
	el.CreateAttr("ID", "_m")
	ctx, err := dsig.NewSigningContext(k.Key, [][]byte{k.Certificate.Raw})
	if err != nil {
		t.Fatal(err)
	}
	ctx.Canonicalizer = dsig.MakeC14N10ExclusiveCanonicalizerWithPrefixList("")
	out, err := ctx.SignEnveloped(el)
	if err != nil {
		t.Fatal(err)
	}
	s, err := etree.NewDocumentWithRoot(out).WriteToString()
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestPinnedDocument ensures that a document is held to what it may be before
// its pinned signature is looked at, however good that is: each of those that
// are refused is signed by the right key.
func TestPinnedDocument(t *testing.T) {
	pin, evil := idpKey2(), evilKey()
	good := signedMetadata(t, metadata(idpKey()), pin)
	forged := strings.Replace(strings.Replace(metadata(evil), idpEntity, "https://evil.example", 1), "<EntityDescriptor", `<EntityDescriptor ID="_e"`, 1)
	for _, tt := range []struct{ name, meta, refused string }{
		{name: "signed", meta: good},
		{name: "after a byte order mark", meta: "\xef\xbb\xbf" + good},
		{name: "after a declaration and a style sheet", meta: `<?xml version="1.0"?><?xml-stylesheet href="x.xsl"?>` + good},
		{name: "signature of another key", meta: signedMetadata(t, metadata(idpKey()), evil), refused: "its signature: "},
		{name: "no signature", meta: metadata(idpKey()), refused: "its signature: no signature on the element"},
		{name: "more than is held", meta: good + strings.Repeat(" ", 20<<20), refused: "signed metadata of more than 20 MiB"},
		{name: "DOCTYPE", meta: "<!DOCTYPE x>" + good, refused: "a DOCTYPE"},
		{name: "an instruction inside", meta: signedMetadata(t, strings.Replace(metadata(idpKey()), "<IDPSSO", "<?x y?><IDPSSO", 1), pin), refused: "a processing instruction (<?x)"},
		{name: "an instruction after the root", meta: good + "<?x y?>", refused: "a processing instruction (<?x)"},
		{name: "a second root", meta: good + forged, refused: "two root elements"},
		{name: "unsigned around signed", meta: aggregate(`ID="_a"`, forged, good), refused: "its signature: no signature on the element"},
		{name: "unsigned around signed, with its signature moved out", meta: movedOut(t, good, forged), refused: "its signature: "},
	} {
		t.Run(tt.name, func(t *testing.T) {
			err := tryMetadata(t, tt.meta, pin)
			if (err == nil) != (tt.refused == "") || err != nil && !strings.Contains(err.Error(), tt.refused) {
				t.Errorf("error %v, want %q", err, tt.refused)
			}
		})
	}
}

// movedOut wraps signed metadata: the signature of an entity stands on an
// aggregate around it that holds another one too.
func movedOut(t *testing.T, signed, forged string) string {
	t.Helper()
	root := parse(aggregate(`ID="_a"`, forged, signed))
	inner := root.ChildElements()[1]
	signature := inner.FindElement("./Signature")
	if signature == nil {
		t.Fatal("no signature to move")
	}
	root.InsertChildAt(0, inner.RemoveChild(signature))
	return xmlOf(root)
}
