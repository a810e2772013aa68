package client

import (
	"encoding/json"
	"fmt"
	"time"
)

const sessionFile = "session"

// Session is a sign-in as this computer keeps it.
type Session struct {
	Server         string    `json:"server"`
	AccessToken    string    `json:"access_token"`
	AccessExpires  time.Time `json:"access_expires"`
	RefreshToken   string    `json:"refresh_token"`
	SessionExpires time.Time `json:"session_expires"`
	Username       string    `json:"username"`
	SSOFile        string    `json:"sso_file,omitempty"` // the token file we wrote for AWS clients
}

func (h *Home) loadSession() (Session, error) {
	b, err := h.readSealed(sessionFile)
	if err != nil {
		return Session{}, err
	}
	var s Session
	if err := json.Unmarshal(b, &s); err != nil {
		return Session{}, fmt.Errorf("client: session: %w", err)
	}
	return s, nil
}

func (h *Home) saveSession(s Session) error {
	b, err := json.Marshal(s) //nolint:gosec // G117: sealed before it is written
	if err != nil {
		return fmt.Errorf("client: session: %w", err)
	}
	return h.writeSealed(sessionFile, b)
}
