package ledger

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
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
func (l *Ledger) CommitSent(ctx context.Context, a *Attempt, o SentOutcome) error {
	args, err := a.task.createArgs()
	if err != nil {
		return err
	}
	var cause []byte
	if o.Error != nil {
		if cause, err = json.Marshal(o.Error); err != nil {
			return fmt.Errorf("encode error of %q: %w", a.task.Key, err)
		}
	}
	args = append(args, o.MessageID, o.ConversationID, cause)
	keys := []string{indexKey(l.workspace, o.MessageID)}
	if err := l.run(ctx, commitSentScript, a.task.Key, keys, args...).Err(); err != nil {
		return fmt.Errorf("commit %q as sent: %w", a.task.Key, err)
	}
	return nil
}

// Outcome is what an attempt that did not certainly create the message leads
// to.
type Outcome struct {
	// State is Waiting, Failed or Uncertain.
	State State
	Error Error
	// NextAttemptAt is zero where none is planned.
	NextAttemptAt time.Time
	// ContactMissingSince, ContactTries, FailingSince and Failures are the
	// record's new counts; see Attempt.
	ContactMissingSince time.Time
	ContactTries        int
	FailingSince        time.Time
	Failures            int
	// KeepPayload keeps the task's payload in the record.
	KeepPayload bool
}

// Commit records an attempt's outcome other than sent. It returns a
// *FencedError if the record has moved on, and is safe to repeat.
func (l *Ledger) Commit(ctx context.Context, a *Attempt, o Outcome) error {
	cause, err := json.Marshal(o.Error)
	if err != nil {
		return fmt.Errorf("encode error of %q: %w", a.task.Key, err)
	}
	var payload []byte
	if o.KeepPayload {
		payload = a.task.Payload
	}
	res, err := l.run(ctx, commitScript, a.task.Key, nil,
		a.token, string(o.State), cause, millisArg(millis(o.NextAttemptAt)),
		millisArg(millis(o.ContactMissingSince)), strconv.Itoa(o.ContactTries), strconv.Itoa(o.Failures),
		millisArg(millis(o.FailingSince)), payload).Slice()
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
// nothing was sent: the message is Waiting again, where it would otherwise
// count as under way, and then as uncertain. An attempt that was not begun is
// left alone. It is safe to repeat.
func (l *Ledger) Abandon(ctx context.Context, a *Attempt) error {
	if err := l.run(ctx, abandonScript, a.task.Key, nil, a.token).Err(); err != nil {
		return fmt.Errorf("abandon the attempt at %q: %w", a.task.Key, err)
	}
	return nil
}

// Hold keeps an uncertain message from being sent again until a person has
// decided about it. It returns a *FencedError if the message is not Uncertain
// from this attempt any more, and is safe to repeat.
func (l *Ledger) Hold(ctx context.Context, a *Attempt) error {
	return l.enterOnly(a.task.Key, Held,
		l.run(ctx, holdScript, a.task.Key, nil, strconv.Itoa(a.Number), a.task.Payload))
}

// Cancel takes back a message that is queued or waiting. It returns a
// *FencedError with the state of a message that is neither, and is safe to
// repeat.
func (l *Ledger) Cancel(ctx context.Context, t Task) error {
	args, err := t.createArgs()
	if err != nil {
		return err
	}
	return l.enterOnly(t.Key, Cancelled, l.run(ctx, cancelScript, t.Key, nil, args...))
}

// enterOnly reads the result of a script that returns the state that stands.
func (l *Ledger) enterOnly(key string, want State, cmd *redis.Cmd) error {
	s, err := cmd.Text()
	if err != nil {
		return fmt.Errorf("make %q %s: %w", key, want, err)
	}
	if State(s) != want {
		return &FencedError{State: State(s)}
	}
	return nil
}
