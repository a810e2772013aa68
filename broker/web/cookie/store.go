package cookie

import (
	"errors"
	"net/http"

	"github.com/gorilla/sessions"

	"github.com/rolegate/rolegate/broker"
	"github.com/rolegate/rolegate/broker/access"
)

type valueKey int

const keySession valueKey = 0

// Store is a gorilla/sessions store over the broker's sessions. A session's ID
// is the token in the cookie; its only value is the [broker.Session] that the
// token stands for.
type Store struct {
	access  *access.Service
	options sessions.Options
}

var _ sessions.Store = (*Store)(nil)

// Get returns the request's session, read once per request.
func (s *Store) Get(r *http.Request, name string) (*sessions.Session, error) {
	return sessions.GetRegistry(r).Get(s, name)
}

// New reads the session of the request's cookie. The session is never nil; the
// error is that of [access.Service.Authenticate].
func (s *Store) New(r *http.Request, name string) (*sessions.Session, error) {
	out := sessions.NewSession(s, name)
	options := s.options
	out.Options, out.IsNew = &options, true
	token := broker.Secret{}
	if c, err := r.Cookie(name); err == nil {
		token = broker.NewSecret(c.Value)
	}
	sess, err := s.access.Authenticate(r.Context(), token)
	if err != nil {
		return out, err
	}
	out.ID, out.IsNew = token.Reveal(), false
	out.Values[keySession] = sess
	return out, nil
}

// Save sets the cookie to the session's ID, or ends it when MaxAge is negative.
// The broker has written the row already.
func (s *Store) Save(_ *http.Request, w http.ResponseWriter, sess *sessions.Session) error {
	if sess.ID == "" && sess.Options.MaxAge >= 0 {
		return errors.New("cookie: a session without a token cannot be saved")
	}
	http.SetCookie(w, sessions.NewCookie(sess.Name(), sess.ID, sess.Options))
	return nil
}
