package client

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/rolegate/rolegate/broker"
	"github.com/rolegate/rolegate/broker/api"
	"github.com/rolegate/rolegate/cmd/internal/rolecache"
)

// Credentials is what credential_process prints.
type Credentials struct {
	Version         int    `json:"Version"` // always 1
	AccessKeyID     string `json:"AccessKeyId"`
	SecretAccessKey string `json:"SecretAccessKey"`
	SessionToken    string `json:"SessionToken"`
	Expiration      string `json:"Expiration"`
	AccountID       string `json:"AccountId"`
}

// Credentials returns the JSON for credential_process, from the cache while it
// is fresh. Of many processes that want the same one asks the server. When the
// server cannot be reached, credentials that AWS still takes are returned, also
// those that were asked for by the account's other name, and warn is told.
func (c *Client) Credentials(ctx context.Context, account, role string, d time.Duration, warn func(error)) ([]byte, error) {
	if _, err := c.home.loadSession(); err != nil {
		return nil, err
	}
	duration := ""
	if d > 0 {
		duration = d.String()
	}
	name := rolecache.Name(account, role, duration)
	if e, err := rolecache.Read(c.home.dir, c.home.key, name); err == nil && e.Fresh(c.c.Now()) {
		return e.Output, nil
	}
	unlock, err := lock(rolecache.Path(c.home.dir, name))
	if err != nil {
		return nil, err
	}
	defer unlock()
	old, oldErr := rolecache.Read(c.home.dir, c.home.key, name)
	if oldErr == nil && old.Fresh(c.c.Now()) {
		return old.Output, nil // another process was first
	}
	e, err := c.fetch(ctx, account, role, d)
	if err != nil {
		if broker.CodeOf(err) != broker.CodeUnavailable {
			return nil, err
		}
		if oldErr == nil && old.Usable(c.c.Now()) {
			warn(err)
			return old.Output, nil
		}
		for _, other := range c.alsoCalled(account, role, duration) {
			if e, readErr := rolecache.Read(c.home.dir, c.home.key, other); readErr == nil && e.Usable(c.c.Now()) {
				warn(err)
				return e.Output, nil
			}
		}
		return nil, err
	}
	sealed, err := rolecache.Encode(c.home.key, e, name)
	if err != nil {
		return nil, fmt.Errorf("client: %w", err)
	}
	if err := writeFile(rolecache.Path(c.home.dir, name), sealed, 0o600); err != nil {
		warn(err) // what was fetched is good all the same
	}
	return e.Output, nil
}

func (c *Client) fetch(ctx context.Context, account, role string, d time.Duration) (rolecache.Entry, error) {
	all, err := c.Assignments(ctx)
	if err != nil {
		return rolecache.Entry{}, err
	}
	a, err := find(all, account, role)
	if err != nil {
		return rolecache.Entry{}, err
	}
	var out api.RoleCredentials
	in := api.RoleCredentialsRequest{Assignment: a.ID, DurationSeconds: int64(d / time.Second)}
	if err := c.ask(ctx, http.MethodPost, api.PathRoleCredentials, in, &out); err != nil {
		return rolecache.Entry{}, err
	}
	if out.AccessKeyID == "" || out.SecretAccessKey == "" || out.SessionToken == "" {
		return rolecache.Entry{}, broker.Errorf(broker.CodeUnavailable, "The server's answer holds no credentials.").Fix("Check the address of the server.")
	}
	now := c.c.Now()
	if !now.Before(out.Expiration) || c.skew.Abs() > maxSkew {
		if err := c.clock(nil); err != nil {
			return rolecache.Entry{}, err
		}
		return rolecache.Entry{}, broker.Errorf(broker.CodeUnavailable, "The server gave credentials that have expired already.")
	}
	b, err := json.Marshal(Credentials{ //nolint:gosec // G117: goes to the caller and, sealed, to the cache
		Version: 1, AccessKeyID: out.AccessKeyID, SecretAccessKey: out.SecretAccessKey, SessionToken: out.SessionToken,
		Expiration: rfc3339(out.Expiration), AccountID: string(out.AccountID),
	})
	if err != nil {
		return rolecache.Entry{}, fmt.Errorf("client: %w", err)
	}
	return rolecache.Entry{Issued: now, Expires: out.Expiration, Output: append(b, '\n')}, nil
}

// find returns the assignment for an account (id or name) and a role.
func find(all []api.Assignment, account, role string) (api.Assignment, error) {
	for _, a := range all {
		if (string(a.Account.ID) == account || strings.EqualFold(a.Account.Name, account)) && strings.EqualFold(a.Role, role) {
			return a, nil
		}
	}
	return api.Assignment{}, broker.Errorf(broker.CodeDenied, "You do not have the role %q in the account %q.", role, account).
		Fix("rolegate roles lists those that you have.")
}
