package client

// After returns the file as it will be.
func (c Change) After() []byte { return c.after }
