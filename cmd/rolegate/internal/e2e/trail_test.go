package e2e_test

import (
	"bytes"
	"encoding/json"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"testing"

	"github.com/rolegate/rolegate/broker"
	"github.com/rolegate/rolegate/broker/sqlstore"
	"github.com/rolegate/rolegate/cmd/rolegate/internal/demo"
)

// trailLine is what a join needs of a CloudTrail record.
type trailLine struct {
	EventName    string
	RequestID    string
	UserIdentity struct{ PrincipalID string }
	Request      struct {
		AssertionID    string `json:"sAMLAssertionID"`
		SourceIdentity string
	} `json:"requestParameters"`
	Response struct {
		Credentials     struct{ AccessKeyID string }
		AssumedRoleUser struct{ Arn, AssumedRoleID string }
	} `json:"responseElements"`
}

// TestEventsJoinCloudTrail ensures that every mint's event joins the record AWS
// keeps of it by all values it has in common, one to one.
func TestEventsJoinCloudTrail(t *testing.T) {
	dir := t.TempDir()
	d, err := demo.Start(t.Context(), demo.Options{Listen: "localhost:0", Dir: dir, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Check(t.Context(), io.Discard); err != nil {
		t.Error(err)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	trail := map[string]trailLine{}
	b, err := os.ReadFile(filepath.Join(dir, "cloudtrail.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	for line := range bytes.Lines(b) {
		var l trailLine
		if err := json.Unmarshal(line, &l); err != nil {
			t.Fatal(err)
		}
		if l.RequestID != "" {
			trail[l.RequestID] = l
		}
	}
	store, err := sqlstore.Open(t.Context(), sqlstore.Config{DSN: "sqlite:" + filepath.Join(dir, "rolegate.db")})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = store.Close() }()
	events, err := store.Events(t.Context(), sqlstore.EventFilter{})
	if err != nil {
		t.Fatal(err)
	}
	mints, signIns, refusals := 0, 0, 0
	for _, e := range events {
		if e.Outcome != broker.OutcomeOK {
			refusals++
		} else if e.Action == broker.ActionSignIn {
			signIns++
		}
		// A console link can fail after STS answered: that is a mint as well.
		if e.Detail["sts_request_id"] == "" {
			continue
		}
		mints++
		l, ok := trail[e.Detail["sts_request_id"]]
		delete(trail, e.Detail["sts_request_id"])
		if !ok || l.Response.Credentials.AccessKeyID != e.Detail["access_key_id"] || l.Response.AssumedRoleUser.Arn != e.Detail["assumed_role_arn"] ||
			l.Response.AssumedRoleUser.AssumedRoleID != e.Detail["assumed_role_id"] {
			t.Errorf("event %v does not join %+v", e.Detail, l)
		}
		if l.EventName == "AssumeRoleWithSAML" && (l.Request.AssertionID != e.Detail["assertion_id"] || l.Request.SourceIdentity != e.Detail["source_identity"] ||
			l.UserIdentity.PrincipalID != e.Detail["name_qualifier"]+":"+e.Detail["name_id"]) {
			t.Errorf("event %v does not join %+v", e.Detail, l)
		}
	}
	if len(trail) != 0 {
		t.Errorf("%d calls at AWS have no event", len(trail))
	}
	if mints < 6 || signIns < 3 || refusals < 10 {
		t.Errorf("%d mints, %d sign-ins, %d refusals", mints, signIns, refusals)
	}
	t.Logf("%d mints joined, %d sign-ins, %d refusals recorded", mints, signIns, refusals)
}
