package ledger

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

// SentOutcome is the outcome of an attempt that created the message.
type SentOutcome struct {
	// MessageID is Intercom's id, empty if its answer could not be read.
	MessageID string
	// ConversationID is empty unless the answer named a conversation.
	ConversationID string
	// Error says why MessageID is empty.
	Error *Error
}

// CommitSent records that the attempt created the message, with the index
// entry by which replies find it. It is never fenced, and safe to repeat.
//
// It returns a *TakenError, after it has recorded everything, if the id was
// taken for another message's by [Ledger.Settle]. A repeat may not say so.
func (l *Ledger) CommitSent(ctx context.Context, a *Attempt, o SentOutcome) error {
	other, err := l.commitSent(ctx, a, o)
	if err != nil {
		return fmt.Errorf("commit %q as sent: %w", a.task.Key, err)
	}
	other, a.Parked = strings.CutPrefix(other, parkedMark)
	if other != "" {
		return &TakenError{MessageID: o.MessageID, Key: unpackKey(other)}
	}
	return nil
}

func (l *Ledger) commitSent(ctx context.Context, a *Attempt, o SentOutcome) (other string, err error) {
	coarse, fine := indexKeys(l.workspace, o.MessageID)
	parked := parkedKey(l.workspace, o.MessageID)
	// The script for the usual knows nothing of what is in doubt.
	if o.MessageID != "" && a.UnsettledSince.IsZero() {
		var begun any = ""
		if a.first {
			begun = millis(a.Now)
		}
		packed := a.create[len(a.create)-1]
		keys := []string{RecordKey(l.workspace, a.task.Key), coarse, fine, parked}
		if l.polled {
			keys = append(keys, PollKey(l.workspace))
		}
		other, err := commitIdentifiedScript.Run(ctx, l.rdb, keys,
			l.ttl.Milliseconds(), a.token, packKey(a.task.Key), o.MessageID, o.ConversationID, millis(a.task.QueuedAt), begun, packed).Text()
		if !errors.Is(err, redis.Nil) {
			return other, err
		}
	}
	var cause []byte
	if o.Error != nil {
		if cause, err = json.Marshal(o.Error); err != nil {
			return "", fmt.Errorf("encode its error: %w", err)
		}
	}
	args := append(slices.Clone(a.create), o.MessageID, o.ConversationID, packKey(a.task.Key), cause, a.task.Payload)
	keys := []string{coarse, fine, PollKey(l.workspace), pollPaceKey(l.workspace), parked}
	return l.run(ctx, commitSentScript, a.task.message(), keys, args...).Text()
}

// Outcome is what an attempt that did not certainly create the message leads
// to.
type Outcome struct {
	// State is Waiting, Failed or Uncertain.
	State State
	Error Error
	// NextAttemptAt is zero where none is planned.
	NextAttemptAt time.Time
	// ContactMissing tells that the attempt was answered that a contact is not
	// there.
	ContactMissing bool
	// ContactMissingSince, ContactTries, FailingSince and Failures are the
	// record's new counts; see Attempt.
	ContactMissingSince time.Time
	ContactTries        int
	FailingSince        time.Time
	Failures            int
}

// Commit records an attempt's outcome other than sent. It returns a
// *FencedError if the record has moved on, and is safe to repeat.
func (l *Ledger) Commit(ctx context.Context, a *Attempt, o Outcome) error {
	cause, err := json.Marshal(o.Error)
	if err != nil {
		return fmt.Errorf("encode error of %q: %w", a.task.Key, err)
	}
	keys := []string{l.missing(a.task.Key, a.contact)}
	for _, id := range a.task.ContactIDs {
		keys = append(keys, waitingKey(l.workspace, id))
	}
	res, err := l.run(ctx, commitScript, a.task.message(), keys,
		a.token, string(o.State), cause, millisArg(millis(o.NextAttemptAt)),
		millisArg(millis(o.ContactMissingSince)), strconv.Itoa(o.ContactTries), strconv.Itoa(o.Failures),
		millisArg(millis(o.FailingSince)), a.task.Payload, a.contactNews(o), a.task.waiting()).Slice()
	if err != nil {
		return fmt.Errorf("commit %q as %s: %w", a.task.Key, o.State, err)
	}
	if len(res) != 2 {
		return fmt.Errorf("commit %q as %s: script returned %d values", a.task.Key, o.State, len(res))
	}
	if res[0] != int64(1) {
		s, _ := res[1].(string)
		return &FencedError{State: State(s)}
	}
	return nil
}

// Abandon takes back an attempt whose Begin got no answer, and for which
// nothing was sent: the message is Waiting again, or Uncertain if it was begun
// with Settled, where it would otherwise count as under way. An attempt that was
// not begun is left alone. It is safe to repeat.
func (l *Ledger) Abandon(ctx context.Context, a *Attempt) error {
	if err := l.run(ctx, abandonScript, a.task.message(), nil, a.token, a.settled).Err(); err != nil {
		return fmt.Errorf("abandon the attempt at %q: %w", a.task.Key, err)
	}
	return nil
}

// Hold keeps an uncertain message from being sent again until a person has
// decided about it. It returns a *FencedError if the message is not Uncertain
// from this attempt any more, and is safe to repeat.
func (l *Ledger) Hold(ctx context.Context, a *Attempt) error {
	return l.enterOnly(a.task.Key, Held,
		l.run(ctx, holdScript, a.task.message(), nil, strconv.Itoa(a.Number), a.task.Payload))
}
