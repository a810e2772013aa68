package oidc

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"time"

	"github.com/rolegate/rolegate/broker"
)

const (
	maxClaims      = 500
	maxClaimDepth  = 5
	maxClaimValues = 20000
)

// What a claim is that is no list of texts. The members of an object are claims
// of their own; asked for by its name, it is no list.
const (
	isObject   = "an object, of which the members are claims"
	isObjects  = "a list of objects or lists"
	isDeep     = "nested too deep"
	isTwice    = "a claim that comes twice"
	isLong     = "a list of too many values"
	isOverflow = "perhaps among the claims after the first 500"
)

// protocol names the claims that are read whatever stands before them.
var protocol = []string{"iss", "sub", "aud", "exp", "iat", "nbf", "azp", "nonce", "acr", "amr", "sid", "auth_time", "at_hash", "jti", "email", "email_verified"}

// flatten turns a JSON object into claims: scalars become their text, arrays of
// scalars lists, nested objects dotted names ("realm_access.roles"). Names are
// case-sensitive and a name that comes twice at the top is refused (RFC 7519 4),
// so that no claim which a person may choose can pass for one which the provider
// vouches for. Nulls are absent. Whatever else is no list of texts is left out
// and named with what it is: half a list would look like a whole one. Entra ID's
// overage markers become "_claim_names.groups" and "hasgroups", which the mapper
// refuses.
func flatten(raw []byte) (broker.Claims, broker.Unreadable, error) {
	f := flattener{d: json.NewDecoder(bytes.NewReader(raw)), out: broker.Claims{}, odd: broker.Unreadable{}}
	f.d.UseNumber() // 64-bit ids would lose digits as floats
	if t, err := f.d.Token(); err != nil || t != json.Delim('{') {
		return nil, nil, errors.New("claims: not a JSON object")
	}
	if err := f.object("", 1); err != nil {
		return nil, nil, fmt.Errorf("claims: %w", err)
	}
	if _, err := f.d.Token(); !errors.Is(err, io.EOF) {
		return nil, nil, errors.New("claims: more than one value")
	}
	for name := range f.odd {
		delete(f.out, name)
	}
	return f.out, f.odd, nil
}

type flattener struct {
	d      *json.Decoder
	out    broker.Claims
	odd    broker.Unreadable
	values int
}

// leave marks a claim as unreadable, and its members.
func (f *flattener) leave(name, why string) { f.odd[name], f.odd[name+"."] = why, why }

// object reads members up to and with the closing brace.
func (f *flattener) object(prefix string, depth int) error {
	seen := map[string]bool{}
	for f.d.More() {
		key, err := f.d.Token()
		if err != nil {
			return err
		}
		name := prefix + text(key)
		if seen[name] && depth == 1 {
			return fmt.Errorf("%.80q comes twice", name)
		}
		if seen[name] {
			f.leave(name, isTwice)
		}
		seen[name] = true
		if err := f.value(name, depth); err != nil {
			return err
		}
	}
	_, err := f.d.Token()
	return err
}

// value reads one value.
func (f *flattener) value(name string, depth int) error {
	v, err := f.d.Token()
	if err != nil {
		return err
	}
	switch v {
	case json.Delim('{'):
		if depth == maxClaimDepth {
			f.leave(name, isDeep)
			return f.skip()
		}
		if _, odd := f.odd[name]; !odd {
			f.odd[name] = isObject
		}
		return f.object(name+".", depth+1)
	case json.Delim('['):
		return f.array(name)
	case nil:
		return nil
	}
	f.put(name, []string{text(v)})
	return nil
}

// skip reads up to and with the end of the value that was begun.
func (f *flattener) skip() error {
	for depth := 1; depth > 0; {
		v, err := f.d.Token()
		if err != nil {
			return err
		}
		switch v {
		case json.Delim('{'), json.Delim('['):
			depth++
		case json.Delim('}'), json.Delim(']'):
			depth--
		}
	}
	return nil
}

// array reads elements up to and with the closing bracket.
func (f *flattener) array(name string) error {
	list := []string{}
	for {
		v, err := f.d.Token()
		if err != nil {
			return err
		}
		switch v {
		case json.Delim('{'), json.Delim('['):
			f.leave(name, isObjects)
			if err := f.skip(); err != nil {
				return err
			}
		case json.Delim(']'):
			f.put(name, list)
			return nil
		case nil:
		default:
			if f.values++; f.values > maxClaimValues {
				f.leave(name, isLong)
				continue
			}
			list = append(list, text(v))
		}
	}
}

func (f *flattener) put(name string, list []string) {
	_, twice := f.out[name]
	switch {
	case twice:
		// As of {"a.b": 1, "a": {"b": 2}}: which one is meant cannot be told.
		f.leave(name, isTwice)
	case len(f.out) >= maxClaims && !slices.Contains(protocol, name):
		f.odd[""] = isOverflow
	default:
		f.out[name] = list
	}
}

// text of a scalar.
func text(v json.Token) string {
	switch v := v.(type) {
	case string:
		return v
	case json.Number:
		return v.String()
	case bool:
		return strconv.FormatBool(v)
	}
	return ""
}

// one returns the value of a claim that may not be a list; "" when absent.
func one(c broker.Claims, name string) (string, error) {
	if v, ok := c[name]; ok && len(v) != 1 {
		return "", fmt.Errorf("%s has %d values", name, len(v))
	}
	return c.First(name), nil
}

// endOfTime is the last second of the year 9999: beyond it dates wrap.
const endOfTime = 253402300799

// single returns the value of a claim that decides nothing by being absent, ""
// when it is a list.
func single(c broker.Claims, name string) string {
	if len(c[name]) != 1 {
		return ""
	}
	return c[name][0]
}

// date returns a NumericDate (RFC 7519 2), whole seconds; zero when absent.
func date(c broker.Claims, name string) (time.Time, error) {
	s, err := one(c, name)
	if s == "" || err != nil {
		return time.Time{}, err
	}
	f, err := strconv.ParseFloat(s, 64)
	if err != nil || !(f >= 1 && f <= endOfTime) {
		return time.Time{}, fmt.Errorf("%s is no date: %.40q", name, s)
	}
	return time.Unix(int64(math.Floor(f)), 0), nil
}
