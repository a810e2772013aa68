package static

import (
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"net/http"
	"path"
	"strconv"
	"strings"
)

// Prefix is the path that all assets are served under.
const Prefix = "/static/"

//go:embed *.css *.js *.svg
var files embed.FS

var contentTypes = map[string]string{
	".css": "text/css; charset=utf-8",
	".js":  "text/javascript; charset=utf-8",
	".svg": "image/svg+xml",
}

type asset struct {
	body        []byte
	contentType string
}

// Assets are the embedded files under their hashed names. It is an
// [http.Handler] for everything below [Prefix].
type Assets struct {
	paths  map[string]string // plain name to URL path
	byPath map[string]asset
}

// New hashes the embedded files.
func New() (*Assets, error) {
	entries, err := files.ReadDir(".")
	if err != nil {
		return nil, fmt.Errorf("static: %w", err)
	}
	a := &Assets{paths: map[string]string{}, byPath: map[string]asset{}}
	for _, e := range entries {
		body, err := files.ReadFile(e.Name())
		if err != nil {
			return nil, fmt.Errorf("static: %w", err)
		}
		ext := path.Ext(e.Name())
		sum := sha256.Sum256(body)
		p := Prefix + strings.TrimSuffix(e.Name(), ext) + "." + hex.EncodeToString(sum[:8]) + ext
		a.paths[e.Name()] = p
		a.byPath[p] = asset{body, contentTypes[ext]}
	}
	return a, nil
}

// Path returns the URL path of a file, or an error if there is no such file.
func (a *Assets) Path(name string) (string, error) {
	p, ok := a.paths[name]
	if !ok {
		return "", fmt.Errorf("static: no file %q", name)
	}
	return p, nil
}

// Has reports whether there is an asset at the URL path.
func (a *Assets) Has(urlPath string) bool {
	_, ok := a.byPath[urlPath]
	return ok
}

// ServeHTTP writes the asset at the request's path, to be kept for a year.
func (a *Assets) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f, ok := a.byPath[r.URL.Path]
	if !ok {
		http.NotFound(w, r)
		return
	}
	h := w.Header()
	h.Set("Content-Type", f.contentType)
	h.Set("Content-Length", strconv.Itoa(len(f.body)))
	h.Set("Cache-Control", "public, max-age=31536000, immutable")
	if r.Method != http.MethodHead {
		_, _ = w.Write(f.body)
	}
}
