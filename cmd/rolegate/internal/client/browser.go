package client

import (
	"context"
	"os/exec"
	"runtime"
	"strings"
)

// Browse opens an address of our own making in the person's browser. An error
// means that they have to open it themselves.
func Browse(ctx context.Context, env func(string) string, address string) error {
	name, args := "xdg-open", []string(nil)
	switch runtime.GOOS {
	case "darwin":
		name = "open"
	case "windows":
		name, args = "rundll32", []string{"url.dll,FileProtocolHandler"}
	}
	if b := strings.Fields(env("BROWSER")); len(b) > 0 {
		name, args = b[0], b[1:]
	}
	// A browser outlives the command that opened it.
	cmd := exec.CommandContext(context.WithoutCancel(ctx), name, append(args, address)...) //nolint:gosec // G204: the person's own browser
	if err := cmd.Start(); err != nil {
		return err
	}
	return cmd.Process.Release()
}
