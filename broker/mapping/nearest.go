package mapping

import "fmt"

// maxComparisons bounds the names that one explanation, or one compilation,
// compares for its near misses; with it they cost a few milliseconds, however
// many groups, rules and accounts there are.
const maxComparisons = 20_000

const nearestEdits = 2 // a near miss is at most so many edits away

// nameList is names with their folded form, made once.
type nameList struct {
	shown, folded []string
}

func (l *nameList) add(name string) {
	l.shown, l.folded = append(l.shown, name), append(l.folded, fold(name))
}

// speller finds near misses until its comparisons are spent, and finds those of
// one name once. It serves one call and one goroutine.
type speller struct {
	left  int
	found map[spelling]string
}

type spelling struct {
	of   *nameList
	name string
}

func newSpeller() *speller { return &speller{left: maxComparisons, found: map[spelling]string{}} }

// nearest returns `; did you mean "x"?` for the closest of names within two
// edits. It returns nothing where there is none, and where looking for one
// would compare more than may be compared.
func (s *speller) nearest(name string, names *nameList) string {
	key := spelling{names, fold(name)}
	if text, ok := s.found[key]; ok {
		return text
	}
	if len(names.folded) > s.left {
		return ""
	}
	s.left -= len(names.folded)
	best, at := nearestEdits+1, ""
	for i, c := range names.folded {
		if d := distance(key.name, c, best); d < best && d < len(c) {
			best, at = d, names.shown[i]
		}
	}
	text := ""
	if at != "" {
		text = fmt.Sprintf("; did you mean %q?", at)
	}
	s.found[key] = text
	return text
}

// distance is the edit distance of a and b, or limit if it is not smaller. It
// looks only at what is less than limit off the diagonal: the rest cannot lead
// to a smaller one.
func distance(a, b string, limit int) int {
	if len(a) > 64 || len(b) > 64 || len(a)-len(b) >= limit || len(b)-len(a) >= limit {
		return limit
	}
	var cells [65]int
	row := cells[:len(b)+1]
	for j := range row {
		row[j] = min(j, limit)
	}
	for i := range len(a) {
		from, to := max(0, i-limit), min(len(b), i+limit+1)
		diagonal := row[from]
		if from == 0 {
			row[0] = min(i+1, limit)
		} else {
			row[from] = limit // left of the band
		}
		least := row[from]
		for j := from; j < to; j++ {
			d := diagonal
			if a[i] != b[j] {
				d++
			}
			diagonal = row[j+1]
			row[j+1] = min(d, row[j]+1, row[j+1]+1, limit)
			least = min(least, row[j+1])
		}
		if least >= limit {
			return limit
		}
	}
	return row[len(b)]
}
