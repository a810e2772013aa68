// Package page renders HTML. Each page is a struct that embeds [Meta] and names
// its template; the template fills the blocks of layout.html. A page is executed
// to a buffer, so that a broken one never leaves half a document behind, and
// gets the strictest content security policy it works under: no inline script
// or style, and forms that go to the origins named in Meta only.
package page
