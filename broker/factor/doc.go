// Package factor is the use case of rolegate's own second factor: enrolment,
// use, removal and reset of passkeys, one-time codes and recovery codes. It
// takes the place of proof that an identity provider cannot give.
package factor
