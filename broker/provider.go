package broker

// Provider is a configured identity provider as the sign-in page knows it.
type Provider struct {
	ID           ProviderID
	Name         string
	EmailDomains []string // lower case; chooses the provider by e-mail address
	MFA          MFAPolicy
	IdP          IdentityProvider
}
