package awssso

import (
	"errors"
	"net/http"
	"time"

	"github.com/rolegate/rolegate/broker"
	"github.com/rolegate/rolegate/broker/program"
	"github.com/rolegate/rolegate/broker/web/oauth"
	"github.com/rolegate/rolegate/broker/web/wire"
)

type registerRequest struct {
	ClientName   string   `json:"clientName"`
	ClientType   string   `json:"clientType"`
	Scopes       []string `json:"scopes"` // sso:account:access is what one gets, whatever is asked
	RedirectURIs []string `json:"redirectUris"`
	GrantTypes   []string `json:"grantTypes"`
}

type registerAnswer struct {
	ClientID              string `json:"clientId"`
	ClientSecret          string `json:"clientSecret"`
	ClientIDIssuedAt      int64  `json:"clientIdIssuedAt"`      // epoch seconds
	ClientSecretExpiresAt int64  `json:"clientSecretExpiresAt"` // epoch seconds
	AuthorizationEndpoint string `json:"authorizationEndpoint"`
	TokenEndpoint         string `json:"tokenEndpoint"`
}

func (s *SSO) register(w http.ResponseWriter, r *http.Request) error {
	var in registerRequest
	if err := readJSON(r, &in); err != nil {
		return err
	}
	if in.ClientType != "public" {
		return broker.Errorf(broker.CodeInvalid, "clientType must be public.")
	}
	c, secret, err := s.c.Programs.RegisterClient(in.ClientName, in.RedirectURIs)
	if err != nil {
		if in.ClientName != "" && len(in.RedirectURIs) > 0 && broker.CodeOf(err) == broker.CodeInvalid {
			return broker.Errorf(broker.CodeInvalid, "%s", broker.Message(err)).Because(errors.Join(wire.ErrRedirect, err))
		}
		return err
	}
	wire.JSON(w, http.StatusOK, registerAnswer{
		ClientID: c.ID, ClientSecret: secret.Reveal(), ClientIDIssuedAt: s.c.Programs.Now().Unix(), ClientSecretExpiresAt: c.ExpiresAt.Unix(),
		AuthorizationEndpoint: s.c.PublicURL + oauth.PathAuthorize, TokenEndpoint: s.c.PublicURL + PrefixOIDC + "token",
	})
	return nil
}

type deviceRequest struct {
	ClientID     string `json:"clientId"`
	ClientSecret string `json:"clientSecret"`
	StartURL     string `json:"startUrl"`
}

type deviceAnswer struct {
	DeviceCode      string `json:"deviceCode"`
	UserCode        string `json:"userCode"`
	VerificationURI string `json:"verificationUri"`
	Complete        string `json:"verificationUriComplete"` // the CLI fails without it
	ExpiresIn       int64  `json:"expiresIn"`
	Interval        int64  `json:"interval"`
}

func (s *SSO) deviceAuthorization(w http.ResponseWriter, r *http.Request) error {
	var in deviceRequest
	if err := readJSON(r, &in); err != nil {
		return err
	}
	c, err := s.c.Programs.AuthenticateClient(in.ClientID, broker.NewSecret(in.ClientSecret))
	if err != nil {
		return err
	}
	// These clients do not say where they run; the page shows the address.
	d, err := s.c.Programs.StartDevice(r.Context(), c, "", broker.Requirement{})
	if err != nil {
		return err
	}
	uri := s.c.PublicURL + oauth.PathDevice
	wire.JSON(w, http.StatusOK, deviceAnswer{
		DeviceCode: d.DeviceCode.Reveal(), UserCode: d.UserCode, VerificationURI: uri, Complete: uri + "?user_code=" + d.UserCode,
		ExpiresIn: int64(d.ExpiresIn / time.Second), Interval: int64(d.Interval / time.Second),
	})
	return nil
}

type tokenRequest struct {
	ClientID     string `json:"clientId"`
	ClientSecret string `json:"clientSecret"`
	GrantType    string `json:"grantType"`
	DeviceCode   string `json:"deviceCode"`
	Code         string `json:"code"`
	RedirectURI  string `json:"redirectUri"`
	CodeVerifier string `json:"codeVerifier"`
	RefreshToken string `json:"refreshToken"`
}

type tokenAnswer struct {
	AccessToken string `json:"accessToken"`
	TokenType   string `json:"tokenType"`
	ExpiresIn   int64  `json:"expiresIn"`
	// The clients write their cache anew from this answer: without a refresh
	// token they would forget the one they had.
	RefreshToken string `json:"refreshToken"`
}

func (s *SSO) token(w http.ResponseWriter, r *http.Request) error {
	var in tokenRequest
	if err := readJSON(r, &in); err != nil {
		return err
	}
	c, err := s.c.Programs.AuthenticateClient(in.ClientID, broker.NewSecret(in.ClientSecret))
	if err != nil {
		return err
	}
	var t program.TokenSet
	switch in.GrantType {
	case oauth.GrantCode:
		t, err = s.c.Programs.RedeemCode(r.Context(), c, broker.NewSecret(in.Code), in.RedirectURI, broker.NewSecret(in.CodeVerifier))
	case oauth.GrantDevice:
		t, err = s.c.Programs.PollDevice(r.Context(), c, broker.NewSecret(in.DeviceCode))
	case oauth.GrantRefresh:
		t, err = s.c.Programs.Refresh(r.Context(), c, broker.NewSecret(in.RefreshToken))
	default:
		err = wire.UnsupportedGrant()
	}
	if err != nil {
		return err
	}
	wire.JSON(w, http.StatusOK, tokenAnswer{
		AccessToken: t.Access.Reveal(), TokenType: "Bearer", ExpiresIn: int64(t.ExpiresIn / time.Second), RefreshToken: t.Refresh.Reveal(),
	})
	return nil
}
