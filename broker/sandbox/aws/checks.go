package aws

import (
	"fmt"
	"net/http"
	"slices"
)

// Evidence says how we know that AWS makes a check.
type Evidence string

// The kinds of evidence.
const (
	Documented Evidence = "documented" // AWS's documentation or API model
	Observed   Evidence = "observed"   // reported answers of the real service
	Assumption Evidence = "assumption" // not verified: the one form rolegate emits is taken
)

// Check is one named check.
type Check struct {
	ID       string
	What     string
	Evidence Evidence
}

// Checks lists every refusal the double can make, in the order it makes them.
func Checks() []Check { return slices.Clone(checks) }

var checks = []Check{
	{"setup.metadata_length", "SAML metadata has 1,000 to 10,000,000 characters", Documented},
	{"setup.metadata_bom", "SAML metadata has no byte order mark", Documented},
	{"setup.metadata_xml", "SAML metadata parses and names one identity provider", Documented},
	{"setup.metadata_key", "signing certificates have keys of 1024 bits or more, at most 10", Documented},
	{"setup.provider_name", "a SAML provider's name is [\\w._-]{1,128}", Documented},
	{"setup.oidc_url", "an OIDC provider's URL is https, without query, port or more than 255 characters", Documented},
	{"setup.client_ids", "an OIDC provider has 1 to 100 client ids of 255 characters at most", Documented},
	{"setup.private_keys", "a SAML provider has at most 2 private keys, PEM of at most 16,384 characters", Documented},
	{"setup.thumbprints", "an OIDC provider has at most 5 thumbprints, of 40 hex digits", Documented},
	{"sts.request", "POST, form encoded, known Action, Version 2011-06-15", Documented},
	{"sts.parameters", "required parameters and their lengths", Documented},
	{"sts.unknown", "every parameter is known and there once", Assumption},
	{"sts.duration", "DurationSeconds is an integer from 900 to 43200", Documented},
	{"sts.arns", "RoleArn and PrincipalArn parse, in one partition and account", Documented},
	{"sts.region", "STS is active in the region for the account", Documented},
	{"saml.document", "base64 of well-formed XML without DTD, IDs unique", Assumption},
	{"saml.provider", "the SAML provider exists in the account", Documented},
	{"saml.status", "the response's status is Success", Documented},
	{"saml.one_assertion", "exactly one assertion", Assumption},
	{"saml.encrypted", "no EncryptedAssertion: the double does not decrypt", Assumption},
	{"saml.encryption_required", "a provider in Required mode takes no plain assertion", Documented},
	{"saml.issuer", "the issuer is the provider's entity ID", Documented},
	{"saml.signature", "a certificate of the provider verifies the assertion's signature", Documented},
	{"saml.algorithm", "RSA-SHA256 with exclusive canonicalization", Assumption},
	{"saml.not_before", "Conditions/NotBefore is past", Assumption},
	{"saml.not_on_or_after", "Conditions/NotOnOrAfter is to come", Observed},
	{"saml.confirmation_expiry", "SubjectConfirmationData/NotOnOrAfter is to come", Documented},
	{"saml.freshness", "issued within five minutes", Observed},
	{"saml.audience", "the audience is the partition's AWS entity ID", Documented},
	{"saml.confirmation", "exactly one bearer confirmation with Recipient and NotOnOrAfter", Documented},
	{"saml.recipient", "the Recipient is a sign-in URL of the partition", Documented},
	{"saml.name_id", "a NameID is there", Documented},
	{"saml.name_id_form", "the NameID is persistent, u- and 26 base32 characters", Assumption},
	{"saml.session_name", "RoleSessionName is there", Documented},
	{"saml.session_name_form", "RoleSessionName is [A-Za-z0-9_+=,.@-]{2,64}, once", Documented},
	{"saml.source_identity", "SourceIdentity is [A-Za-z0-9_+=,.@-]{2,64}, once, not aws:", Documented},
	{"saml.role_pair", "the Role attribute holds the role and provider pair, role first", Assumption},
	{"saml.session_duration", "SessionDuration is 900 to 43200", Documented},
	{"web.length", "the token has 4 to 20,000 characters", Documented},
	{"web.format", "the token is a compact JWT", Documented},
	{"web.algorithm", "RS256/384/512 or ES256/384/512", Documented},
	{"web.provider", "the issuer is a registered OIDC provider, exactly", Documented},
	{"web.discovery", "discovery says the same issuer and keys over https", Documented},
	{"web.key_count", "the JWKS has at most 100 RSA and 100 EC keys", Documented},
	{"web.key", "the key id is in the issuer's JWKS", Documented},
	{"web.signature", "the key verifies the token", Documented},
	{"web.timestamps", "time stamps are integers", Documented},
	{"web.expiry", "exp is to come", Documented},
	{"web.issued_at", "iat is there and not to come", Assumption},
	{"web.subject", "sub has 6 to 255 characters", Assumption},
	{"web.single_audience", "aud is one string, or a list of one, as in the tokens of EKS", Assumption},
	{"web.audience", "aud is a client id of the provider", Documented},
	{"web.authorized_party", "azp is absent or the audience", Assumption},
	{"web.provider_id", "ProviderId is absent", Documented},
	{"web.session_name", "RoleSessionName is [\\w+=,.@-]{2,64}", Documented},
	{"web.tags", "the tags claim holds lists of one string", Documented},
	{"tags.count", "at most 50 session tags", Documented},
	{"tags.text", "keys of 1 to 128 and values of at most 256 characters of AWS's set, not aws:", Documented},
	{"tags.single", "one value for a tag", Documented},
	{"tags.transitive", "transitive keys are keys of tags", Documented},
	{"tags.packed", "the packed size is within the limit", Assumption},
	{"role.exists", "the role exists under that exact name", Documented},
	{"role.reserved", "AWSReservedSSO_ roles are not for this", Documented},
	{"trust.principal", "a statement names this provider as Federated principal", Documented},
	{"trust.action", "the trust policy allows the assume action", Documented},
	{"trust.tag_session", "with tags it allows sts:TagSession", Documented},
	{"trust.source_identity", "with a source identity it allows sts:SetSourceIdentity", Documented},
	{"trust.condition", "the statement's conditions hold", Documented},
	{"trust.deny", "no statement denies", Documented},
	{"role.max_duration", "DurationSeconds is within the role's MaxSessionDuration", Documented},
	{"signin.method", "GET or POST at /federation", Documented},
	{"signin.action", "Action is getSigninToken or login", Documented},
	{"signin.session", "Session is JSON with exactly sessionId, sessionKey and sessionToken", Documented},
	{"signin.credentials", "the credentials were issued here, key and token belonging together", Documented},
	{"signin.expired", "the credentials have not expired", Documented},
	{"signin.duration", "SessionDuration is 900 to 43200", Documented},
	{"signin.chained", "no SessionDuration for role-chained credentials", Documented},
	{"signin.token", "the sign-in token is known", Documented},
	{"signin.token_age", "the sign-in token is younger than 15 minutes", Documented},
	{"signin.destination", "the destination is a console page of the partition", Assumption},
	{"browser.method", "POST at /saml", Documented},
	{"browser.relay_state", "a RelayState is followed only to a console page of the partition", Assumption},
	{"call.token", "the access key is known and the session token belongs to it", Documented},
	{"call.signature", "the SigV4 signature verifies", Documented},
	{"call.clock", "the request's date is within five minutes", Documented},
	{"call.expired", "the credentials have not expired", Documented},
	{"call.denied", "no inline policy of the role denies the action, as AWSRevokeOlderSessions does", Documented},
	{"call.allowed", "an inline policy of the role allows the action", Documented},
}

// refusal is an error answer of AWS.
type refusal struct {
	code    string
	message string
	status  int
}

// Error returns code and message.
func (r *refusal) Error() string { return r.code + ": " + r.message }

func refuse(code, format string, args ...any) *refusal {
	status := http.StatusBadRequest
	switch code {
	case "AccessDenied", "IDPRejectedClaim", "RegionDisabledException", "InvalidClientTokenId", "SignatureDoesNotMatch", "ExpiredToken":
		status = http.StatusForbidden
	}
	return &refusal{code: code, message: fmt.Sprintf(format, args...), status: status}
}

func invalidToken(format string, args ...any) *refusal {
	return refuse("InvalidIdentityToken", format, args...)
}

// need returns r unless ok, or unless the check is switched off by a test.
func (a *AWS) need(check string, ok bool, r *refusal) error {
	if ok || a.off[check] {
		return nil
	}
	return r
}

// first returns the first refusal.
func first(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}
