package oidc

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"

	"github.com/rolegate/rolegate/broker"
)

const (
	maxClaims      = 500
	maxClaimDepth  = 5
	maxClaimValues = 20000
)

// flatten turns a JSON object into claims: scalars become their text, arrays of
// scalars lists, nested objects dotted names ("realm_access.roles"). Arrays
// that hold objects keep their scalars only under the parent's name. Entra ID's
// overage markers so become "_claim_names.groups" and "hasgroups", which the
// mapper refuses.
func flatten(raw []byte) (broker.Claims, error) {
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber() // 64-bit ids would lose digits as floats
	var top map[string]any
	if err := d.Decode(&top); err != nil {
		return nil, fmt.Errorf("claims: %w", err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("claims: more than one value")
	}
	f := flattener{out: broker.Claims{}}
	for k, v := range top {
		if err := f.add(k, v, 1); err != nil {
			return nil, err
		}
	}
	return f.out, nil
}

type flattener struct {
	out    broker.Claims
	values int
}

func (f *flattener) add(name string, v any, depth int) error {
	if depth > maxClaimDepth {
		return fmt.Errorf("claim %.80q is nested deeper than %d", name, maxClaimDepth)
	}
	switch v := v.(type) {
	case map[string]any:
		for k, inner := range v {
			if err := f.add(name+"."+k, inner, depth+1); err != nil {
				return err
			}
		}
		return nil
	case []any:
		list := []string{}
		for _, inner := range v {
			if s, ok := scalar(inner); ok {
				list = append(list, s)
			}
		}
		return f.put(name, list)
	case nil:
		return nil
	}
	s, ok := scalar(v)
	if !ok {
		return nil
	}
	return f.put(name, []string{s})
}

func (f *flattener) put(name string, list []string) error {
	if _, twice := f.out[name]; twice {
		// {"a.b": 1, "a": {"b": 2}}: which one is meant cannot be told.
		return fmt.Errorf("claim %.80q is ambiguous", name)
	}
	f.values += len(list)
	if len(f.out) >= maxClaims || f.values > maxClaimValues {
		return fmt.Errorf("more than %d claims or %d values", maxClaims, maxClaimValues)
	}
	f.out[name] = list
	return nil
}

func scalar(v any) (string, bool) {
	switch v := v.(type) {
	case string:
		return v, true
	case json.Number:
		return v.String(), true
	case bool:
		return strconv.FormatBool(v), true
	}
	return "", false
}
