// Package probe tries each check of the AWS double: one attempt that this check
// alone must refuse, with everything else right. The demo's self-check and the
// tests of the double run it. It mints with other libraries than rolegate does
// and reaches the double in memory.
package probe
