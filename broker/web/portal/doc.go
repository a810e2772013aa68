// Package portal holds the pages people use: sign-in, accounts and roles,
// credentials, the explanation of one's access, and sign-out.
//
//	GET  /                     accounts × roles, searched by ?q=
//	GET  /signin               choose an identity provider
//	POST /signin               the same by e-mail address
//	GET  /signin/{idp}         start at that provider
//	POST /signin/{idp}         step-up: stronger or fresher authentication
//	POST /signout              ends the session, and goes on to the provider where it has a logout
//	POST /console              303 to an AWS sign-in link
//	GET  /go                   the same as a link; asks first when another site sent it
//	GET,POST /credentials      keys for the command line
//	GET,POST /mfa, /mfa/…      rolegate's own second factor: use and enrolment
//	GET  /security             one's second factors
//	GET  /access               why one has what one has
//
// A handler returns an error and never renders one. Forms carry assignment ids,
// which the broker evaluates again; no role comes from a form.
//
// A deep link remembers across a sign-in whether the person opened it
// themselves. The judgement travels as the parameter "entry" of the return
// path; it is believed only in a request that did not come from another site
// ([Portal.returnTo]), is kept in the pending sign-in, and reaches /go as a
// cookie. /go itself believes that cookie and what was typed, and asks
// otherwise: the last hop of a chain does not say where it began.
package portal
