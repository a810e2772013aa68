package main

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/rolegate/rolegate/cmd/rolegate/internal/server"
)

// published is a document that AWS reads, and the file that it was written to.
type published struct {
	URL  string `json:"url"`
	File string `json:"file"`
}

func (p *program) exportKeys() *cobra.Command {
	dir := ""
	cmd := &cobra.Command{
		Use: "export --dir DIR", Short: "Write what AWS reads of the OIDC issuer as files", Args: exactly(0, "rolegate keys export --dir DIR"),
		Long: "export writes the discovery document and the public keys of aws.oidc.issuer below DIR, to be served\nas static files from that host while rolegate itself is private. Do it again after each rotation of\naws-oidc, and publish the files before the next one.",
		RunE: func(*cobra.Command, []string) error {
			if dir == "" {
				return usageError{errors.New("wanted: rolegate keys export --dir DIR")}
			}
			c, err := p.load()
			if err != nil {
				return err
			}
			keys, err := openKeys(c, false)
			if err != nil {
				return err
			}
			i, err := server.NewIssuer(c, keys)
			if err != nil {
				return usageError{err}
			}
			files, err := i.StaticFiles()
			if err != nil {
				return usageError{err}
			}
			var out []published
			for _, name := range slices.Sorted(maps.Keys(files)) {
				path := filepath.Join(dir, filepath.FromSlash(name))
				if err := publish(path, files[name]); err != nil {
					return usageError{err}
				}
				out = append(out, published{URL: i.OIDCIssuer() + "/" + name, File: path})
			}
			return p.printPublished(out)
		},
	}
	cmd.Flags().StringVar(&dir, "dir", "", "folder to write below")
	return cmd
}

func (p *program) printPublished(out []published) error {
	if p.json {
		return p.printJSON(out)
	}
	w := tabwriter.NewWriter(p.stdout, 0, 0, 2, ' ', 0)
	for _, x := range out {
		fmt.Fprintf(w, "%s\t%s\n", x.URL, x.File)
	}
	return w.Flush()
}

// publish writes a file that everybody may read, whole or not at all.
func publish(path string, content []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil { //nolint:gosec // a web server reads it
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".rolegate-*")
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	err = errors.Join(err, f.Chmod(0o644), f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return nil
}
