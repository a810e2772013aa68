package broker

import "time"

// ProviderStatus is how an identity provider does, for administrators.
type ProviderStatus struct {
	Kind         string // "SAML 2.0" or "OpenID Connect"
	Issuer       string // entity ID or issuer; "" until it is known
	Refreshed    time.Time
	Standing              // of its metadata, or of its discovery document and keys
	LeftOut      []string // what of its documents cannot be used, and why
	Certificates []CertificateStatus
	Skew         time.Duration // their clock minus ours at the last sign-in
	SkewKnown    bool
}

// Reach says whether something outside answers.
type Reach string

// The values. Nothing is known before the first try.
const (
	ReachUnknown Reach = ""
	ReachUp      Reach = "up"
	ReachDown    Reach = "down"
)

// Standing is how something outside does by what the tries at it came to. This
// is the one place that says up or down: logs, pages and metrics show it. It is
// not safe for concurrent use.
type Standing struct {
	Reach    Reach
	Since    time.Time // of the first try that came to this
	Err      error     // of the last try, without secrets; nil: it went well
	Failures int       // tries that failed
}

// Tried notes a try and reports whether the reach is another one than before.
func (s *Standing) Tried(at time.Time, err error) (changed bool) {
	now := ReachUp
	if s.Err = err; err != nil {
		s.Failures++
		now = ReachDown
	}
	if changed = s.Reach != now; changed {
		s.Reach, s.Since = now, at
	}
	return changed
}

// Down reports that the last try failed.
func (s Standing) Down() bool { return s.Reach == ReachDown }

// Status returns how the provider does; false when its adapter does not say.
func (p Provider) Status() (ProviderStatus, bool) {
	src, ok := p.IdP.(interface{ ProviderStatus() ProviderStatus })
	if !ok {
		return ProviderStatus{}, false
	}
	return src.ProviderStatus(), true
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
