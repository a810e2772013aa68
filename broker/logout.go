package broker

import (
	"net/url"
	"time"
)

// LogoutRequest asks an identity provider to end its session with a person.
type LogoutRequest struct {
	ID           string // the LogoutRequest's ID, unique
	State        string // RelayState or state: the key of this request
	NameID       string // as [Authentication.NameID]
	SessionIndex string
	Hint         Secret // as [Authentication.LogoutHint]
	Tokens       Tokens // the provider's own that were kept: it is to be told that they are over
}

// LogoutMessage is an identity provider's message about a logout as it reached
// us: the raw query of a GET, or the form of a POST.
type LogoutMessage struct {
	Query string     // not decoded: the Redirect binding signs its bytes
	Form  url.Values // nil for a GET
}

// LogoutNotice is a verified request of an identity provider to end sessions.
type LogoutNotice struct {
	RequestID     string
	RelayState    string // the provider's own, to be sent back
	Sessions      []SessionFilter
	ReplayID      string
	ReplayExpires time.Time
}
