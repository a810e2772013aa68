package access

// WithProof is withProof, for tests.
var WithProof = withProof
