package mapping

import (
	"fmt"
	"slices"
	"strings"

	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/common/types/traits"

	"github.com/rolegate/rolegate/broker"
)

const tooLarge = "something larger than expressions may look at"

// unreadableError is the answer to whoever asks for a claim that was sent in a
// form in which it cannot be judged.
type unreadableError struct{ name, why string }

func (e unreadableError) Error() string { return fmt.Sprintf("the claim %q is %s", e.name, e.why) }

// claimsValue is the CEL view of claims. To look at one that cannot be read, or
// that is larger than the limits, is an error, also for has() and in: what
// cannot be judged is not absent.
func claimsValue(c broker.Claims, u broker.Unreadable) ref.Val {
	if len(c) > maxClaims {
		return types.NewErr("the %d claims are more than the %d that expressions may look at", len(c), maxClaims)
	}
	seen := make(map[string][]string, len(c)+len(u))
	var dark broker.Unreadable
	mark := func(name, why string) {
		if dark == nil {
			dark = broker.Unreadable{}
		}
		if dark[name] = why; !strings.HasSuffix(name, ".") { // else it is about members
			seen[name] = nil
		}
	}
	for name, values := range c {
		if len(name) > maxText {
			return types.NewErr("a claim has a name of %d bytes", len(name))
		}
		seen[name] = values
		if len(values) > maxGroups || slices.ContainsFunc(values, func(v string) bool { return len(v) > maxText }) {
			mark(name, tooLarge)
		}
	}
	for name, why := range u {
		mark(name, why)
	}
	if dark != nil {
		delete(seen, "")
	}
	m := types.DefaultTypeAdapter.NativeToValue(seen)
	if mapper, ok := m.(traits.Mapper); ok && dark != nil {
		return claimMap{mapper, dark}
	}
	return m
}

// claimMap is a map of claims of which some cannot be looked at.
type claimMap struct {
	traits.Mapper
	dark broker.Unreadable
}

// Find returns an error for a claim that cannot be looked at.
func (m claimMap) Find(key ref.Val) (ref.Val, bool) {
	name, ok := key.Value().(string)
	if !ok {
		return m.Mapper.Find(key)
	}
	v, found := m.Mapper.Find(key)
	_, exactly := m.dark[name]
	if found && !exactly {
		return v, true
	}
	if why, bad := m.dark.Why(name); bad {
		return types.WrapErr(unreadableError{name, why}), false
	}
	return v, found
}

// Get returns an error for a claim that cannot be looked at.
func (m claimMap) Get(key ref.Val) ref.Val {
	if v, found := m.Find(key); found || types.IsError(v) {
		return v
	}
	return m.Mapper.Get(key)
}

// Contains answers `"x" in claims`.
func (m claimMap) Contains(key ref.Val) ref.Val {
	v, found := m.Find(key)
	if types.IsError(v) {
		return v
	}
	return types.Bool(found)
}

// Equal is an error: a map that is not known whole equals none and differs from
// none.
func (m claimMap) Equal(ref.Val) ref.Val { return m.some() }

// Size is an error, as for [claimMap.Equal].
func (m claimMap) Size() ref.Val { return m.some() }

// Iterator goes over the names, of the unreadable claims too. Where there may
// be more of them than are known, the last name is an error.
func (m claimMap) Iterator() traits.Iterator {
	it := m.Mapper.Iterator()
	if why, any := m.dark[""]; any {
		return &openEnd{Iterator: it, why: why}
	}
	return it
}

func (m claimMap) some() ref.Val {
	for name, why := range m.dark {
		return types.WrapErr(unreadableError{name, why})
	}
	return types.NewErr("the claims cannot be read")
}

// openEnd is an iterator that has one more value than another: an error.
type openEnd struct {
	traits.Iterator
	why  string
	done bool
}

// HasNext implements traits.Iterator.
func (o *openEnd) HasNext() ref.Val {
	if more := o.Iterator.HasNext(); more == types.True {
		return more
	}
	return types.Bool(!o.done)
}

// Next implements traits.Iterator.
func (o *openEnd) Next() ref.Val {
	if o.Iterator.HasNext() == types.True {
		return o.Iterator.Next()
	}
	o.done = true
	return types.WrapErr(unreadableError{"", o.why})
}
