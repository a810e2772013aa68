// Package federation talks to AWS: it exchanges a minted assertion for role
// credentials at STS and credentials for a console sign-in link at the
// federation endpoint, in four partitions, with regional endpoints tried in
// order.
//
// It holds no AWS credentials (the STS calls are anonymous), reads no AWS
// environment or profile, and never sees a private key. What STS refuses is
// told in the words of who can mend it: which role in which account lacks what.
package federation
