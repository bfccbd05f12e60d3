package ledger

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"
)

// Verdict is what Begin decided.
type Verdict string

const (
	// Begun says that the attempt is the caller's to make.
	Begun Verdict = "begun"
	// Busy says that another attempt may be under way until Attempt.Until.
	Busy Verdict = "busy"
	// Unsettled says that an earlier attempt may have created the message. Settle it,
	// then begin with Settled, or hold the message.
	Unsettled Verdict = "uncertain"
	// Refused says that the state, Attempt.State, allows no attempt. See
	// [Attempt.Unidentified].
	Refused Verdict = "refused"
	// Follow says that the contact is missing and another message asks whether it
	// is there. The message is Waiting until Attempt.BackAt.
	Follow Verdict = "follow"
	// Superseded says that the key's record belongs to another enqueueing.
	Superseded Verdict = "superseded"
)

// BeginOptions say how to begin an attempt.
type BeginOptions struct {
	// Lease is how long the attempt counts as under way where Worker is empty,
	// and how long an attempt of a worker that is gone may still create the
	// message. It must be longer than the request and its commit can take.
	Lease time.Duration
	// Worker is a field of the hash at [WorkersKey], or empty. While it is
	// there, the attempt counts as under way; when it is gone, it does not.
	Worker string
	// ExpiresAt is when the message must not be sent any more, zero for never.
	ExpiresAt time.Time
	// Settled is the number of an uncertain attempt that was looked into, after
	// which the message may be sent again. 0 for none.
	Settled int
	// Contact is the message's contact if it has one only; empty for a message
	// that asks Intercom whatever is known of its contacts.
	Contact string
	// ContactWait is how long the message waits for its contact, and FollowWait
	// how long after the next probe it comes back if another one makes it.
	ContactWait, FollowWait time.Duration
	// NotInHand is the number of an attempt that its worker, although it is
	// there, does not have in hand: it counts as one of a worker that is gone.
	// 0 for none.
	NotInHand int
}

// Attempt is Begin's answer. The counts and times are as of its beginning,
// by Redis' clock.
type Attempt struct {
	Verdict Verdict
	// State is the record's state after Begin.
	State State
	// Number counts attempts from 1.
	Number int
	Now    time.Time
	// FailingSince is when the first of the attempts was that in a row did not
	// reach Intercom or are uncertain; zero if the last one is neither.
	FailingSince time.Time
	// ContactMissingSince is when Intercom first answered that the contact is
	// not there, zero if it has not; ContactTries counts such answers.
	ContactMissingSince time.Time
	ContactTries        int
	// Failures counts the attempts that the backoff is for: those that did not
	// reach Intercom, were blocked, or are uncertain.
	Failures int
	// Until is the end of the last attempt's lease.
	Until time.Time
	// UnsettledSince is when the first of the attempts began that may have
	// created the message, and UncertainAt when the last of them was known to
	// be one. Both are zero if there is none.
	UnsettledSince time.Time
	UncertainAt    time.Time
	// MessageID is Intercom's id, if it is known.
	MessageID string
	// Worker is the one that has the attempt that the verdict is about.
	Worker string
	// BackAt is when a message with the verdict Follow comes back.
	BackAt time.Time
	// Probe tells that the contact is missing, and that this attempt asks for all
	// messages that wait for it.
	Probe bool
	// Parked tells, after CommitSent, that notifications wait for the message's
	// id: see [Ledger.Unpark].
	Parked bool

	task  Task
	token string
	// contact is BeginOptions.Contact.
	contact string
	// create is the task's createArgs, made once for the attempt.
	create []any
	// first tells that beginFirst has begun it.
	first bool
	// settled is the number of the uncertain attempt that this one repeats, or
	// empty.
	settled string
}

