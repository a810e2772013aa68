package client

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"

	"github.com/rolegate/rolegate/broker"
	"github.com/rolegate/rolegate/broker/api"
	"github.com/rolegate/rolegate/cmd/internal/rolecache"
)

// namesFile holds the names of the person's roles as the server last said them.
// It is for the completion of shells, and to find what is cached under another
// name of an account.
const namesFile = "roles"

// Name is one role of the person as they say it.
type Name struct {
	Account     string           `json:"account"`
	AccountID   broker.AccountID `json:"account_id"`
	Role        string           `json:"role"`
	Description string           `json:"description,omitempty"`
}

// KnownNames returns the roles that the server said last, without asking it and
// without waiting for a person: nothing when nobody is signed in, when the file
// does not open, or when the key is in the keyring, which may ask to be unlocked.
func (c *Client) KnownNames() []Name {
	h := c.home
	if exists(h.path(keyringFile)) {
		return nil
	}
	return c.lastNames()
}

// lastNames returns the same, and may wait for the keyring.
func (c *Client) lastNames() []Name {
	h := c.home
	b, err := h.readSealed(namesFile)
	if err != nil {
		return nil
	}
	var out []Name
	if json.Unmarshal(b, &out) != nil {
		return nil
	}
	return out
}

// alsoCalled returns the names of cached credentials for a role as it may have
// been asked for before: by the account's id, and by its name.
func (c *Client) alsoCalled(account, role, duration string) []string {
	var out []string
	for _, n := range c.lastNames() {
		if (string(n.AccountID) == account || strings.EqualFold(n.Account, account)) && strings.EqualFold(n.Role, role) {
			out = append(out, rolecache.Name(string(n.AccountID), role, duration), rolecache.Name(n.Account, role, duration))
		}
	}
	return out
}

// keepNames writes the names. That it cannot is nobody's trouble: the file is a
// convenience, and it is written after all that matters.
func (c *Client) keepNames(all []api.Assignment) {
	names := make([]Name, 0, len(all))
	for _, a := range all {
		names = append(names, Name{a.Account.Name, a.Account.ID, a.Role, a.Description})
	}
	if b, err := json.Marshal(names); err == nil {
		_ = c.home.writeSealed(namesFile, b)
	}
}

// learnNames asks for the names right after a sign-in, so that completion works
// at once. The names of somebody who was signed in before do not stay.
func (c *Client) learnNames(ctx context.Context, s Session) {
	var out api.Assignments
	err := c.call(ctx, request{method: http.MethodGet, url: s.Server + api.PathAssignments, token: s.AccessToken}, &out)
	if err != nil || plain(out.Assignments) != nil {
		_ = remove(c.home.path(namesFile)) // it does not open with the new key anyhow
		return
	}
	c.keepNames(out.Assignments)
}
