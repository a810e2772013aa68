package oauth

import (
	"net/http"
	"net/url"
	"time"

	"github.com/rolegate/rolegate/broker"
	"github.com/rolegate/rolegate/broker/program"
	"github.com/rolegate/rolegate/broker/web/wire"
)

// client reads the form and authenticates the program that sent it: by HTTP
// Basic or in the form, not by both (RFC 6749 2.3.1). Parameters in the
// address are not looked at.
func (o *OAuth) client(r *http.Request) (map[string]string, program.Client, error) {
	v, err := wire.Once(r.PostForm)
	if err != nil {
		return nil, program.Client{}, err
	}
	id, secret := v["client_id"], v["client_secret"]
	if user, password, ok := r.BasicAuth(); ok {
		user, userErr := url.QueryUnescape(user)
		password, passErr := url.QueryUnescape(password)
		if userErr != nil || passErr != nil || secret != "" || id != "" && id != user {
			return nil, program.Client{}, broker.Errorf(broker.CodeInvalid, "The program identifies itself in two ways.")
		}
		id, secret = user, password
	}
	if id == "" {
		return nil, program.Client{}, broker.Errorf(broker.CodeInvalid, "client_id is missing.")
	}
	c, err := o.c.Programs.AuthenticateClient(id, broker.NewSecret(secret))
	return v, c, err
}

type tokenAnswer struct {
	AccessToken      string    `json:"access_token"`
	TokenType        string    `json:"token_type"`
	ExpiresIn        int64     `json:"expires_in"`
	RefreshToken     string    `json:"refresh_token"`
	IssuedTokenType  string    `json:"issued_token_type,omitempty"` // RFC 8693 2.2.1
	SessionExpiresAt time.Time `json:"session_expires_at"`          // ours: when refreshing ends
}

func (o *OAuth) token(w http.ResponseWriter, r *http.Request) error {
	v, c, err := o.client(r)
	if err != nil {
		return err
	}
	var t program.TokenSet
	kind := ""
	switch v["grant_type"] {
	case GrantCode:
		t, err = o.c.Programs.RedeemCode(r.Context(), c, broker.NewSecret(v["code"]), v["redirect_uri"], broker.NewSecret(v["code_verifier"]))
	case GrantDevice:
		t, err = o.c.Programs.PollDevice(r.Context(), c, broker.NewSecret(v["device_code"]))
	case GrantRefresh:
		t, err = o.c.Programs.Refresh(r.Context(), c, broker.NewSecret(v["refresh_token"]))
	case grantExchange:
		kind = accessTokenType
		t, err = o.exchange(r, c, v)
	case "":
		err = broker.Errorf(broker.CodeInvalid, "grant_type is missing.")
	default:
		err = wire.UnsupportedGrant()
	}
	if err != nil {
		return err
	}
	wire.JSON(w, http.StatusOK, tokenAnswer{
		AccessToken: t.Access.Reveal(), TokenType: "Bearer", ExpiresIn: int64(t.ExpiresIn / time.Second), RefreshToken: t.Refresh.Reveal(),
		IssuedTokenType: kind, SessionExpiresAt: t.SessionExpiresAt.UTC(),
	})
	return nil
}

func (o *OAuth) exchange(r *http.Request, c program.Client, v map[string]string) (program.TokenSet, error) {
	if v["subject_token_type"] != accessTokenType {
		return program.TokenSet{}, broker.Errorf(broker.CodeInvalid, "subject_token_type must be %s.", accessTokenType)
	}
	audience, err := o.c.Programs.Client(v["audience"])
	if err != nil {
		return program.TokenSet{}, broker.Errorf(broker.CodeInvalid, "audience must be the id of a registered client.")
	}
	return o.c.Programs.Exchange(r.Context(), c, broker.NewSecret(v["subject_token"]), audience)
}

func (o *OAuth) revoke(w http.ResponseWriter, r *http.Request) error {
	v, c, err := o.client(r)
	if err != nil {
		return err
	}
	if v["token"] == "" {
		return broker.Errorf(broker.CodeInvalid, "token is missing.")
	}
	if err := o.c.Programs.Revoke(r.Context(), c, broker.NewSecret(v["token"])); err != nil {
		return err
	}
	wire.JSON(w, http.StatusOK, struct{}{})
	return nil
}
