package saml

import "github.com/rolegate/rolegate/broker"

// ProviderStatus is [ServiceProvider.Status] in the domain's words.
func (sp *ServiceProvider) ProviderStatus() broker.ProviderStatus {
	s := sp.Status()
	out := broker.ProviderStatus{
		Kind: "SAML 2.0", Issuer: s.EntityID, Refreshed: s.Refreshed, Standing: s.Standing, LeftOut: s.LeftOut,
		Skew: s.Skew, SkewKnown: s.SkewKnown,
	}
	for _, c := range s.Certificates {
		out.Certificates = append(out.Certificates, broker.CertificateStatus{Name: c.Subject.String(), NotAfter: c.NotAfter})
	}
	return out
}

// Setup lists what the identity provider has to be told about us.
func (sp *ServiceProvider) Setup() []broker.SetupValue {
	return []broker.SetupValue{
		{Name: "Entity ID (identifier, audience)", Value: sp.entityID},
		{Name: "ACS URL (reply URL, single sign-on URL)", Value: sp.acs},
		{Name: "Metadata", Value: sp.entityID, Path: "/saml/" + string(sp.c.ID) + "/metadata"},
		{Name: "NameID format", Value: nameIDPersistent},
		{Name: "Single logout URL (Redirect or POST, signed)", Value: sp.slo},
	}
}
