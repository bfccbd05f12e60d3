package enqueue

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/hibiken/asynq"

	"github.com/intercom-dispatch/intercom-dispatch/internal/task"
	"github.com/intercom-dispatch/intercom-dispatch/ledger"
)

// Get returns what is known of the message under a key, or ErrNotFound.
func (c *Client) Get(ctx context.Context, key string) (*ledger.Record, error) {
	r, err := c.ledger.Lookup(ctx, key)
	if !errors.Is(err, ErrNotFound) {
		return r, err
	}
	q, err := c.queued(ctx, key)
	if errors.Is(err, ErrNotFound) {
		// Its first attempt may have begun, and ended, since the first look.
		return c.ledger.Lookup(ctx, key)
	}
	if err != nil {
		return nil, err
	}
	return q.record(c.workspace), nil
}

// ByMessageID returns what is known of the message that Intercom gave this id,
// or ErrNotFound.
func (c *Client) ByMessageID(ctx context.Context, messageID string) (*ledger.Record, error) {
	return c.ledger.LookupMessage(ctx, messageID)
}

// Cancel takes back a message that has not been sent. It returns ErrNotFound
// for a key that is not known and a *NotCancellableError for a message that is
// neither queued nor waiting; cancelling twice is no error.
func (c *Client) Cancel(ctx context.Context, key string) error {
	q, err := c.queued(ctx, key)
	if err != nil && !errors.Is(err, ErrNotFound) {
		return err
	}
	t := ledger.Task{Key: key}
	if q != nil {
		t = q.envelope.LedgerTask(key, q.info.Payload)
	} else if r, err := c.ledger.Lookup(ctx, key); err == nil {
		t.OrderKey, t.PassHeld = r.OrderKey, r.PassHeld
	} else {
		return err
	}
	// The record comes first: a worker that holds the task by now finds it.
	err = c.ledger.Cancel(ctx, t)
	if fenced, ok := errors.AsType[*ledger.FencedError](err); ok {
		return &NotCancellableError{Key: key, State: fenced.State}
	}
	if err != nil {
		return err
	}
	c.passOn(ctx, t.OrderKey, key, t.PassHeld)
	if q == nil {
		return nil
	}
	err = c.inspector.DeleteTask(q.info.Queue, key)
	if err != nil && c.stillQueued(q) {
		return fmt.Errorf("cancel %q: it will not be sent, but its task is still queued: %w", key, err)
	}
	return nil
}

// passOn wakes the message whose turn it is now. Where that fails, that one finds
// out by itself, some time later.
func (c *Client) passOn(ctx context.Context, orderKey, key string, passHeld bool) {
	_ = c.wakes.Next(ctx, orderKey, key, passHeld)
}

// stillQueued tells whether asynq has the task for a worker to come. It does
// not delete a task that a worker has: that worker finds the record cancelled
// and drops the task itself.
func (c *Client) stillQueued(q *queuedTask) bool {
	info, err := c.inspector.GetTaskInfo(q.info.Queue, q.info.ID)
	return err == nil && info.State != asynq.TaskStateActive
}

// queuedTask is a message as asynq holds it.
type queuedTask struct {
	info     *asynq.TaskInfo
	envelope *task.Envelope
}

// queued finds the task of a key. Asynq's inspector takes no context, so it
// is looked at between the queues.
func (c *Client) queued(ctx context.Context, key string) (*queuedTask, error) {
	for _, p := range task.Priorities() {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		info, err := c.taskIn(task.Queue(c.workspace, p), key)
		if errors.Is(err, ErrNotFound) {
			continue
		}
		if err != nil {
			return nil, err
		}
		e, err := task.Decode(info.Payload)
		if err != nil {
			return nil, fmt.Errorf("look up the task of %q: %w", key, err)
		}
		return &queuedTask{info: info, envelope: e}, nil
	}
	return nil, ErrNotFound
}

// taskIn returns the task of a key in a queue, or ErrNotFound.
func (c *Client) taskIn(queue, key string) (*asynq.TaskInfo, error) {
	info, err := c.inspector.GetTaskInfo(queue, key)
	if errors.Is(err, asynq.ErrTaskNotFound) || errors.Is(err, asynq.ErrQueueNotFound) {
		return nil, ErrNotFound
	}
	if err != nil {
		return nil, fmt.Errorf("look up the task of %q: %w", key, err)
	}
	return info, nil
}

// record is the record of a message that has none yet.
func (q *queuedTask) record(workspace string) *ledger.Record {
	r := &ledger.Record{
		Key: q.info.ID, Workspace: workspace, State: ledger.Queued,
		ContactIDs: task.ContactIDs(q.envelope.Message),
		QueuedAt:   time.UnixMilli(q.envelope.QueuedAt).UTC(),
		Metadata:   q.envelope.Metadata,
		Priority:   q.envelope.Priority,
		OrderKey:   q.envelope.OrderKey,
		PassHeld:   q.envelope.IfHeld == task.IfHeldPass,
	}
	if q.envelope.At > 0 {
		r.NextAttemptAt = time.UnixMilli(q.envelope.At).UTC()
	}
	return r
}
