package awssso

import (
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/rolegate/rolegate/broker"
	"github.com/rolegate/rolegate/broker/access"
	"github.com/rolegate/rolegate/broker/web/wire"
)

// pageSize is how many entries a page holds when the client does not say.
const pageSize = 100

func token(r *http.Request) (broker.Secret, error) {
	v := r.Header.Values(bearerHeader)
	if len(v) != 1 || v[0] == "" || len(v[0]) > 1024 {
		return broker.Secret{}, broker.Errorf(broker.CodeUnauthenticated, "The session token is missing.").Fix("Sign in again.")
	}
	return broker.NewSecret(v[0]), nil
}

func (s *SSO) session(r *http.Request) (*broker.Session, error) {
	t, err := token(r)
	if err != nil {
		return nil, err
	}
	return s.c.Programs.Authenticate(r.Context(), t)
}

func (s *SSO) assignments(r *http.Request) ([]broker.Assignment, error) {
	sess, err := s.session(r)
	if err != nil {
		return nil, err
	}
	return s.c.Access.Assignments(r.Context(), sess)
}

// cut returns the page of all that the request asks for, and the token of the
// next: the key of the last entry given, so that a list which changes in
// between neither repeats nor skips what stayed.
func cut[T any](r *http.Request, all []T, key func(T) string) ([]T, string, error) {
	q, size := r.URL.Query(), pageSize
	if s := q.Get("max_result"); s != "" {
		n, err := strconv.Atoi(s)
		if err != nil || n < 1 || n > 100 {
			return nil, "", broker.Errorf(broker.CodeInvalid, "max_result is a number from 1 to 100.")
		}
		size = n
	}
	slices.SortFunc(all, func(a, b T) int { return strings.Compare(key(a), key(b)) })
	all = slices.CompactFunc(all, func(a, b T) bool { return key(a) == key(b) })
	if after := q.Get("next_token"); after != "" {
		if len(after) > 300 {
			return nil, "", broker.Errorf(broker.CodeInvalid, "next_token is not one of ours.")
		}
		i, found := slices.BinarySearchFunc(all, after, func(x T, k string) int { return strings.Compare(key(x), k) })
		if found {
			i++
		}
		all = all[i:]
	}
	if len(all) <= size {
		return all, "", nil
	}
	return all[:size], key(all[size-1]), nil
}

type account struct {
	ID    string `json:"accountId"`
	Name  string `json:"accountName"`
	Email string `json:"emailAddress,omitempty"` // we know none
}

func (s *SSO) accounts(w http.ResponseWriter, r *http.Request) error {
	as, err := s.assignments(r)
	if err != nil {
		return err
	}
	all := make([]account, 0, len(as))
	for _, a := range as {
		all = append(all, account{ID: string(a.Account.ID), Name: a.Account.Name})
	}
	part, next, err := cut(r, all, func(a account) string { return a.ID })
	if err != nil {
		return err
	}
	wire.JSON(w, http.StatusOK, struct {
		List []account `json:"accountList"`
		Next string    `json:"nextToken,omitempty"`
	}{part, next})
	return nil
}

type role struct {
	Account string `json:"accountId"`
	Name    string `json:"roleName"`
}

func (s *SSO) roles(w http.ResponseWriter, r *http.Request) error {
	id, err := one(r, "account_id")
	if err != nil {
		return err
	}
	as, err := s.assignments(r)
	if err != nil {
		return err
	}
	all := []role{}
	for _, a := range as {
		if string(a.Account.ID) == id {
			all = append(all, role{Account: id, Name: a.Role})
		}
	}
	part, next, err := cut(r, all, func(x role) string { return x.Name })
	if err != nil {
		return err
	}
	wire.JSON(w, http.StatusOK, struct {
		List []role `json:"roleList"`
		Next string `json:"nextToken,omitempty"`
	}{part, next})
	return nil
}

// one returns a parameter that must be there once.
func one(r *http.Request, name string) (string, error) {
	v := r.URL.Query()[name]
	if len(v) != 1 || v[0] == "" || len(v[0]) > 256 {
		return "", broker.Errorf(broker.CodeInvalid, "%s is missing.", name)
	}
	return v[0], nil
}

func (s *SSO) credentials(w http.ResponseWriter, r *http.Request) error {
	accountID, err := one(r, "account_id")
	if err != nil {
		return err
	}
	roleName, err := one(r, "role_name")
	if err != nil {
		return err
	}
	sess, err := s.session(r)
	if err != nil {
		return err
	}
	a, err := s.c.Access.FindAssignment(r.Context(), sess, broker.ActionCredentials, accountID, roleName)
	if err != nil {
		return err
	}
	rs, err := s.c.Access.AssumeRole(r.Context(), sess, access.RoleRequest{Assignment: a.ID})
	if err != nil {
		return err
	}
	c := rs.Credentials
	wire.JSON(w, http.StatusOK, map[string]any{"roleCredentials": struct {
		AccessKeyID     string `json:"accessKeyId"`
		SecretAccessKey string `json:"secretAccessKey"`
		SessionToken    string `json:"sessionToken"`
		Expiration      int64  `json:"expiration"` // epoch milliseconds
		AccountID       string `json:"accountId"`
	}{c.AccessKeyID, c.SecretAccessKey.Reveal(), c.SessionToken.Reveal(), c.Expiration.UnixMilli(), string(a.Account.ID)}})
	return nil
}

func (s *SSO) logout(w http.ResponseWriter, r *http.Request) error {
	t, err := token(r)
	if err != nil {
		return err
	}
	if err := s.c.Programs.SignOut(r.Context(), t); err != nil {
		return err
	}
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(http.StatusOK)
	return nil
}
