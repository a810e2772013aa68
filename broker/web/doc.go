// Package web joins the pages and programs' routes to one handler. Each kind of
// visitor has a room of its own below it: portal for everybody, admin for
// administrators, idp for identity providers and IAM, oauth and awssso for
// programs; page, wire and cookie are what those share.
//
// Handlers return errors. [Server] maps a [broker.Code] to a status, keeps a
// trace with the private cause under a speakable id, and answers with a page or,
// by Accept, with application/problem+json (RFC 9457). Nothing of a cause
// reaches the answer.
//
// It knows use cases and desks, and nothing of SAML, OpenID Connect or AWS.
package web
