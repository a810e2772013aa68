package config_test

import (
	"encoding/json"
	"reflect"
	"strings"

	"github.com/invopop/jsonschema"

	"github.com/rolegate/rolegate/cmd/rolegate/internal/config"
)

// schema makes the JSON Schema of the file from the types. It lives in a test,
// and `make golden` writes the file, so that the program does not link the
// library.
func schema() ([]byte, error) {
	r := &jsonschema.Reflector{
		FieldNameTag: "yaml", RequiredFromJSONSchemaTags: true, Anonymous: true,
		Namer: func(t reflect.Type) string { return t.Name() },
		Mapper: func(t reflect.Type) *jsonschema.Schema {
			switch t {
			case reflect.TypeFor[config.Duration]():
				return &jsonschema.Schema{Type: "string", Pattern: `^([0-9]+d|([0-9]+(\.[0-9]+)?(ms|s|m|h))+)$`, Examples: []any{"90s", "8h", "400d"}}
			case reflect.TypeFor[config.Proofs]():
				length := uint64(1)
				one := &jsonschema.Schema{Type: "string", MinLength: &length}
				return &jsonschema.Schema{Type: "array", Items: &jsonschema.Schema{AnyOf: []*jsonschema.Schema{one, {Type: "array", Items: one}}}}
			}
			return nil
		},
	}
	s := r.Reflect(&config.Config{})
	s.ID, s.Title = "", "rolegate configuration"
	b, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return nil, err
	}
	return append([]byte(strings.TrimSpace(string(b))), '\n'), nil
}
