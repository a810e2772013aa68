package broker

const maxNearBy = 64 // bytes of a word that is looked for: a slip is short

// Nearest returns the candidate with the smallest edit distance to a word that
// somebody mistyped, "" if none is near or the word is longer than 64 bytes.
func Nearest(word string, candidates []string) string {
	if len(word) > maxNearBy {
		return ""
	}
	best, distance := "", 1+max(1, len(word)/3)
	for _, c := range candidates {
		if d := editDistance(word, c); d < distance {
			best, distance = c, d
		}
	}
	return best
}

// editDistance is Levenshtein's, over bytes: what we name is ASCII.
func editDistance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
