package replies

import (
	"time"

	"github.com/intercom-dispatch/intercom-dispatch/ledger"
)

// SetUnknownTries shortens how long a conversation is looked at again whose
// message is not known.
func (m *Matcher) SetUnknownTries(n int) { m.tries = n }

// SetUnknownWait changes how long a conversation is parked at first.
func (m *Matcher) SetUnknownWait(d time.Duration) { m.wait = d }

// Held returns how many bytes of bodies are held.
func (r *Receiver) Held() int64 { return r.cfg.MaxMemory - r.memory.left.Load() }

// SetPollSchedule has the poller look at messages at other times.
func (p *Poller) SetPollSchedule(next func(now time.Time, p *ledger.Poll) time.Time) {
	p.schedule = next
}

// SetPollTimes shortens how long messages are left to themselves whose search has
// failed, or whose poller has died, and how rarely Redis is asked.
func (p *Poller) SetPollTimes(lease, idle time.Duration) { p.lease, p.idle = lease, idle }

// SetPollLimit has the poller know Intercom's rate limit.
func (p *Poller) SetPollLimit(limit int) { p.limit = limit }

// NextPoll is when the poller of a workspace looks at a message again.
func NextPoll(recordTTL time.Duration, now time.Time, p *ledger.Poll) time.Time {
	return schedule{ttl: recordTTL}.next(now, p)
}

// For the tests of the schedule.
const (
	PollShortest, PollLongest    = pollShortest, pollLongest
	PollUnanswered, PollAnswered = pollUnanswered, pollAnswered
	PollBatch                    = pollBatch
)

// ReadUntil is readUntil.
var ReadUntil = readUntil
