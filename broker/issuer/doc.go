// Package issuer is rolegate as an identity provider: it holds the private
// keys, mints one SAML response or ID token per STS call, and publishes what
// IAM needs to trust them (SAML metadata, OIDC discovery, JWKS).
//
// Whoever holds the aws-saml or aws-oidc key can act as anyone in every account
// that trusts it. So this package never talks to AWS or to a browser, and keys
// leave it only as crypto.Signer, but for the SP decryption key, which XML
// encryption needs as *rsa.PrivateKey.
//
// The minted forms are fixed for ever (trust policies and CloudTrail searches
// depend on them): NameID = sub = [broker.Subject.Opaque], key ids are RFC 7638
// thumbprints, one Audience, one Role pair, no azp.
package issuer
