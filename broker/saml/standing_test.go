package saml_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/rolegate/rolegate/broker"
	"github.com/rolegate/rolegate/broker/saml"
)

// TestStanding ensures that a provider is told of as up and down once for each
// change, that a refresh which we break off ourselves says nothing about it, and
// that secrets in its address are in no error.
func TestStanding(t *testing.T) {
	var told []broker.ProviderStatus
	now, up, leave := fixed, false, func() {}
	sp, err := saml.New(saml.Config{
		ID: "corp", PublicURL: "https://sso.example.com", MetadataURL: "https://idp.example.com/metadata?key=planted",
		Now: func() time.Time { return now }, Changed: func(s broker.ProviderStatus) { told = append(told, s) },
		HTTP: &http.Client{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
			if leave(); r.Context().Err() != nil {
				return nil, r.Context().Err()
			}
			if !up {
				return nil, errors.New("connection refused")
			}
			return &http.Response{StatusCode: http.StatusOK, Body: io.NopCloser(strings.NewReader(metadata(idpKey())))}, nil
		})},
	})
	if err != nil {
		t.Fatal(err)
	}
	for i, step := range []struct {
		name    string
		up      bool // it answers
		leave   bool // we do, before it does
		reach   broker.Reach
		changes int
	}{
		{"given up before the first answer", false, true, broker.ReachUnknown, 0}, {"down at the start", false, false, broker.ReachDown, 1},
		{"still down", false, false, broker.ReachDown, 1}, {"up", true, false, broker.ReachUp, 2}, {"still up", true, false, broker.ReachUp, 2},
		{"given up", false, true, broker.ReachUp, 2}, {"down again", false, false, broker.ReachDown, 3},
	} {
		ctx, cancel := context.WithCancel(t.Context())
		up, leave = step.up, func() {}
		if now = now.Add(time.Hour); step.leave {
			leave = cancel
		}
		err := sp.Refresh(ctx)
		cancel()
		if s := sp.Status(); (err == nil) != step.up || s.Reach != step.reach || len(told) != step.changes {
			t.Errorf("step %d, %s: %v, %+v, told %d times", i, step.name, err, s.Standing, len(told))
		}
		if err != nil && strings.Contains(err.Error(), "planted") {
			t.Errorf("%s: %v", step.name, err)
		}
	}
	if s := told[len(told)-1]; !s.Down() || !s.Since.Equal(now) || s.Failures != 3 || s.Refreshed.IsZero() {
		t.Errorf("told last: %+v", s)
	}
}
