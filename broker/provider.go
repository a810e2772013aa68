package broker

import (
	"fmt"
	"regexp"
)

// Provider is a configured identity provider as the sign-in page knows it.
type Provider struct {
	ID           ProviderID
	Name         string
	EmailDomains []string // lower case; chooses the provider by e-mail address
	MFA          MFAPolicy
	IdP          IdentityProvider
}

var providerIDPattern = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,62}$`)

// Check says what is wrong with an id: it is part of routes.
func (id ProviderID) Check() error {
	if providerIDPattern.MatchString(string(id)) {
		return nil
	}
	return fmt.Errorf("%q: lower-case letters, digits and hyphens are needed, 63 at most", string(id))
}
