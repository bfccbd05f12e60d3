package replies

// SetUnknownTries shortens how long a conversation is looked at again whose
// message is not known.
func (m *Matcher) SetUnknownTries(n int) { m.tries = n }

// Held returns how many bytes of bodies are held.
func (r *Receiver) Held() int64 { return r.cfg.MaxMemory - r.memory.left.Load() }
