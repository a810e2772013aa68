package session

// SealedUnder is what the body of a row is bound to.
var SealedUnder = sealedUnder
