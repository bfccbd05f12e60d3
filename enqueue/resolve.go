package enqueue

import (
	"context"
	"errors"
	"strings"

	"github.com/hibiken/asynq"

	"github.com/intercom-dispatch/intercom-dispatch/internal/task"
	"github.com/intercom-dispatch/intercom-dispatch/ledger"
)

// ResolveSent records what a person has found out about a message that is held
// or uncertain, was sent under an id that is not known, or counts as failed,
// expired or cancelled: that it is in Intercom, under this id. It is sent then,
// and replies to it are matched.
//
// It returns ErrNotFound for a key that is not known, a *NotResolvableError for
// a message that is queued, being sent, waiting, or sent under another id, a
// *ledger.TakenError if the id is another message's, and an
// *intercom.ValidationError for an id that is none. It is safe to repeat.
func (c *Client) ResolveSent(ctx context.Context, key, messageID string) error {
	if err := checkMessageID(messageID); err != nil {
		return err
	}
	err := c.resolve(ctx, key, func(r *ledger.Record) error {
		return c.ledger.Resolve(ctx, r, ledger.Found{MessageID: messageID})
	})
	if err == nil {
		// Where it fails, replies that were early are matched some time later.
		_ = c.wakes.Parked(ctx, messageID)
	}
	return err
}

// Drop ends a message that a person has decided not to send: one that is held,
// uncertain, failed, expired or waiting. It is cancelled then. Its record keeps
// it, so that Retry can still send it.
//
// It returns ErrNotFound for a key that is not known and a *NotResolvableError
// for a message that is queued, being sent or sent. It is safe to repeat.
func (c *Client) Drop(ctx context.Context, key string) error {
	return c.resolve(ctx, key, func(r *ledger.Record) error { return c.ledger.Drop(ctx, r) })
}

func (c *Client) resolve(ctx context.Context, key string, decide func(*ledger.Record) error) error {
	r, err := c.Get(ctx, key)
	if err != nil {
		return err
	}
	if r.State == ledger.Queued {
		return &NotResolvableError{Key: key, State: r.State}
	}
	err = decide(r)
	if fenced, ok := errors.AsType[*ledger.FencedError](err); ok {
		if fenced.State == "" {
			return ErrNotFound
		}
		return &NotResolvableError{Key: key, State: fenced.State}
	}
	if err != nil {
		return err
	}
	c.passOn(ctx, r.OrderKey, key, r.PassHeld)
	c.forgetArchived(task.Queue(c.workspace, r.Priority), key)
	return nil
}

// forgetArchived takes the task of a message that needs no attempt out of
// asynq's archive, where it would only be in the way. One that is to run is
// left alone: the worker finds the record and ends it. Failure does no harm.
func (c *Client) forgetArchived(queue, key string) {
	if info, err := c.taskIn(queue, key); err == nil && info.State == asynq.TaskStateArchived {
		_ = c.inspector.DeleteTask(queue, key)
	}
}

// checkMessageID refuses what cannot be an id of Intercom's. A mistyped id that
// can be one is not noticed: the message then counts as sent all the same.
func checkMessageID(id string) error {
	const longest = 100 // Bytes. Intercom's ids are short numbers.
	printable := func(r rune) bool { return r > ' ' && r <= '~' }
	switch {
	case id == "":
		return invalid("message_id", "is required")
	case len(id) > longest:
		return invalidf("message_id", "has %d bytes; the limit is %d", len(id), longest)
	case strings.ContainsFunc(id, func(r rune) bool { return !printable(r) }):
		return invalid("message_id", "may only have printable ASCII characters and no space")
	}
	return nil
}
