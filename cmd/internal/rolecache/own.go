package rolecache

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// ErrNotOwn means that files are where other people could have put them, or
// could read or change them: they are not used.
var ErrNotOwn = errors.New("not the person's own")

// CheckDir returns an error that is [ErrNotOwn] unless dir and what is kept in
// it are the person's own: folders and plain files, no links, that nobody else
// can write to. One that is not there yet is [fs.ErrNotExist].
func CheckDir(dir string) error {
	info, err := os.Stat(dir) // the folder itself may be a link of the person's
	if err != nil {
		return err
	}
	if err := ownDir(dir, info); err != nil {
		return err
	}
	inner := filepath.Join(dir, "credentials")
	info, err = os.Lstat(inner)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return ownDir(inner, info)
}

func ownDir(path string, info fs.FileInfo) error {
	if !info.IsDir() {
		return fmt.Errorf("%s is no folder, and %w", path, ErrNotOwn)
	}
	if othersWrite(info) {
		return fmt.Errorf("the folder %s can be changed by other people, so it is %w", path, ErrNotOwn)
	}
	return nil
}

// checkKey does the same for the key, which nobody else may read either.
func checkKey(path string) error {
	info, err := os.Lstat(path)
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return fmt.Errorf("%s is no plain file, and %w", path, ErrNotOwn)
	}
	if othersRead(info) {
		return fmt.Errorf("the key %s can be read or changed by other people, so it is %w", path, ErrNotOwn)
	}
	return nil
}
