package oidc

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"time"

	"github.com/rolegate/rolegate/broker"
)

const (
	maxClaims      = 500
	maxClaimDepth  = 5
	maxClaimValues = 20000
)

// flatten turns a JSON object into claims: scalars become their text, arrays of
// scalars lists, nested objects dotted names ("realm_access.roles"). Names are
// case-sensitive and a name that comes twice is refused, so that no claim which
// a person may choose can pass for one which the provider vouches for. Nulls are
// absent; so are arrays that hold objects or arrays, as half a list would look
// like a whole one. Entra ID's overage markers become "_claim_names.groups" and
// "hasgroups", which the mapper refuses.
func flatten(raw []byte) (broker.Claims, error) {
	f := flattener{d: json.NewDecoder(bytes.NewReader(raw)), out: broker.Claims{}}
	f.d.UseNumber() // 64-bit ids would lose digits as floats
	if t, err := f.d.Token(); err != nil || t != json.Delim('{') {
		return nil, errors.New("claims: not a JSON object")
	}
	if err := f.object("", 1); err != nil {
		return nil, fmt.Errorf("claims: %w", err)
	}
	if _, err := f.d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("claims: more than one value")
	}
	return f.out, nil
}

type flattener struct {
	d      *json.Decoder
	out    broker.Claims
	values int
}

// object reads members up to and with the closing brace.
func (f *flattener) object(prefix string, depth int) error {
	if depth > maxClaimDepth {
		return fmt.Errorf("%.80q is nested deeper than %d", prefix, maxClaimDepth)
	}
	for f.d.More() {
		key, err := f.d.Token()
		if err != nil {
			return err
		}
		name := prefix + text(key)
		v, err := f.d.Token()
		if err != nil {
			return err
		}
		switch v {
		case json.Delim('{'):
			err = f.object(name+".", depth+1)
		case json.Delim('['):
			err = f.array(name)
		case nil:
		default:
			err = f.put(name, []string{text(v)})
		}
		if err != nil {
			return err
		}
	}
	_, err := f.d.Token()
	return err
}

// array reads elements up to and with the closing bracket.
func (f *flattener) array(name string) error {
	list := []string{}
	whole := true
	for depth := 1; depth > 0; {
		v, err := f.d.Token()
		if err != nil {
			return err
		}
		switch v {
		case json.Delim('{'), json.Delim('['):
			if depth++; depth > maxClaimDepth {
				return fmt.Errorf("%.80q is nested deeper than %d", name, maxClaimDepth)
			}
			whole = false
		case json.Delim('}'), json.Delim(']'):
			depth--
		case nil:
		default:
			if f.values++; f.values > maxClaimValues {
				return fmt.Errorf("more than %d values", maxClaimValues)
			}
			list = append(list, text(v))
		}
	}
	if !whole {
		return nil
	}
	return f.put(name, list)
}

func (f *flattener) put(name string, list []string) error {
	if _, twice := f.out[name]; twice {
		// Also {"a.b": 1, "a": {"b": 2}}: which one is meant cannot be told.
		return fmt.Errorf("%.80q comes twice", name)
	}
	if len(f.out) >= maxClaims {
		return fmt.Errorf("more than %d", maxClaims)
	}
	f.out[name] = list
	return nil
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
