package admin

import (
	"context"
	"net/http"
	"time"

	"github.com/rolegate/rolegate/broker"
	"github.com/rolegate/rolegate/broker/web/page"
)

// soon is how long before its end a certificate needs attention.
const soon = 30 * 24 * time.Hour

// OverviewPage says how everything does.
type OverviewPage struct {
	page.Meta
	Version     string
	Relaxations []string
	Providers   []ProviderView
	Store       string
	StoreError  string
	Keys        []KeyView
	AWS         []Endpoint
}

// Template names the page.
func (OverviewPage) Template() string { return "admin-overview" }

// ProviderView is one identity provider's state.
type ProviderView struct {
	ID, Name, Kind, Issuer string
	Well                   bool
	Refreshed              time.Time
	Error                  string
	Skew                   string // "" when it is not known
	Certificates           []CertificateView
}

// CertificateView is a certificate and how long it lasts.
type CertificateView struct {
	Name     string
	NotAfter time.Time
	Days     int
	Soon     bool // it ends soon or has ended
}

// KeyView is one of our own keys.
type KeyView struct {
	Key
	Days int
	Soon bool
}

func (a *Admin) overview(w http.ResponseWriter, r *http.Request, sess *broker.Session) error {
	h := a.c.Health
	out := OverviewPage{Meta: a.meta(sess, "Health"), Version: h.Version, Relaxations: h.Relaxations, Store: h.Store, AWS: h.AWS}
	if h.Ping != nil {
		ctx, cancel := context.WithTimeout(r.Context(), 2*time.Second)
		defer cancel()
		if err := h.Ping(ctx); err != nil {
			out.StoreError = err.Error()
		}
	}
	for _, p := range a.c.SignIn.Providers() {
		out.Providers = append(out.Providers, a.providerView(p))
	}
	if h.Keys != nil {
		for _, k := range h.Keys() {
			v := KeyView{Key: k}
			v.Days, v.Soon = a.days(k.NotAfter)
			out.Keys = append(out.Keys, v)
		}
	}
	return a.render(w, out)
}

func (a *Admin) days(end time.Time) (int, bool) {
	left := end.Sub(a.c.Now())
	return int(left / (24 * time.Hour)), !end.IsZero() && left < soon
}

func (a *Admin) providerView(p broker.Provider) ProviderView {
	v := ProviderView{ID: string(p.ID), Name: p.Name}
	src, ok := p.IdP.(StatusSource)
	if !ok {
		return v
	}
	s := src.ProviderStatus()
	v.Kind, v.Issuer, v.Refreshed, v.Well = s.Kind, s.Issuer, s.Refreshed, s.Err == nil && !s.Refreshed.IsZero()
	if s.Err != nil {
		v.Error = s.Err.Error()
	}
	if s.SkewKnown {
		v.Skew = s.Skew.Round(time.Second).String()
	}
	for _, c := range s.Certificates {
		x := CertificateView{Name: c.Name, NotAfter: c.NotAfter}
		x.Days, x.Soon = a.days(c.NotAfter)
		v.Well = v.Well && !x.Soon
		v.Certificates = append(v.Certificates, x)
	}
	return v
}

// SetupPage lists what to enter at each identity provider.
type SetupPage struct {
	page.Meta
	Providers []SetupView
}

// Template names the page.
func (SetupPage) Template() string { return "admin-setup" }

// SetupView is what to enter at one identity provider.
type SetupView struct {
	ID, Name string
	Values   []broker.SetupValue
}

func (a *Admin) setup(w http.ResponseWriter, _ *http.Request, sess *broker.Session) error {
	out := SetupPage{Meta: a.meta(sess, "Set up identity providers")}
	for _, p := range a.c.SignIn.Providers() {
		v := SetupView{ID: string(p.ID), Name: p.Name}
		if src, ok := p.IdP.(SetupSource); ok {
			v.Values = src.Setup()
		}
		out.Providers = append(out.Providers, v)
	}
	return a.render(w, out)
}
