// Package idp holds the demo identity providers: a SAML one and an OpenID
// Connect one, with three people, real passwords and a real TOTP second factor.
// They are for the demo and for tests, and say so on every page.
//
// They import nothing of rolegate and share no code with its service provider
// or relying party, so that a mistake cannot pass on both sides.
package idp
