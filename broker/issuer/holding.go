package issuer

import "slices"

// Holding says which keys a node holds, by id; there is nothing secret in it.
type Holding map[Purpose]HeldKeys

// HeldKeys are the ids of the keys of one purpose.
type HeldKeys struct {
	Active string   `json:"active"`
	Next   string   `json:"next,omitempty"`
	Former []string `json:"former,omitempty"`
}

// Holding returns which keys k holds.
func (k *Keys) Holding() Holding {
	h := Holding{}
	for _, p := range purposes {
		x := HeldKeys{Active: k.index.Active[p]}
		if p.hasNext() {
			x.Next = k.index.Next[p]
		}
		for _, key := range k.Held(p)[len(k.Published(p)):] {
			x.Former = append(x.Former, key.ID)
		}
		h[p] = x
	}
	return h
}

// Lacks returns the names, PURPOSE.KID, of keys of other that h does not hold
// and needs. Nothing is needed of a purpose where h is one [Keys.Rotate] ahead:
// what is gone there was published before and nobody asks this node for it.
// [Data] keys are needed all, because each opens what others have sealed.
func (h Holding) Lacks(other Holding) []string {
	var out []string
	for _, p := range purposes {
		mine, theirs := h[p], other[p]
		if p != Data && mine.Active == theirs.Next && mine.Active != "" {
			continue
		}
		held := append([]string{mine.Active, mine.Next}, mine.Former...)
		wanted := append([]string{theirs.Active, theirs.Next}, theirs.Former...)
		if p == Data {
			wanted = append([]string{theirs.Active}, theirs.Former...)
		}
		for _, id := range wanted {
			if id != "" && !slices.Contains(held, id) {
				out = append(out, string(p)+"."+id)
			}
		}
	}
	return out
}
