//go:build unix

package client

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

const lockSuffix = ".lock"

// lock waits until this process is the only one with the lock of path and
// returns how to give it back. The lock ends with the process.
func lock(path string) (func(), error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, fmt.Errorf("client: %w", err)
	}
	f, err := os.OpenFile(path+lockSuffix, os.O_CREATE|os.O_RDWR|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, fmt.Errorf("client: %w", err)
	}
	for {
		err = unix.Flock(int(f.Fd()), unix.LOCK_EX)
		if err != unix.EINTR { //nolint:errorlint // a plain errno
			break
		}
	}
	if err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("client: lock %s: %w", path, err)
	}
	return func() { _ = f.Close() }, nil
}

func chmod(f *os.File, mode fs.FileMode) error { return f.Chmod(mode) }
