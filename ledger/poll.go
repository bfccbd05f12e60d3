package ledger

import (
	"context"
	"encoding/binary"
	"fmt"
	"strconv"
	"time"
)

const (
	// FirstPoll is how long after its id has become known a message is looked
	// at for the first time. Intercom's search usually takes 10 s to show what
	// is new.
	FirstPoll = 15 * time.Second
	// MaxPollDelay is the longest delay and interval that there is. What is
	// longer is cut.
	MaxPollDelay = 10 * time.Minute
)

// WithPolling returns a ledger of the same records that also has those looked at
// for replies which [Ledger.CommitSent] records as sent. Every ledger does so
// for messages whose id becomes known later, by [Ledger.Settle] or
// [Ledger.Resolve], while somebody calls [Ledger.ClaimPolls].
func (l *Ledger) WithPolling() *Ledger {
	polled := *l
	polled.polled = true
	return &polled
}

// Poll is a message whose replies are looked for in Intercom.
type Poll struct {
	MessageID string
	// SentAt is when its id became known, in whole seconds.
	SentAt time.Time
	// AnsweredAt is how far its conversation has been read: the time of the
	// last reply that was seen, in whole seconds by Intercom's clock. Zero if
	// there was none.
	AnsweredAt time.Time

	// taken is what the set had.
	taken string
}

// A Poll is kept as a mark, its times in Unix seconds, in four bytes each, and
// the id: one of nine digits takes no more memory than the id alone.
const (
	markNotAnswered = "a"
	markAnswered    = "b"

	pollTimeBytes = 4
)

func (p *Poll) pack() string {
	b := make([]byte, 0, 1+2*pollTimeBytes+len(p.MessageID))
	if p.AnsweredAt.IsZero() {
		b = append(b, markNotAnswered...)
		b = appendSeconds(b, p.SentAt)
	} else {
		b = append(b, markAnswered...)
		b = appendSeconds(appendSeconds(b, p.SentAt), p.AnsweredAt)
	}
	return string(append(b, p.MessageID...))
}

func appendSeconds(b []byte, t time.Time) []byte {
	return binary.BigEndian.AppendUint32(b, uint32(t.Unix())) //nolint:gosec // It fits until 2106.
}

func unpackPoll(taken string) (p Poll, ok bool) {
	p.taken = taken
	u := unpacker{rest: []byte(taken)}
	mark := string(u.bytes(1))
	p.SentAt = u.seconds()
	if mark == markAnswered {
		p.AnsweredAt = u.seconds()
	}
	p.MessageID = string(u.rest)
	return p, !u.bad && p.MessageID != "" && (mark == markAnswered || mark == markNotAnswered)
}

func (u *unpacker) seconds() time.Time {
	b := u.bytes(pollTimeBytes)
	if u.bad {
		return time.Time{}
	}
	return time.Unix(int64(binary.BigEndian.Uint32(b)), 0).UTC()
}

// PollClaim says which messages to take, and for how long.
type PollClaim struct {
	// Limit is how many are taken at most.
	Limit int
	// Early is by how much they may be early, if any is due. It must be shorter
	// than Lease less the time that the holder takes.
	Early time.Duration
	// Lease is how long nobody else takes them.
	Lease time.Duration
	// Interval is how long after this call the next request may be made, by
	// whomever.
	Interval time.Duration
}

// Claimed is what ClaimPolls has taken.
type Claimed struct {
	Polls []Poll
	// Now is the time of the call by Redis' clock.
	Now time.Time
	// Wait is how long there is nothing to take, if nothing was. It is negative
	// where there is nothing at all.
	Wait time.Duration
	// Total is how many messages are looked at, those taken included, and Late
	// by how much the first of them was overdue.
	Total int
	Late  time.Duration
}

// ClaimPolls takes messages that are due to be looked at, the most overdue
// first. Unless [Ledger.Reschedule] says otherwise they are due again after the
// lease. All who call it for a workspace get a turn at the same intervals,
// together. It is safe to repeat.
func (l *Ledger) ClaimPolls(ctx context.Context, c PollClaim) (*Claimed, error) {
	res, err := claimPollsScript.Run(ctx, l.rdb, []string{PollKey(l.workspace), pollPaceKey(l.workspace)},
		newToken(), c.Lease.Milliseconds(), c.Limit, c.Early.Milliseconds(), paceMillis(c.Interval), l.ttl.Milliseconds()).Slice()
	if err != nil {
		return nil, fmt.Errorf("claim messages to poll: %w", err)
	}
	claimed, err := parseClaimed(res)
	if err != nil {
		return nil, fmt.Errorf("claim messages to poll: %w", err)
	}
	return claimed, nil
}

func parseClaimed(res []any) (*Claimed, error) {
	if len(res) != 5 {
		return nil, fmt.Errorf("script returned %d values", len(res))
	}
	var n [4]int64
	for i := range n {
		s, _ := res[i].(string)
		var err error
		if n[i], err = strconv.ParseInt(s, 10, 64); err != nil {
			return nil, fmt.Errorf("script returned %q", s)
		}
	}
	c := &Claimed{
		Now: fromMillis(n[0]), Wait: time.Duration(n[1]) * time.Millisecond,
		Total: int(n[2]), Late: time.Duration(n[3]) * time.Millisecond,
	}
	taken, _ := res[4].([]any)
	for _, entry := range taken {
		// What a later version has written is left to it.
		s, _ := entry.(string)
		if p, ok := unpackPoll(s); ok {
			c.Polls = append(c.Polls, p)
		}
	}
	return c, nil
}

// PollTurn takes a turn for one more request, and returns how long it has to
// wait. The request after it waits for another interval.
func (l *Ledger) PollTurn(ctx context.Context, interval time.Duration) (time.Duration, error) {
	ms, err := pollTurnScript.Run(ctx, l.rdb, []string{pollPaceKey(l.workspace)}, paceMillis(interval)).Int64()
	if err != nil {
		return 0, fmt.Errorf("take a turn to poll: %w", err)
	}
	return time.Duration(ms) * time.Millisecond, nil
}

// DelayPolls lets nobody take messages, or a turn, for a while.
func (l *Ledger) DelayPolls(ctx context.Context, d time.Duration) error {
	if err := delayPollsScript.Run(ctx, l.rdb, []string{pollPaceKey(l.workspace)}, paceMillis(d)).Err(); err != nil {
		return fmt.Errorf("delay polling: %w", err)
	}
	return nil
}

// paceMillis is at least 1: by its time a call is told from all others.
func paceMillis(d time.Duration) int64 { return max(1, min(d, MaxPollDelay).Milliseconds()) }

// NextPoll says when a message that was taken is looked at next. Its AnsweredAt
// may have changed.
type NextPoll struct {
	Poll

	// At is by Redis' clock. Zero lets the message go.
	At time.Time
}

// Reschedule says when messages that were taken are looked at next. It is safe
// to repeat, and leaves alone what somebody else has looked after meanwhile,
// because the lease was over.
func (l *Ledger) Reschedule(ctx context.Context, next ...NextPoll) error {
	if len(next) == 0 {
		return nil
	}
	args := make([]any, 0, 3*len(next))
	for i := range next {
		n := &next[i]
		entry := ""
		if !n.At.IsZero() {
			entry = n.pack()
		}
		args = append(args, n.taken, entry, millisArg(millis(n.At)))
	}
	if err := reschedulePollsScript.Run(ctx, l.rdb, []string{PollKey(l.workspace)}, args...).Err(); err != nil {
		return fmt.Errorf("reschedule %d messages to poll: %w", len(next), err)
	}
	return nil
}
