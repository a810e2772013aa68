package server

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"sync"

	"github.com/rolegate/rolegate/cmd/rolegate/internal/config"
)

// Config returns the configuration that the server was wired from.
func (s *Server) Config() *config.Config { return s.config }

// next wires a server for c on the store and the keys of s. It takes over each
// adapter that would be the same.
func (s *Server) next(c *config.Config) (*Server, error) {
	n := newServer(c, s.options)
	n.Store, n.Sealer, n.keys, n.node, n.base, n.refusals, n.prior = s.Store, s.Sealer, s.keys, s.node, s.base, s.refusals, s
	if err := n.assemble(); err != nil {
		return nil, err
	}
	n.prior = nil // or every configuration ever used stays in memory
	return n, nil
}

// refreshNew fetches the documents of the identity providers that are not taken
// over from old, so that the first sign-in does not meet an empty page.
func (s *Server) refreshNew(ctx context.Context, old *Server) {
	ctx, cancel := context.WithTimeout(ctx, firstTry)
	defer cancel()
	var wg sync.WaitGroup
	for id, sp := range s.SAML {
		if old.SAML[id] != sp {
			wg.Go(func() { _ = sp.Refresh(ctx) }) // its status has the error, and its loop tries again
		}
	}
	for id, rp := range s.OIDC {
		if old.OIDC[id] != rp {
			wg.Go(func() { _ = rp.Refresh(ctx) })
		}
	}
	wg.Wait()
}

// adapterSum is a digest of all that an identity provider's adapter is made
// from, the content of files included but for the metadata, which is read again
// anyway. Two adapters with the same sum do the same. What only the use cases
// look at (name, identity, proof lists) is left out.
func adapterSum(c *config.Config, p config.IdentityProvider) (string, error) {
	p.Name, p.Identity, p.GroupsAbsent, p.MFA, p.InsecureUnverifiedEmail = "", config.Identity{}, "", config.MFA{}, false
	var files []string
	read := func(name string) error {
		if name == "" {
			return nil
		}
		b, err := os.ReadFile(c.Path(name))
		files = append(files, string(b))
		return err
	}
	err := read(c.Outbound.CAFile)
	switch {
	case p.SAML != nil:
		err = errors.Join(err, read(p.SAML.MetadataCertificateFile))
	case !p.OIDC.PrivateKeyJWT && p.OIDC.ClientAuth != "none":
		secret, secretErr := c.ClientSecret(p.OIDC)
		err = errors.Join(err, secretErr)
		files = append(files, secret.Hash())
	}
	if err != nil {
		return "", fmt.Errorf("server: %s: %w", p.ID, err)
	}
	b, err := json.Marshal(struct {
		Provider config.IdentityProvider
		Outbound config.Outbound
		IDToken  bool
		Files    []string
	}{p, c.Outbound, p.OIDC != nil && c.UsesIDPToken(), files})
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:]), err
}
