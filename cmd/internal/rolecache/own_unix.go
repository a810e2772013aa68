//go:build unix

package rolecache

import (
	"io/fs"
	"os"
	"syscall"
)

// othersWrite reports whether somebody else may write. Root is told nothing by
// the owner: it works in the folders of others, in containers for one.
func othersWrite(info fs.FileInfo) bool {
	return info.Mode().Perm()&0o022 != 0 || foreign(info)
}

func othersRead(info fs.FileInfo) bool {
	return info.Mode().Perm()&0o077 != 0 || foreign(info)
}

func foreign(info fs.FileInfo) bool {
	s, ok := info.Sys().(*syscall.Stat_t)
	me := os.Geteuid()
	return ok && me != 0 && s.Uid != 0 && int(s.Uid) != me
}
