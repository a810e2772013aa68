package client

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"

	"github.com/rogpeppe/go-internal/diff"

	"github.com/rolegate/rolegate/broker"
	"github.com/rolegate/rolegate/broker/api"
)

// The marks of our block in the AWS config file. Nothing outside of it is
// touched.
const (
	blockBegin = "# BEGIN rolegate (made by rolegate profiles write; what you change in here is lost)"
	blockEnd   = "# END rolegate"
)

// Profiles is what to write.
type Profiles struct {
	Path    string // of the AWS config file
	Region  string
	Prefix  string   // of profile names
	Program []string // for credential_process: the program's path and what it is told before account and role
	SSO     string   // name of the sso-session; "" writes credential_process
	Server  string
}

// Change is an edit of the AWS config file, not yet written.
type Change struct {
	Diff   []string // lines that go ("-…") and come ("+…")
	Names  []string // the profiles
	Backup string   // where the file before is kept; "" when there was none

	path          string
	before, after []byte
	existed       bool
}

var profileUnsafe = regexp.MustCompile(`[^A-Za-z0-9_.-]+`)

// Plan works out the edit. CodeConflict when a profile of the same name stands
// outside of our block, or when the block's marks are damaged. CodeUnavailable
// when a name cannot be one.
func (p Profiles) Plan(all []api.Assignment) (Change, error) {
	c := Change{path: p.Path, Backup: p.Path + ".rolegate-backup", existed: true}
	if err := plain(all); err != nil {
		return c, err
	}
	var err error
	if c.before, err = os.ReadFile(p.Path); errors.Is(err, fs.ErrNotExist) {
		c.existed, c.Backup = false, ""
	} else if err != nil {
		return c, broker.Errorf(broker.CodeConflict, "%s cannot be read.", p.Path).Because(err)
	}
	head, old, tail, err := split(string(c.before), p.Path)
	if err != nil {
		return c, err
	}
	block, names, err := p.block(all)
	if err != nil {
		return c, err
	}
	c.Names = names
	outside := map[string]bool{}
	for _, s := range sections(head + "\n" + tail) {
		outside[s] = true
	}
	var taken []string
	for _, s := range sections(block) {
		if outside[s] {
			taken = append(taken, s)
		}
	}
	if len(taken) > 0 {
		return c, broker.Errorf(broker.CodeConflict, "%s has these sections already: %s.", p.Path, strings.Join(taken, ", ")).
			Fix("Rename them, or choose other names with --prefix.")
	}
	if old == "" && head != "" && !strings.HasSuffix(head, "\n\n") {
		head = strings.TrimRight(head, "\n") + "\n\n"
	}
	c.after = []byte(head + block + tail)
	c.Diff = differences(old, block)
	return c, nil
}

// split finds our block.
func split(text, path string) (head, block, tail string, err error) {
	damaged := broker.Errorf(broker.CodeConflict, "The marks of the rolegate block in %s are damaged.", path).
		Fix("Remove the lines %q and %q and what is between them.", "# BEGIN rolegate…", blockEnd)
	var begins, ends []int
	offset := 0
	for line := range strings.Lines(text) {
		switch trimmed := strings.TrimSpace(line); {
		case strings.HasPrefix(trimmed, "# BEGIN rolegate"):
			begins = append(begins, offset)
		case trimmed == blockEnd:
			ends = append(ends, offset+len(line))
		}
		offset += len(line)
	}
	if len(begins) == 0 && len(ends) == 0 {
		return text, "", "", nil
	}
	if len(begins) != 1 || len(ends) != 1 || ends[0] <= begins[0] {
		return "", "", "", damaged
	}
	return text[:begins[0]], text[begins[0]:ends[0]], text[ends[0]:], nil
}

func sections(text string) []string {
	var out []string
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, "[") {
			if i := strings.IndexByte(line, ']'); i > 0 {
				out = append(out, strings.Join(strings.Fields(line[1:i]), " "))
			}
		}
	}
	return out
}

