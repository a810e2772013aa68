package saml_test

import (
	"io"
	"strings"
	"testing"
	"time"

	"github.com/beevik/etree"

	"github.com/rolegate/rolegate/broker/saml"
)

// TestOnlyUnknownKeysFetch ensures that neither a good answer nor one that is
// refused for another reason sets off a fetch: who sends them could have us
// storm the provider. It also holds that the refusal of an unknown key, and of
// nothing else, says what of the metadata is not in use.
func TestOnlyUnknownKeysFetch(t *testing.T) {
	one, evil := idpKey(), evilKey()
	now, fetches := fixed, 0
	const left = "left out of the metadata"
	late := good()
	late.before = func(_, as *etree.Element) { as.FindElement("./Conditions").CreateAttr("NotOnOrAfter", at(-time.Hour)) }
	forged := good()
	forged.signAssertion = &evil
	for name, meta := range map[string]string{"whole": metadata(one), "a part is left out": metadata(weakKey(), one)} {
		sp, err := saml.New(saml.Config{
			ID: "corp", PublicURL: "https://sso.example.com", MetadataURL: "https://idp.example.com/metadata", Now: func() time.Time { return now },
			HTTP: serving(func() io.Reader { fetches++; return strings.NewReader(meta) }),
		})
		if err != nil {
			t.Fatal(err)
		}
		now = fixed.Add(-2 * time.Minute)
		if err := sp.Refresh(t.Context()); err != nil {
			t.Fatal(err)
		}
		now, fetches = fixed, 0
		for _, step := range []struct {
			name    string
			answer  answer
			ok      bool
			fetches int
			says    bool
		}{
			{"good", good(), true, 0, false}, {"over", late, false, 0, false},
			{"forged", forged, false, 1, name != "whole"}, {"forged again", forged, false, 1, name != "whole"},
		} {
			_, err := sp.Finish(t.Context(), request(), form(step.answer.build(t)))
			if (err == nil) != step.ok || fetches != step.fetches || err != nil && strings.Contains(err.Error(), left) != step.says {
				t.Errorf("%s, %s: %d fetches, error %v", name, step.name, fetches, err)
			}
		}
	}
}

// TestNewKeyBesideOneLeftOut ensures that an answer by a new key is taken though
// a part of the metadata that names it is not.
func TestNewKeyBesideOneLeftOut(t *testing.T) {
	two := idpKey2()
	now, body := fixed.Add(-time.Minute), metadata(idpKey())
	sp, err := saml.New(saml.Config{
		ID: "corp", PublicURL: "https://sso.example.com", MetadataURL: "https://idp.example.com/metadata", Now: func() time.Time { return now },
		HTTP: serving(func() io.Reader { return strings.NewReader(body) }),
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := sp.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	now, body = fixed, metadata(weakKey(), two)
	a := good()
	a.signAssertion = &two
	if _, err := sp.Finish(t.Context(), request(), form(a.build(t))); err != nil {
		t.Error(err)
	}
}
