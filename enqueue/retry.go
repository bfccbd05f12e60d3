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

const (
	// activePatience is how long Retry waits for a worker to give a task back.
	// It takes a worker a call of Redis to end a task whose outcome it has
	// recorded.
	activePatience = 3 * time.Second
	firstLookAgain = 10 * time.Millisecond
	maxLookAgain   = 250 * time.Millisecond
)

// retrial is a message that is to be sent once more.
type retrial struct {
	record *ledger.Record
	queue  string
	// payload is kept from before anything was changed: a worker may end the
	// only task that has it.
	payload []byte
}

// Retry sends a message once more now, also if asynq has forgotten its task:
// one that has failed, is held, uncertain, expired or cancelled, that waits for
// its next attempt, or that is scheduled or was archived by a person before its
// first. Its deadlines count anew, and one that had expired, or was in doubt,
// is sent though its time is over.
//
// A message that is uncertain or held, or was before, may be in Intercom
// already: then it arrives twice, and its record says from now on that it is a
// possible duplicate.
//
// It returns ErrNotFound for a key that is not known, a *NotRetryableError for
// a message that was sent or is being sent, ErrNoPayload for one that cannot be
// sent any more, and ErrTaskActive; but for the last of these nothing was
// changed. Retry is safe to repeat after any error: until an attempt has begun,
// retrying twice is the same as once.
func (c *Client) Retry(ctx context.Context, key string) error {
	r, err := c.retrial(ctx, key)
	if err != nil {
		return err
	}
	if r.record.State != ledger.Queued {
		// The record comes first: a worker may have the task at once.
		err = c.ledger.Reopen(ctx, r.record)
		if fenced, ok := errors.AsType[*ledger.FencedError](err); ok {
			return notRetryable(key, fenced.State)
		}
		if err != nil {
			return err
		}
	}
	return c.runTask(ctx, r)
}

// CheckRetry returns the error that [Client.Retry] would return before it
// changes anything, and changes nothing.
func (c *Client) CheckRetry(ctx context.Context, key string) error {
	_, err := c.retrial(ctx, key)
	return err
}

func notRetryable(key string, s ledger.State) error {
	if s == "" {
		return ErrNotFound
	}
	return &NotRetryableError{Key: key, State: s}
}

// retrial finds what is needed to send a message once more.
func (c *Client) retrial(ctx context.Context, key string) (*retrial, error) {
	const looks = 3
	for look := 1; ; look++ {
		record, err := c.Get(ctx, key)
		if err != nil {
			return nil, err
		}
		switch record.State {
		case ledger.Sending, ledger.Sent, ledger.Replied:
			return nil, &NotRetryableError{Key: key, State: record.State}
		case ledger.Queued, ledger.Waiting, ledger.Failed, ledger.Uncertain, ledger.Held, ledger.Expired, ledger.Cancelled:
		}
		r := &retrial{record: record, queue: task.Queue(c.workspace, record.Priority), payload: record.Payload}
		if r.payload != nil {
			return r, nil
		}
		info, err := c.taskIn(r.queue, key)
		if err == nil {
			r.payload = info.Payload
			return r, nil
		}
		if !errors.Is(err, ErrNotFound) {
			return nil, err
		}
		// An attempt may have begun, and ended, since the first look.
		if look == looks {
			return nil, fmt.Errorf("retry %q, which is %s: %w", key, record.State, ErrNoPayload)
		}
	}
}

// runTask makes sure that asynq has a task of the message that is going to run.
// Whatever else happens to the task meanwhile, the ledger keeps the message
// from being sent twice.
func (c *Client) runTask(ctx context.Context, r *retrial) error {
	key := r.record.Key
	end := time.NewTimer(activePatience)
	defer end.Stop()
	for wait := firstLookAgain; ; wait = min(2*wait, maxLookAgain) {
		info, err := c.taskIn(r.queue, key)
		switch {
		case errors.Is(err, ErrNotFound):
			err = c.enqueueAgain(ctx, r)
		case err != nil:
			return err
		case info.State == asynq.TaskStatePending:
			return nil
		case info.State == asynq.TaskStateActive:
			err = c.checkActive(ctx, r)
		default: // Scheduled, in the retry set or archived.
			err = c.inspector.RunTask(r.queue, key)
		}
		if err == nil {
			return nil
		}
		// What was found has changed since, or is about to.
		select {
		case <-time.After(wait):
		case <-end.C:
			return r.givenUp(err)
		case <-ctx.Done():
			return fmt.Errorf("retry %q: %w", key, ctx.Err())
		}
	}
}

// enqueueAgain makes the task anew that asynq has forgotten. The guard against
// duplicates, which knows the record, has no say in it.
func (c *Client) enqueueAgain(ctx context.Context, r *retrial) error {
	if r.record.State == ledger.Queued {
		// A worker has done with it, or somebody has cancelled it.
		return nil
	}
	opts := append(queueOptions(r.queue), asynq.TaskID(r.record.Key))
	_, err := c.asynq.EnqueueContext(ctx, asynq.NewTask(task.TypeMessage, r.payload), opts...)
	return err
}

// checkActive returns nil if nothing more is to be done about a task that a
// worker has. A worker that took it before the message was reopened may be
// about to end or archive it; one that took it later is going to send.
func (c *Client) checkActive(ctx context.Context, r *retrial) error {
	if r.record.State == ledger.Queued {
		return nil
	}
	now, err := c.ledger.Lookup(ctx, r.record.Key)
	if err != nil {
		return err
	}
	if now.State != ledger.Waiting || now.Attempts > r.record.Attempts {
		return nil
	}
	return ErrTaskActive
}

// givenUp is the error after which there is no point in looking again.
func (r *retrial) givenUp(err error) error {
	// A message that was waiting comes back by itself at its time. One that has
	// its payload was reopened and may not.
	if errors.Is(err, ErrTaskActive) && r.record.State == ledger.Waiting && r.record.Payload == nil {
		return nil
	}
	return fmt.Errorf("retry %q: %w", r.record.Key, err)
}
