package client

import (
	"context"
	"crypto/subtle"
	"encoding/json"
	"net"
	"net/http"
	"time"

	"github.com/rolegate/rolegate/broker"
)

// ContainerPath is where the container endpoint gives credentials.
const ContainerPath = "/credentials"

type containerCredentials struct {
	AccessKeyID     string `json:"AccessKeyId"`
	SecretAccessKey string `json:"SecretAccessKey"`
	Token           string `json:"Token"` // not SessionToken
	Expiration      string `json:"Expiration"`
	AccountID       string `json:"AccountId"`
}

type containerError struct {
	Code    string `json:"code"`
	Message string `json:"message"`
}

// Container serves AWS_CONTAINER_CREDENTIALS_FULL_URI for one role. Whoever asks
// must bring the token, name the loopback address itself (a name that a web
// page made resolve to it is refused), and not be a web page.
func (c *Client) Container(address, token string, get func(ctx context.Context) ([]byte, error)) http.Handler {
	_, port, _ := net.SplitHostPort(address)
	hosts := map[string]bool{address: true, "localhost:" + port: true}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		refuse := func(status int, code, text string) { answer(w, status, containerError{code, text}) }
		switch {
		case !hosts[r.Host]:
			refuse(http.StatusForbidden, "WrongHost", "This address is for programs of this computer.")
		case r.Header.Get("Origin") != "" || r.Header.Get("Sec-Fetch-Site") != "":
			refuse(http.StatusForbidden, "WebPage", "This address is not for web pages.")
		case subtle.ConstantTimeCompare([]byte(r.Header.Get("Authorization")), []byte(token)) != 1:
			refuse(http.StatusUnauthorized, "WrongToken", "The authorization token is missing or wrong.")
		case r.Method != http.MethodGet || r.URL.Path != ContainerPath:
			refuse(http.StatusNotFound, "NotFound", "Ask for "+ContainerPath+".")
		default:
			b, err := get(r.Context())
			if err != nil {
				refuse(http.StatusServiceUnavailable, string(broker.CodeOf(err)), broker.Message(err)+" "+broker.Remedy(err))
				return
			}
			var in Credentials
			if err := json.Unmarshal(b, &in); err != nil {
				refuse(http.StatusInternalServerError, "internal", "The cached credentials cannot be read.")
				return
			}
			answer(w, http.StatusOK, containerCredentials{in.AccessKeyID, in.SecretAccessKey, in.SessionToken, in.Expiration, in.AccountID})
		}
	})
}

func answer(w http.ResponseWriter, status int, v any) {
	b, err := json.Marshal(v)
	if err != nil { // our own types: cannot happen
		status = http.StatusInternalServerError
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	_, _ = w.Write(b) // the client went away: nobody to tell
}

// ContainerServer returns the server for the handler.
func ContainerServer(h http.Handler) *http.Server {
	return &http.Server{Handler: h, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second, IdleTimeout: time.Minute, MaxHeaderBytes: 16 << 10}
}
