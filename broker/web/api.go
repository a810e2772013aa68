package web

import (
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"strings"
	"time"

	"github.com/rolegate/rolegate/broker"
	"github.com/rolegate/rolegate/broker/access"
	"github.com/rolegate/rolegate/broker/api"
)

// apiSession is the session of the program's access token if the request has
// one, else of the browser's cookie. A request with both is refused: nobody
// could say in whose name it was meant.
func (s *Server) apiSession(r *http.Request) (*broker.Session, error) {
	v := r.Header.Values("Authorization")
	if len(v) == 0 {
		return s.sessions.Current(r)
	}
	if len(v) > 1 || s.sessions.Present(r) {
		return nil, broker.Errorf(broker.CodeInvalid, "Send a bearer token or the session cookie, not both.")
	}
	scheme, token, _ := strings.Cut(v[0], " ")
	if !strings.EqualFold(scheme, "Bearer") || len(token) > 1024 {
		return nil, broker.Errorf(broker.CodeUnauthenticated, "This kind of authorization is not known here.").Fix("Send a bearer token.")
	}
	return s.c.Programs.Authenticate(r.Context(), broker.NewSecret(token))
}

func (s *Server) me(w http.ResponseWriter, r *http.Request) error {
	sess, err := s.apiSession(r)
	if err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, "application/json", api.NewMe(sess))
	return nil
}

func (s *Server) assignments(w http.ResponseWriter, r *http.Request) error {
	sess, err := s.apiSession(r)
	if err != nil {
		return err
	}
	as, err := s.c.Access.Assignments(r.Context(), sess)
	if err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, "application/json", api.NewAssignments(as))
	return nil
}

func (s *Server) roleCredentials(w http.ResponseWriter, r *http.Request) error {
	sess, err := s.apiSession(r)
	if err != nil {
		return err
	}
	var in api.RoleCredentialsRequest
	if err := readJSON(r, &in); err != nil {
		return err
	}
	if in.DurationSeconds < 0 || in.DurationSeconds > 43200 {
		return broker.Errorf(broker.CodeInvalid, "duration_seconds is 43200 at most.")
	}
	rs, err := s.c.Access.AssumeRole(r.Context(), sess, access.RoleRequest{
		Assignment: in.Assignment, Duration: time.Duration(in.DurationSeconds) * time.Second,
	})
	if err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, "application/json", api.NewRoleCredentials(rs))
	return nil
}

// readJSON decodes one document of known fields. Its media type keeps HTML
// forms out.
func readJSON(r *http.Request, into any) error {
	if t, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || t != "application/json" {
		return broker.Errorf(broker.CodeInvalid, "The body must be application/json.")
	}
	d := json.NewDecoder(r.Body)
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return broker.Errorf(broker.CodeInvalid, "The body is not the JSON document that is needed here.").Because(err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return broker.Errorf(broker.CodeInvalid, "The body holds more than one JSON document.")
	}
	return nil
}
