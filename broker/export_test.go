package broker

// WithProof is withProof, for tests.
var WithProof = withProof
