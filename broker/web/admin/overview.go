package admin

import (
	"context"
	"net/http"
	"time"

	"github.com/rolegate/rolegate/broker"
	"github.com/rolegate/rolegate/broker/web/page"
)

// maxLeftOut bounds what is listed of what a provider's documents hold beside
// what can be used.
const maxLeftOut = 10

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
	Refused     *Refused // nil: the configuration of the file is in use
}

// Template names the page.
func (OverviewPage) Template() string { return "admin-overview" }

// ProviderView is one identity provider's state.
type ProviderView struct {
	ID, Name, Kind, Issuer string
	Well, Down             bool
	Since                  time.Time // up or down; zero: not tried yet
	Refreshed              time.Time
	Error                  string
	LeftOut                []string // of its documents
	LeftOutCount           int
	LeftOutMore            int    // that are not listed
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
	if h.Refused != nil {
		out.Refused = h.Refused()
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
	s, ok := p.Status()
	if !ok {
		return v
	}
	v.Kind, v.Issuer, v.Refreshed, v.Since, v.Down = s.Kind, s.Issuer, s.Refreshed, s.Since, s.Down()
	v.Well = s.Reach == broker.ReachUp // what is left out need not be wrong, such as a key for encryption
	if s.Err != nil {
		v.Error = broker.Visible(s.Err.Error())
	}
	for _, what := range s.LeftOut[:min(len(s.LeftOut), maxLeftOut)] {
		v.LeftOut = append(v.LeftOut, broker.Visible(broker.ShortText(what)))
	}
	v.LeftOutCount, v.LeftOutMore = len(s.LeftOut), len(s.LeftOut)-len(v.LeftOut)
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
