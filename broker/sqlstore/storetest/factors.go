package storetest

import (
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rolegate/rolegate/broker"
)

func factor(id string) broker.FactorRow {
	return broker.FactorRow{
		ID: id, Subject: broker.Subject{Provider: "okta", ID: "00u1"}, Kind: broker.FactorCode, Name: "App",
		CreatedAt: Start, Version: 1, Body: []byte{0, 1, 2},
	}
}

// testFactors: rows come back as they were, only to their subject, and all or
// none are added.
func testFactors(f fixture) {
	a, b := factor("a"), factor("b")
	b.CreatedAt, b.LastUsedAt = Start.Add(time.Second), Start.Add(time.Minute)
	if err := f.AddFactors(f.Context(), b, a); err != nil {
		f.Fatal(err)
	}
	got, err := f.again().Factors(f.Context(), a.Subject)
	if diff := cmp.Diff([]broker.FactorRow{a, b}, got); err != nil || diff != "" {
		f.Errorf("%v, factors (-want +got):\n%s", err, diff)
	}
	other := broker.Subject{Provider: "entra", ID: "00u1"}
	if got, err := f.Factors(f.Context(), other); err != nil || len(got) != 0 {
		f.Errorf("another provider's 00u1 has %d factors, %v", len(got), err)
	}
	if err := f.AddFactors(f.Context(), factor("c"), factor("a")); broker.CodeOf(err) != broker.CodeConflict {
		f.Errorf("a taken id: %v", err)
	}
	if got, _ := f.Factors(f.Context(), a.Subject); len(got) != 2 {
		f.Errorf("%d factors after a refused addition", len(got))
	}
	if err := f.DeleteFactor(f.Context(), other, "a"); broker.CodeOf(err) != broker.CodeNotFound {
		f.Errorf("deleting another person's factor: %v", err)
	}
	if err := f.DeleteFactor(f.Context(), a.Subject, "a"); err != nil {
		f.Error(err)
	}
	if n, err := f.DeleteFactors(f.Context(), a.Subject); err != nil || n != 1 {
		f.Errorf("deleted %d, %v", n, err)
	}
}

// testSwapFactor: of many concurrent uses of one version, on two nodes, one
// wins; a use of another person's row changes nothing.
func testSwapFactor(f fixture) {
	r := factor("a")
	if err := f.AddFactors(f.Context(), r); err != nil {
		f.Fatal(err)
	}
	stores := []Store{f.Store, f.again()}
	var won atomic.Int32
	var wg sync.WaitGroup
	for i := range 20 {
		wg.Go(func() {
			mine := r
			mine.LastUsedAt, mine.Body = Start.Add(time.Hour), []byte(strconv.Itoa(i))
			ok, err := stores[i%2].SwapFactor(f.Context(), mine)
			if err != nil {
				f.Error(err)
			}
			if ok {
				won.Add(1)
			}
		})
	}
	wg.Wait()
	if won.Load() != 1 {
		f.Errorf("%d uses of one version won", won.Load())
	}
	got, err := f.Factors(f.Context(), r.Subject)
	if err != nil || len(got) != 1 || got[0].Version != 2 || !got[0].LastUsedAt.Equal(Start.Add(time.Hour)) {
		f.Fatalf("%+v, %v", got, err)
	}
	theirs := got[0]
	theirs.Subject.ID = "00u2"
	if ok, err := f.SwapFactor(f.Context(), theirs); ok || err != nil {
		f.Errorf("another person's row: %t, %v", ok, err)
	}
}
