// Package mfa does the ceremonies of rolegate's own second factors: passkeys
// (WebAuthn level 3) and time-based one-time codes (RFC 6238).
//
// It holds no state and knows no store: what must be kept between the halves of
// a ceremony is handed out and given back, and whether a code or a challenge
// was used before is for [broker.Factors] to know.
//
// Passkeys: the relying party is the host of the public URL and the only origin
// is that URL, so a passkey works on no other site. User verification (PIN or
// biometrics) is required at enrolment and at every use. Attestation is not
// asked for: rolegate has no list of makers to trust. The whole credential with
// its flags is kept, as later assertions are compared with them. A signature
// counter that does not go up where it should means that there are two of one
// authenticator, and is refused.
//
// Codes: SHA-1, six digits, 30 seconds, as every app understands; the step
// before and after the current one is taken as well, for clocks that are off.
package mfa