// Begin writes that an attempt to send the message is about to be made, and
// says whether it may be. A message whose time is over becomes Expired here,
// and one whose last attempt ended with its worker Uncertain.
//
// An error means that nothing may be sent. With an error of Redis the attempt
// is returned all the same, for [Ledger.Abandon]: Redis may have begun it.
func (l *Ledger) Begin(ctx context.Context, t Task, o BeginOptions) (*Attempt, error) {
	a := &Attempt{task: t, token: newToken(), create: t.createArgs(), settled: numberArg(o.Settled), contact: o.Contact}
	// An attempt that was settled, or that is not in hand, has a record.
	if o.Settled == 0 && o.NotInHand == 0 {
		if begun, err := l.beginFirst(ctx, a, o); begun || err != nil {
			return a, err
		}
	}
	args := append(slices.Clone(a.create), a.token, millisArg(o.Lease.Milliseconds()), millisArg(millis(o.ExpiresAt)), t.Payload,
		a.settled, o.Worker, numberArg(o.NotInHand))
	args = append(args, o.followArgs(&t)...)
	keys := []string{l.missing(t.Key, o.Contact), waitingKey(l.workspace, o.Contact)}
	res, err := l.run(ctx, beginScript, t.message(), keys, args...).StringSlice()
	if err != nil {
		return a, fmt.Errorf("begin %q: %w", t.Key, err)
	}
	if err := a.read(res); err != nil {
		return nil, fmt.Errorf("begin %q: %w", t.Key, err)
	}
	return a, nil
}

// beginFirst begins the first attempt at a message, or else does nothing.
func (l *Ledger) beginFirst(ctx context.Context, a *Attempt, o BeginOptions) (begun bool, err error) {
	args := append([]any{
		l.ttl.Milliseconds(), a.token, o.Lease.Milliseconds(), millis(o.ExpiresAt), o.Worker,
	}, a.create...)
	keys := []string{RecordKey(l.workspace, a.task.Key), l.missing(a.task.Key, o.Contact)}
	res, err := beginFirstScript.Run(ctx, l.rdb, keys, args...).StringSlice()
	if errors.Is(err, redis.Nil) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("begin %q: %w", a.task.Key, err)
	}
	if len(res) != 2 {
		return false, fmt.Errorf("begin %q: script returned %d values", a.task.Key, len(res))
	}
	now, err := strconv.ParseInt(res[1], 10, 64)
	if err != nil {
		return false, fmt.Errorf("begin %q: %w", a.task.Key, err)
	}
	a.Verdict, a.State, a.Number, a.first = Begun, Sending, 1, true
	a.Now, a.Until = fromMillis(now), fromMillis(now+o.Lease.Milliseconds())
	return true, nil
}

// Unidentified tells whether the message exists in Intercom under an id that is
// not known and may still be found.
func (a *Attempt) Unidentified() bool {
	return a.Verdict == Refused && a.State == Sent && a.MessageID == "" && !a.UnsettledSince.IsZero()
}

// numberArg is empty for none: the scripts compare it with a record's number.
func numberArg(attempt int) string {
	if attempt == 0 {
		return ""
	}
	return strconv.Itoa(attempt)
}

func (a *Attempt) read(res []string) error {
	if len(res) != 15 {
		return fmt.Errorf("script returned %d values", len(res))
	}
	p := fieldParser{h: map[string]string{
		fieldAttempts: res[2], "now": res[3], fieldFailingSince: res[4], fieldContactSince: res[5],
		fieldContactTries: res[6], fieldFailures: res[7], fieldUntil: res[8],
		fieldUnsettled: res[9], fieldUncertainAt: res[10], fieldNextAt: res[13],
	}}
	a.Verdict, a.State = Verdict(res[0]), State(res[1])
	a.Number = int(p.integer(fieldAttempts))
	a.Now = p.time("now")
	a.FailingSince = p.time(fieldFailingSince)
	a.ContactMissingSince = p.time(fieldContactSince)
	a.ContactTries = int(p.integer(fieldContactTries))
	a.Failures = int(p.integer(fieldFailures))
	a.Until = p.time(fieldUntil)
	a.UnsettledSince = p.time(fieldUnsettled)
	a.UncertainAt = p.time(fieldUncertainAt)
	a.MessageID, a.Worker = res[11], res[12]
	a.BackAt, a.Probe = p.time(fieldNextAt), res[14] == "1"
	return p.err
}
