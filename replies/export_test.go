package replies

import "time"

// SetUnknownTries shortens how long a conversation is looked at again whose
// message is not known.
func (m *Matcher) SetUnknownTries(n int) { m.tries = n }

// SetUnknownWait changes how long a conversation is parked at first.
func (m *Matcher) SetUnknownWait(d time.Duration) { m.wait = d }

// Held returns how many bytes of bodies are held.
func (r *Receiver) Held() int64 { return r.cfg.MaxMemory - r.memory.left.Load() }
