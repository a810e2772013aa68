// Package access is the use case of getting into AWS with a session: which
// assignments the person has now, and a role session or a console link from
// one of them. [Favourites] keeps at hand what they use.
//
// Rules are evaluated again at each use, nothing is released before its event
// is durable, and there is no second way to credentials.
package access
