package federation

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/rolegate/rolegate/broker"
)

// tokenLimit bounds the sign-in token: it becomes part of a URL.
const tokenLimit = 16 << 10

// SignInURL trades the role session for a sign-in token (getSigninToken, by
// POST so that no credential is in a URL) and returns the login link. No
// SessionDuration is sent: the console session ends with the credentials, which
// is how max_duration caps it.
func (f *Federation) SignInURL(ctx context.Context, r broker.SignInURLRequest) (broker.Secret, error) {
	p := r.RoleSession.Assignment.Account.Partition
	destination, err := f.destination(p, r.Destination)
	if err != nil {
		return broker.Secret{}, err
	}
	//nolint:gosec // G117: AWS wants the credentials here, in the body of the POST
	creds, err := json.Marshal(struct {
		ID    string `json:"sessionId"`
		Key   string `json:"sessionKey"`
		Token string `json:"sessionToken"`
	}{r.RoleSession.Credentials.AccessKeyID, r.RoleSession.Credentials.SecretAccessKey.Reveal(), r.RoleSession.Credentials.SessionToken.Reveal()})
	if err != nil {
		return broker.Secret{}, fmt.Errorf("federation: encode session: %w", err)
	}
	form := url.Values{"Action": {"getSigninToken"}, "Session": {string(creds)}}.Encode()
	last := errors.New("no sign-in endpoint is known")
	for _, base := range f.c.signInEndpoints(p) {
		token, status, err := f.signInToken(ctx, base, form)
		if err == nil {
			q := url.Values{"Action": {"login"}, "Issuer": {r.Issuer}, "Destination": {destination}, "SigninToken": {token}}
			return broker.NewSecret(base + "/federation?" + q.Encode()), nil
		}
		last = err
		if status == http.StatusBadRequest {
			return broker.Secret{}, broker.Errorf(broker.CodeUnavailable, "AWS did not open the console with this role session.").
				Fix("Try again; if it stays so, show your administrator this page.").Because(fmt.Errorf("federation: getSigninToken: %w", err))
		}
		if ctx.Err() != nil || status != 0 && status < 500 && status != http.StatusTooManyRequests {
			break
		}
	}
	return broker.Secret{}, broker.Errorf(broker.CodeUnavailable, "The AWS sign-in page does not answer.").
		Fix("Try again in a minute; credentials for the command line may still work.").
		Because(fmt.Errorf("federation: getSigninToken: %w", last))
}

// signInToken makes one call and returns the status that came, 0 if none did.
// Its errors hold status and length and never the body, which may echo what was
// sent.
func (f *Federation) signInToken(ctx context.Context, base, form string) (token string, status int, err error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, base+"/federation", strings.NewReader(form))
	if err != nil {
		return "", 0, errors.New("bad endpoint")
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Accept", "application/json")
	req.Header.Set("User-Agent", f.userAgent)
	resp, err := f.http.Do(req)
	if err != nil {
		return "", 0, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 4*tokenLimit))
	if err != nil {
		return "", 0, fmt.Errorf("status %d, body broke off", resp.StatusCode)
	}
	var answer struct{ SigninToken string }
	if resp.StatusCode != http.StatusOK || json.Unmarshal(body, &answer) != nil || answer.SigninToken == "" || len(answer.SigninToken) > tokenLimit {
		return "", resp.StatusCode, fmt.Errorf("status %d without a token, %d bytes", resp.StatusCode, len(body))
	}
	return answer.SigninToken, resp.StatusCode, nil
}
