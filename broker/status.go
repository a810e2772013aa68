package broker

import "time"

// ProviderStatus is how an identity provider does, for administrators.
type ProviderStatus struct {
	Kind         string // "SAML 2.0" or "OpenID Connect"
	Issuer       string // entity ID or issuer; "" until it is known
	Refreshed    time.Time
	Err          error // of the last refresh; nil: it went well
	Certificates []CertificateStatus
	Skew         time.Duration // their clock minus ours at the last sign-in
	SkewKnown    bool
}

// CertificateStatus is one certificate that a provider signs with.
type CertificateStatus struct {
	Name     string // of its subject
	NotAfter time.Time
}

// SetupValue is one value to paste at an identity provider.
type SetupValue struct {
	Name  string // as most providers call it
	Value string
	Path  string // ours, to open or download; "": there is nothing to open
}
