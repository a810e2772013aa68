// Package web is the HTTP shell: it puts the routes of web/portal and
// web/idp and the JSON of /api/v1 behind one chain of middleware, and is
// the one place where errors become answers.
//
// Handlers return errors. [Server] maps a [broker.Code] to a status, keeps a
// trace with the private cause under a speakable id, and answers with a page or,
// by Accept, with application/problem+json (RFC 9457). Nothing of a cause
// reaches the answer.
//
// It knows nothing of SAML, OpenID Connect or AWS; those are behind the use
// cases of package broker.
package web
