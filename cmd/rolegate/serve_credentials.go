package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/rolegate/rolegate/broker"
	"github.com/rolegate/rolegate/cmd/rolegate/internal/client"
)

func withTimeout(cmd *cobra.Command, d time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeout(cmd.Context(), d)
}

func (p *program) serveCredentials() *cobra.Command {
	listenOn, file := "", ""
	cmd := &cobra.Command{
		Use: "serve-credentials ACCOUNT ROLE", Short: "Give credentials to programs over a loopback address",
		Args: exactly(2, "rolegate serve-credentials ACCOUNT ROLE"), ValidArgsFunction: p.completeAccountAndRole,
		Long: "serve-credentials answers at a loopback address as the credentials endpoint of a container does, until\n" +
			"Ctrl-C. It prints the two variables that AWS clients need. Programs must bring the token of the file.",
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := p.client()
			if err != nil {
				return err
			}
			get := func(ctx context.Context) ([]byte, error) {
				return c.Credentials(ctx, args[0], args[1], 0, p.warn)
			}
			// What cannot work is said now, not to every program that asks.
			if _, err := get(cmd.Context()); err != nil {
				return err
			}
			host, _, err := net.SplitHostPort(listenOn)
			if err != nil || host == "localhost" || !broker.Loopback(host) { // an address: a name may lead elsewhere
				return usageError{fmt.Errorf("--listen must be a loopback address with a port, like 127.0.0.1:0")}
			}
			l, err := listen(cmd.Context(), listenOn)
			if err != nil {
				return err
			}
			token := rand.Text() + rand.Text()
			file, forget, err := p.tokenFile(file, token)
			if err != nil {
				return errors.Join(err, l.Close())
			}
			defer forget()
			address := l.Addr().String()
			if err := p.printVariables("http://"+address+client.ContainerPath, file); err != nil {
				return errors.Join(err, l.Close())
			}
			return serveHTTP(cmd.Context(), client.ContainerServer(c.Container(address, token, get)), l)
		},
	}
	cmd.Flags().StringVar(&listenOn, "listen", "127.0.0.1:0", "loopback address to listen on; port 0 takes a free one")
	cmd.Flags().StringVar(&file, "token-file", "", "where to write the token (default: a temporary file)")
	return cmd
}

// tokenFile writes the token, without an end of line: AWS clients send the file
// as it is. An existing file is left alone: it is an error.
func (p *program) tokenFile(path, token string) (string, func(), error) {
	if path == "" {
		dir, err := os.MkdirTemp("", "rolegate-credentials")
		if err != nil {
			return "", nil, fmt.Errorf("token file: %w", err)
		}
		path = filepath.Join(dir, "token")
		return path, func() { _ = os.RemoveAll(dir) }, os.WriteFile(path, []byte(token), 0o600)
	}
	path, err := filepath.Abs(path)
	if err != nil {
		return "", nil, fmt.Errorf("token file: %w", err)
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return "", nil, usageError{fmt.Errorf("token file: %w", err)}
	}
	_, err = f.WriteString(token)
	return path, func() { _ = os.Remove(path) }, errors.Join(err, f.Close())
}

func (p *program) printVariables(uri, file string) error {
	if p.json {
		return p.printJSON(map[string]string{"AWS_CONTAINER_CREDENTIALS_FULL_URI": uri, "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": file})
	}
	_, err := fmt.Fprintf(p.stdout, "export AWS_CONTAINER_CREDENTIALS_FULL_URI=%s\nexport AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE=%s\n", uri, client.ShellWord(file))
	return err
}

// atLeast wants n arguments or more.
func atLeast(n int, what string) cobra.PositionalArgs {
	return func(_ *cobra.Command, args []string) error {
		if len(args) < n {
			return usageError{fmt.Errorf("wanted: %s", what)}
		}
		return nil
	}
}
