package replies

import (
	"time"

	"github.com/intercom-dispatch/intercom-dispatch/intercom"
	"github.com/intercom-dispatch/intercom-dispatch/ledger"
)

// When a message is looked at. Most contacts answer soon or not at all, so the
// waits grow with the time that nothing has happened for: a reply is found when it
// is at the most a fifth older than the silence before it, within 15 s to 12 h. An
// unanswered message is looked at 104 times in all. A search is for up to 225
// messages, so that is half a request for a message where there are many.
const (
	// pollShortest is about as long as Intercom's search takes to show what is
	// new.
	pollShortest = ledger.FirstPoll
	// pollLongest is half a day: who answers after days does not wait for
	// minutes.
	pollLongest = 12 * time.Hour
	// pollFraction of the silence so far is the wait until the next look.
	pollFraction = 5
	// pollUnanswered is how long after it was sent a message is looked at, and
	// pollAnswered how long after the last reply: what a contact adds then is
	// found too.
	pollUnanswered = 30 * 24 * time.Hour
	pollAnswered   = 7 * 24 * time.Hour
)

// schedule says when a message is looked at again.
type schedule struct {
	// ttl is how long the records of messages are kept. Without a record no
	// reply can be matched.
	ttl time.Duration
}

// next returns when a message that was looked at just now is looked at again, or
// zero if it is not any more. The last look is at the very end.
func (s schedule) next(now time.Time, p *ledger.Poll) time.Time {
	since, end := p.SentAt, p.SentAt.Add(min(pollUnanswered, s.ttl))
	if p.AnsweredAt.After(since) {
		since = p.AnsweredAt
	}
	if answered := p.AnsweredAt.Add(min(pollAnswered, s.ttl)); !p.AnsweredAt.IsZero() && answered.After(end) {
		end = answered
	}
	if !now.Before(end) {
		return time.Time{}
	}
	wait := min(max(now.Sub(since)/pollFraction, pollShortest), pollLongest)
	if at := now.Add(wait); at.Before(end) {
		return at
	}
	return end
}

// clockMargin is by how much Intercom's Date header may be ahead of the clock that
// its conversations have their times from.
const clockMargin = 2 * time.Second

// changedAt tells when a contact last wrote in the conversation. Where Intercom
// does not say, any change counts. It is not known where there is neither.
func changedAt(c *intercom.Conversation) (at time.Time, known bool) {
	if c.Statistics != nil {
		return c.Statistics.LastContactReplyAt.Time(), true
	}
	return c.UpdatedAt.Time(), c.UpdatedAt != 0
}

// readUntil returns how far a conversation has been read: changed is its last
// reply, and asked when it was asked for, by Intercom's clock. Times are in whole
// seconds, and one more reply may come in the same second, or one before: then the
// conversation is read once more.
func readUntil(before, changed, asked time.Time) time.Time {
	until := asked.Add(-clockMargin).Truncate(time.Second)
	if changed.Before(until) {
		until = changed
	}
	if until.Before(before) {
		return before
	}
	return until
}
