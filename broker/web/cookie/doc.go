// Package cookie keeps the browser's cookies. It owns three:
//
//   - the session: an opaque 256-bit token, whose hash is the key of a
//     [broker.Session] in the store. [Store] puts it behind the gorilla/sessions
//     interface. SameSite=Lax, so a cross-site POST (the SAML answer) neither
//     carries nor needs it.
//   - the binding: ties a sign-in in flight to the browser that began it.
//     SameSite=None, as the SAML answer is a cross-site POST.
//   - the entry: says that a deep link was opened by the person and not by
//     another site before the sign-in in between.
//
// Over HTTPS all are Secure and named __Host-…; on a plain-http loopback name,
// where browsers refuse that, they are not.
package cookie
