package client

import (
	"context"
	"crypto/sha1" //nolint:gosec // G505: the name of a file, as every AWS client makes it
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"github.com/rolegate/rolegate/broker"
)

// SSO names the sso-session whose token file AWS clients read.
type SSO struct {
	Session string // "" writes none
	Region  string
	Home    string // the person's home folder
}

// TokenFile is where AWS clients look for the session's token:
// ~/.aws/sso/cache/SHA1(SESSION).json.
func (s SSO) TokenFile() string {
	sum := sha1.Sum([]byte(s.Session)) //nolint:gosec // G401: as above
	return filepath.Join(s.Home, ".aws", "sso", "cache", hex.EncodeToString(sum[:])+".json")
}

// tokenFile is what AWS clients read and, when they refresh, write.
type tokenFile struct {
	StartURL              string `json:"startUrl"`
	Region                string `json:"region"`
	AccessToken           string `json:"accessToken"`
	ExpiresAt             string `json:"expiresAt"`
	ClientID              string `json:"clientId"`
	ClientSecret          string `json:"clientSecret"`
	RegistrationExpiresAt string `json:"registrationExpiresAt"`
	RefreshToken          string `json:"refreshToken"`
}

// writeSSO gets AWS clients tokens of their own and writes the file. Two
// programs that both rotate one refresh token would end each other.
func (c *Client) writeSSO(ctx context.Context, s Session, sso SSO) (string, error) {
	var reg struct {
		ClientID     string `json:"clientId"`
		ClientSecret string `json:"clientSecret"`
		ExpiresAt    int64  `json:"clientSecretExpiresAt"`
	}
	err := c.call(ctx, request{method: http.MethodPost, url: s.Server + "/aws/oidc/client/register", json: map[string]any{
		"clientName": "AWS clients (sso-session " + sso.Session + ")", "clientType": "public", "scopes": []string{"sso:account:access"},
		"grantTypes": []string{"authorization_code", "refresh_token"}, "redirectUris": []string{"http://127.0.0.1/oauth/callback"},
	}}, &reg)
	if err != nil {
		return "", err
	}
	if left := time.Unix(reg.ExpiresAt, 0).Sub(c.c.Now()); reg.ClientID == "" || reg.ClientSecret == "" || left <= 0 || left > 2*maxSeconds*time.Second {
		return "", c.clock(broker.Errorf(broker.CodeUnavailable, "The server's answer holds no registration."))
	}
	t, err := c.tokens(ctx, s.Server, url.Values{
		"grant_type": {"urn:ietf:params:oauth:grant-type:token-exchange"}, "subject_token": {s.AccessToken},
		"subject_token_type": {"urn:ietf:params:oauth:token-type:access_token"}, "audience": {reg.ClientID},
	})
	if err != nil {
		return "", err
	}
	b, err := json.MarshalIndent(tokenFile{ //nolint:gosec // G117: AWS clients read this file in the clear
		StartURL: s.Server, Region: sso.Region, AccessToken: t.AccessToken, RefreshToken: t.RefreshToken,
		ExpiresAt: rfc3339(c.c.Now().Add(time.Duration(t.ExpiresIn) * time.Second)), ClientID: reg.ClientID, ClientSecret: reg.ClientSecret,
		RegistrationExpiresAt: rfc3339(time.Unix(reg.ExpiresAt, 0)),
	}, "", "  ")
	if err != nil {
		return "", fmt.Errorf("client: %w", err)
	}
	path := sso.TokenFile()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return "", broker.Errorf(broker.CodeConflict, "The folder %s cannot be made.", filepath.Dir(path)).Because(err)
	}
	if err := writeFile(path, b, 0o600); err != nil {
		return "", broker.Errorf(broker.CodeConflict, "The file %s cannot be written, so AWS clients with sso_session do not know of this sign-in.", path).
			Fix("Make the folder writable, or sign in with --sso-session ''.").Because(err)
	}
	return path, nil
}

func rfc3339(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05Z") }
