package sqlstore_test

import (
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/rolegate/rolegate/broker"
)

// BenchmarkStore measures with 10,000 rows of 1.45 KB in the tables.
func BenchmarkStore(b *testing.B) {
	s := open(b, filepath.Join(b.TempDir(), "store.db"), nil)
	ctx, body, now := b.Context(), make([]byte, 1450), time.Now()
	row := func(i int) broker.SessionRow {
		return broker.SessionRow{
			Key: fmt.Sprintf("%064x", uint64(i)*0x9E3779B97F4A7C15), Subject: broker.Subject{Provider: "okta", ID: fmt.Sprint(i)},
			CreatedAt: now, LastUsedAt: now, ExpiresAt: now.Add(time.Hour), Body: body,
		}
	}
	must := func(err error) {
		if err != nil {
			b.Fatal(err)
		}
	}
	const rows = 10_000
	for i := range rows {
		must(s.SaveSession(ctx, row(i)))
	}
	n := rows
	b.Run("session/get", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			n++
			_, err := s.Session(ctx, row(n%rows).Key)
			must(err)
		}
	})
	b.Run("session/get_parallel", func(b *testing.B) {
		b.ReportAllocs()
		b.RunParallel(func(pb *testing.PB) {
			for i := 0; pb.Next(); i++ {
				if _, err := s.Session(ctx, row(i%rows).Key); err != nil {
					b.Error(err)
				}
			}
		})
	})
	b.Run("session/put", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			n++
			must(s.SaveSession(ctx, row(n)))
		}
	})
	b.Run("state/put_if_absent", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			n++
			_, err := s.PutIfAbsent(ctx, fmt.Sprintf("replay/%d", n), []byte{1}, time.Hour)
			must(err)
		}
	})
	b.Run("state/put_take", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			must(s.Put(ctx, "signin/x", body, time.Hour))
			_, err := s.Take(ctx, "signin/x")
			must(err)
		}
	})
	b.Run("event/record", func(b *testing.B) {
		b.ReportAllocs()
		e := broker.Event{Time: now, Action: broker.ActionConsole, Outcome: broker.OutcomeOK, Detail: map[string]string{"via": "saml"}}
		for b.Loop() {
			must(s.Record(ctx, e))
		}
	})
	b.Run("name/claim_again", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			_, err := s.ClaimName(ctx, broker.NameRoleSession, broker.Subject{Provider: "okta", ID: "1"}, "one")
			must(err)
		}
	})
}
