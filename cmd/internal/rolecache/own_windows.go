package rolecache

import "io/fs"

// A person's own folder is theirs alone on Windows.
func othersWrite(fs.FileInfo) bool { return false }
func othersRead(fs.FileInfo) bool  { return false }
