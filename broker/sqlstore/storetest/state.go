package storetest

import (
	"bytes"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/rolegate/rolegate/broker"
)

func putGetTake(f fixture) {
	ctx := f.Context()
	_, err := f.Get(ctx, "k/1")
	f.code(broker.CodeNotFound, err)
	f.must(f.Put(ctx, "k/1", []byte("a"), time.Minute))
	f.must(f.Put(ctx, "k/1", []byte("b"), time.Minute))
	f.must(f.Put(ctx, "K/1", []byte("other"), time.Minute))
	for range 2 {
		v, err := f.Get(ctx, "k/1")
		f.must(err)
		f.equal("b", string(v))
	}
	v, err := f.Take(ctx, "k/1")
	f.must(err)
	f.equal("b", string(v))
	_, err = f.Take(ctx, "k/1")
	f.code(broker.CodeNotFound, err)
	_, err = f.Get(ctx, "k/1")
	f.code(broker.CodeNotFound, err)
	v, err = f.Get(ctx, "K/1")
	f.must(err)
	f.equal("other", string(v))
}

func values(f fixture) {
	ctx := f.Context()
	all := make([]byte, 256)
	for i := range all {
		all[i] = byte(i)
	}
	for i, want := range [][]byte{nil, {}, {0}, all, bytes.Repeat([]byte("x"), 1<<20)} {
		key := fmt.Sprintf("k/'; drop table state; --\x01é%d", i)
		f.must(f.Put(ctx, key, want, time.Minute))
		got, err := f.Get(ctx, key)
		f.must(err)
		if !bytes.Equal(want, got) {
			f.Fatalf("value %d: got %d bytes, want %d", i, len(got), len(want))
		}
		ok, err := f.Swap(ctx, key, want, []byte("new"), time.Minute)
		f.must(err)
		f.equal(true, ok)
	}
}

func stateExpiry(f fixture) {
	ctx := f.Context()
	for _, k := range []string{"get", "take", "swap", "absent", "longer"} {
		f.must(f.Put(ctx, k, []byte("v"), time.Minute))
	}
	f.must(f.Put(ctx, "longer", []byte("v"), time.Minute+time.Microsecond))
	f.clock.advance(time.Minute - time.Microsecond)
	_, err := f.Get(ctx, "get")
	f.must(err)
	f.clock.advance(time.Microsecond) // the end is not included
	_, err = f.Get(ctx, "get")
	f.code(broker.CodeNotFound, err)
	_, err = f.Take(ctx, "take")
	f.code(broker.CodeNotFound, err)
	ok, err := f.Swap(ctx, "swap", []byte("v"), []byte("w"), time.Minute)
	f.must(err)
	f.equal(false, ok)
	ok, err = f.PutIfAbsent(ctx, "absent", []byte("w"), time.Minute)
	f.must(err)
	f.equal(true, ok)
	ok, err = f.PutIfAbsent(ctx, "absent", []byte("x"), time.Minute)
	f.must(err)
	f.equal(false, ok)
	v, err := f.Get(ctx, "absent")
	f.must(err)
	f.equal("w", string(v))
	_, err = f.Get(ctx, "longer")
	f.must(err)
}

func stateArguments(f fixture) {
	ctx := f.Context()
	for _, tt := range []struct {
		key string
		ttl time.Duration
	}{{"", time.Minute}, {"k", 0}, {"k", -time.Second}} {
		if f.Put(ctx, tt.key, nil, tt.ttl) == nil {
			f.Errorf("Put(%q, %s) was accepted", tt.key, tt.ttl)
		}
		if ok, err := f.PutIfAbsent(ctx, tt.key, nil, tt.ttl); ok || err == nil {
			f.Errorf("PutIfAbsent(%q, %s): %t, %v", tt.key, tt.ttl, ok, err)
		}
		if ok, err := f.Swap(ctx, tt.key, nil, nil, tt.ttl); ok || err == nil {
			f.Errorf("Swap(%q, %s): %t, %v", tt.key, tt.ttl, ok, err)
		}
	}
}

func concurrentTake(f fixture) {
	ctx := f.Context()
	f.must(f.Put(ctx, "one", []byte("v"), time.Minute))
	var won, lost atomic.Int32
	together(func(int) {
		v, err := f.Take(ctx, "one")
		switch {
		case err == nil && string(v) == "v":
			won.Add(1)
		case broker.CodeOf(err) == broker.CodeNotFound:
			lost.Add(1)
		default:
			f.Errorf("take: %q, %v", v, err)
		}
	})
	f.equal([]int32{1, 49}, []int32{won.Load(), lost.Load()})
}

func concurrentPutIfAbsent(f fixture) {
	ctx := f.Context()
	other := f.again()
	var won atomic.Int32
	var winner atomic.Value
	together(func(i int) {
		v := fmt.Sprint(i)
		ok, err := []Store{f.Store, other}[i%2].PutIfAbsent(ctx, "replay/x", []byte(v), time.Minute)
		if err != nil {
			f.Error(err)
		}
		if ok {
			won.Add(1)
			winner.Store(v)
		}
	})
	f.equal(int32(1), won.Load())
	v, err := f.Get(ctx, "replay/x")
	f.must(err)
	f.equal(winner.Load().(string), string(v))
}

func concurrentSwap(f fixture) {
	ctx := f.Context()
	f.must(f.Put(ctx, "counter", []byte("0"), time.Minute))
	together(func(int) {
		for {
			old, err := f.Get(ctx, "counter")
			if err != nil {
				f.Error(err)
				return
			}
			var n int
			if _, err := fmt.Sscan(string(old), &n); err != nil {
				f.Error(err)
				return
			}
			ok, err := f.Swap(ctx, "counter", old, []byte(fmt.Sprint(n+1)), time.Minute)
			if err != nil {
				f.Error(err)
				return
			}
			if ok {
				return
			}
		}
	})
	v, err := f.Get(ctx, "counter")
	f.must(err)
	f.equal("50", string(v))
}

func swap(f fixture) {
	ctx := f.Context()
	ok, err := f.Swap(ctx, "k", nil, []byte("b"), time.Minute)
	f.must(err)
	f.equal(false, ok) // nothing there
	f.must(f.Put(ctx, "k", []byte("a"), time.Minute))
	ok, err = f.Swap(ctx, "k", []byte("A"), []byte("b"), time.Minute)
	f.must(err)
	f.equal(false, ok)
	ok, err = f.Swap(ctx, "k", []byte("a"), []byte("b"), time.Hour)
	f.must(err)
	f.equal(true, ok)
	f.clock.advance(59 * time.Minute) // the new life counts
	v, err := f.Get(ctx, "k")
	f.must(err)
	f.equal("b", string(v))
}
