package ledger

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"
)

// TakenError says that a message id belongs to another message.
type TakenError struct {
	MessageID string
	// Key is the other message's.
	Key string
}

func (e *TakenError) Error() string {
	return fmt.Sprintf("message id %s belongs to the message %q", e.MessageID, e.Key)
}

// Found is a message as it was found in Intercom.
type Found struct {
	MessageID string
	// ConversationID may be empty.
	ConversationID string
}

// Settle records that one of the attempts that are not settled has created the
// message: it was found in Intercom by what it says. It returns a *TakenError
// if the id belongs to another message, ErrNotFound for a record that is gone,
// and a *FencedError if all attempts at the message are settled. It is safe to
// repeat.
func (l *Ledger) Settle(ctx context.Context, r *Record, f Found) error {
	return l.settle(ctx, r.message(), f, "1")
}

// SettleAttempt is [Ledger.Settle] for the message of an attempt.
func (l *Ledger) SettleAttempt(ctx context.Context, a *Attempt, f Found) error {
	return l.settle(ctx, a.task.message(), f, "1")
}

// Resolve records what a person has found out: that the message exists. It
// returns the errors of [Ledger.Settle], and a *FencedError for a message that
// is being sent, waits to be, or has an id.
func (l *Ledger) Resolve(ctx context.Context, r *Record, f Found) error {
	return l.settle(ctx, r.message(), f, "")
}

func (l *Ledger) settle(ctx context.Context, m message, f Found, unsettledOnly string) error {
	const unused = ""
	coarse, fine := indexKeys(l.workspace, f.MessageID)
	keys := []string{
		coarse, fine, PollKey(l.workspace), pollPaceKey(l.workspace), formerIndexKey(l.workspace, f.MessageID),
	}
	res, err := l.run(ctx, settleScript, m, keys,
		unsettledOnly, unused, unused, f.MessageID, f.ConversationID, packKey(m.key)).StringSlice()
	if err != nil {
		return fmt.Errorf("settle %q: %w", m.key, err)
	}
	if len(res) != 2 {
		return fmt.Errorf("settle %q: script returned %d values", m.key, len(res))
	}
	switch res[0] {
	case "settled":
		return nil
	case "gone":
		return ErrNotFound
	case "taken":
		return &TakenError{MessageID: f.MessageID, Key: unpackKey(res[1])}
	}
	return &FencedError{State: State(res[1])}
}

// LookAgain notes when an Uncertain message is looked for again. It returns a
// *FencedError if the message has moved on, and is safe to repeat.
func (l *Ledger) LookAgain(ctx context.Context, a *Attempt, at time.Time) error {
	return l.enterOnly(a.task.Key, Uncertain,
		l.run(ctx, lookAgainScript, a.task.message(), nil, strconv.Itoa(a.Number), millisArg(millis(at))))
}

// Unsettled returns the messages to a contact of which it is not known whether
// an attempt has created them, or under which id. Cc and bcc do not count, and
// of several recipients the first does.
func (l *Ledger) Unsettled(ctx context.Context, contactID string) ([]*Record, error) {
	set := unsettledKey(l.workspace, contactID)
	keys, err := l.rdb.SMembers(ctx, set).Result()
	if err != nil {
		return nil, fmt.Errorf("look up unsettled messages to %s: %w", contactID, err)
	}
	var records []*Record
	for _, key := range keys {
		r, err := l.Lookup(ctx, key)
		if errors.Is(err, ErrNotFound) {
			continue
		}
		if err != nil {
			return nil, err
		}
		if !r.UnsettledSince.IsZero() {
			records = append(records, r)
		}
	}
	return records, nil
}
