package replies

// SetUnknownTries shortens how long a conversation is looked at again whose
// message is not known.
func (m *Matcher) SetUnknownTries(n int) { m.tries = n }
