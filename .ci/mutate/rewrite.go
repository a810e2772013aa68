package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"golang.org/x/tools/go/packages"
)

// insertion is text that goes into a file. Nothing is ever taken out and no
// line is added, so that positions stay and all that was used is used still.
type insertion struct {
	offset int
	text   string
	seq    int
	closes bool // the end of something that began before it
}

// fileEdits are the insertions of one file. Those made earlier stand outside.
type fileEdits struct{ insertions []insertion }

func (f *fileEdits) wrap(from, to int, before, after string) {
	n := len(f.insertions)
	f.insertions = append(f.insertions, insertion{from, before, n, false}, insertion{to, after, n + 1, true})
}

// apply returns src with the insertions.
func (f *fileEdits) apply(src []byte) []byte {
	slices.SortStableFunc(f.insertions, func(a, b insertion) int {
		switch {
		case a.offset != b.offset:
			return a.offset - b.offset
		case a.closes != b.closes: // what ends here ends before the next begins
			if a.closes {
				return -1
			}
			return 1
		case a.closes:
			return b.seq - a.seq
		}
		return a.seq - b.seq
	})
	var out bytes.Buffer
	at := 0
	for _, i := range f.insertions {
		out.Write(src[at:i.offset])
		out.WriteString(i.text)
		at = i.offset
	}
	out.Write(src[at:])
	return out.Bytes()
}

// support is the switch, added to each package.
const support = `package %s

import (
	mutateOS__ "os"
	mutateReflect__ "reflect"
	mutateStrconv__ "strconv"
	mutateAtomic__ "sync/atomic"
)

var (
	mutateActive__, _ = mutateStrconv__.Atoi(mutateOS__.Getenv("MUTATE_ACTIVE"))
	mutateLog__       = mutateOS__.Getenv("MUTATE_LOG")
	mutateReached__   [%d]mutateAtomic__.Bool
	mutateDiffers__   [%d]mutateAtomic__.Bool
)

// mutate__ says whether the mutant is on. It notes that it was asked and, once,
// that the mutant would differ here.
func mutate__(id int, differs bool) bool {
	if mutateLog__ != "" {
		if !mutateReached__[id].Swap(true) {
			mutateNote__("reached ", id)
		}
		if differs && !mutateDiffers__[id].Swap(true) {
			mutateNote__("differs ", id)
		}
	}
	return id == mutateActive__
}

func mutateNote__(what string, id int) {
	if f, err := mutateOS__.OpenFile(mutateLog__, mutateOS__.O_APPEND|mutateOS__.O_CREATE|mutateOS__.O_WRONLY, 0o600); err == nil {
		_, _ = f.WriteString(what + mutateStrconv__.Itoa(id) + "\n")
		_ = f.Close()
	}
}

func mutateNever__(id int, v bool) bool { return !mutate__(id, v) && v }

func mutateAlways__(id int, v bool) bool { return mutate__(id, !v) || v }

func mutateNegate__(id int, v bool) bool { return mutate__(id, true) != v }

func mutateBorder__(id int, moved, v bool) bool {
	if mutate__(id, moved != v) {
		return moved
	}
	return v
}

func mutateErr__(id int, err error) error {
	if mutate__(id, err != nil) {
		return nil
	}
	return err
}

// mutateOther__ returns v, and something else where the mutant is on.
func mutateOther__[T any](id int, v T) T {
	if mutate__(id, true) {
		mutateValue__(mutateReflect__.ValueOf(&v).Elem())
	}
	return v
}

func mutateValue__(v mutateReflect__.Value) {
	switch {
	case v.Kind() == mutateReflect__.String:
		v.SetString(v.String() + "\x00mutant")
	case v.CanInt():
		v.SetInt(^v.Int())
	case v.CanUint():
		v.SetUint(^v.Uint())
	case v.Kind() == mutateReflect__.Bool:
		v.SetBool(!v.Bool())
	case v.Kind() == mutateReflect__.Struct && v.NumField() > 0 && v.Field(0).CanSet():
		mutateValue__(v.Field(0))
	}
}
`

// overlay writes the changed files to the scratch folder and the file for go's
// -overlay, whose name it returns.
func overlay(pkgs []*packages.Package, found *findings, scratch string) (string, error) {
	replace := map[string]string{}
	write := func(original string, text []byte) error {
		name := filepath.Join(scratch, fmt.Sprintf("%d.go", len(replace)))
		replace[original] = name
		return os.WriteFile(name, text, 0o600)
	}
	for _, p := range pkgs {
		for _, path := range p.GoFiles {
			edits := found.edits[path]
			if edits == nil {
				continue
			}
			src, err := os.ReadFile(path)
			if err != nil {
				return "", err
			}
			if err := write(path, edits.apply(src)); err != nil {
				return "", err
			}
		}
		if len(p.GoFiles) == 0 {
			continue
		}
		if err := write(filepath.Join(filepath.Dir(p.GoFiles[0]), "zz_mutate__.go"), fmt.Appendf(nil, support, p.Name, len(found.mutants)+1, len(found.mutants)+1)); err != nil {
			return "", err
		}
	}
	raw, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		return "", err
	}
	name := filepath.Join(scratch, "overlay.json")
	return name, os.WriteFile(name, raw, 0o600)
}
