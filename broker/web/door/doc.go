// Package door knows whose session a request brings, and leads away who has none
// or has not proven enough: to sign in, to prove more, and back. Portal,
// administrators' pages and the pages on which programs are let in share it, so
// that each of them offers the same ways, rolegate's own second factor among
// them, and the same navigation. It keeps sign-ins to pages of their own as well.
package door