func (p Profiles) block(all []api.Assignment) (string, []string, error) {
	var b strings.Builder
	var names []string
	known := map[string]bool{}
	b.WriteString(blockBegin + "\n")
	if p.SSO != "" {
		fmt.Fprintf(&b, "[sso-session %s]\nsso_start_url = %s\nsso_region = %s\nsso_registration_scopes = sso:account:access\n\n", p.SSO, p.Server, p.Region)
		fmt.Fprintf(&b, "[services %s]\nsso =\n  endpoint_url = %s/aws/portal\nsso_oidc =\n  endpoint_url = %s/aws/oidc\n", p.SSO, p.Server, p.Server)
	}
	for _, a := range all {
		name := strings.Trim(profileUnsafe.ReplaceAllString(p.Prefix+a.Account.Name+"-"+a.Role, "-"), "-")
		if known[name] { // the same role by several ways, or two accounts of one name
			name += "-" + string(a.Account.ID)
			if known[name] {
				continue
			}
		}
		known[name] = true
		names = append(names, name)
		if len(names) > 1 || p.SSO != "" {
			b.WriteString("\n")
		}
		fmt.Fprintf(&b, "[profile %s]\n", name)
		if p.SSO != "" {
			fmt.Fprintf(&b, "sso_session = %s\nservices = %s\nsso_account_id = %s\nsso_role_name = %s\n", p.SSO, p.SSO, a.Account.ID, a.Role)
		} else {
			line, err := command(append(slices.Clone(p.Program), string(a.Account.ID), a.Role), runtime.GOOS == "windows")
			if err != nil {
				return "", nil, err
			}
			fmt.Fprintf(&b, "credential_process = %s\n", line)
		}
		fmt.Fprintf(&b, "region = %s\n", p.Region)
	}
	b.WriteString(blockEnd + "\n")
	return b.String(), names, nil
}

// plainWord is a word that means itself to every shell.
var plainWord = regexp.MustCompile(`^[A-Za-z0-9_@+=:,./-]+$`)

// ShellWord writes s as one word of a POSIX shell, and of clients that split a
// line as such a shell does.
func ShellWord(s string) string {
	if plainWord.MatchString(s) {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

// command writes words as AWS clients run them: most hand the line to sh -c, or
// to cmd.exe on Windows, and the others split it. CodeConflict for a path that
// cannot be written so.
func command(words []string, windows bool) (string, error) {
	out := make([]string, 0, len(words))
	for _, w := range words {
		cannot := strings.ContainsFunc(w, broker.Breaks) || strings.Contains(w, " #") || strings.Contains(w, " ;") // comments, to some clients
		switch {
		case cannot || windows && strings.ContainsAny(w, `"%`):
			return "", broker.Errorf(broker.CodeConflict, "AWS clients cannot run a program at %q.", w).
				Fix("Move rolegate to a folder with a plainer name.")
		case windows && !plainWindows.MatchString(w):
			out = append(out, `"`+w+`"`)
		case windows:
			out = append(out, w)
		default:
			out = append(out, ShellWord(w))
		}
	}
	return strings.Join(out, " "), nil
}

var plainWindows = regexp.MustCompile(`^[A-Za-z0-9_@+=:,./\\-]+$`)

// Write keeps the file as it was beside it and replaces it whole. Nothing is
// written when nothing changes. CodeConflict when the file changed meanwhile or
// cannot be written.
func (c Change) Write() error {
	if len(c.Diff) == 0 {
		return nil
	}
	mode := fs.FileMode(0o600)
	if info, err := os.Stat(c.path); err == nil {
		mode = info.Mode().Perm()
		if !info.Mode().IsRegular() {
			return broker.Errorf(broker.CodeConflict, "%s is not a file.", c.path)
		}
		if mode&0o200 == 0 {
			return broker.Errorf(broker.CodeConflict, "%s is read-only.", c.path).Fix("Make it writable (chmod u+w), or name another file with AWS_CONFIG_FILE.")
		}
	}
	now, err := os.ReadFile(c.path)
	if err != nil && (c.existed || !errors.Is(err, fs.ErrNotExist)) || string(now) != string(c.before) {
		return broker.Errorf(broker.CodeConflict, "%s changed meanwhile.", c.path).Fix("Run the command again.").Because(err)
	}
	fail := func(err error) error {
		return broker.Errorf(broker.CodeConflict, "%s cannot be written; it is as it was.", c.path).Fix("Make its folder writable.").Because(err)
	}
	if err := os.MkdirAll(filepath.Dir(c.path), 0o700); err != nil {
		return fail(err)
	}
	if c.existed {
		if err := writeFile(c.Backup, c.before, 0o600); err != nil {
			return fail(err)
		}
	}
	if err := writeThrough(c.path, c.after, mode); err != nil {
		return fail(err)
	}
	return nil
}

// differences lists the lines that go and come, in their order, in time and
// space that grow with the lines and not with their square.
func differences(before, after string) []string {
	var out []string
	if before != "" && !strings.HasSuffix(before, "\n") { // a missing end of the last line is no change
		before += "\n"
	}
	unified := string(diff.Diff("before", []byte(before), "after", []byte(after)))
	for n, line := range strings.Split(unified, "\n") {
		if n > 2 && line != "" && (line[0] == '-' || line[0] == '+') { // after three lines of heading
			out = append(out, line)
		}
	}
	return out
}
