package worker

import (
	"errors"
	"math/rand/v2"
	"time"

	"github.com/hibiken/asynq"

	"github.com/intercom-dispatch/intercom-dispatch/internal/task"
)

// The handler tells asynq what to do with a task by what it returns: nil
// ends the task, an error that wraps asynq.SkipRetry archives it, and a
// snooze brings it back. None of them counts as a failure in asynq's sense,
// which would use up the task's retries; see isFailure.

// snoozeError brings the task back at a time.
type snoozeError struct {
	until  time.Time
	reason string
}

func (e *snoozeError) Error() string { return e.reason }

// archivedError keeps the task where an operator sees it and can run it again.
// Its text is what they see.
type archivedError struct{ reason string }

func (e *archivedError) Error() string { return e.reason }

// Is makes it asynq's SkipRetry without that error's text.
func (e *archivedError) Is(target error) bool { return target == asynq.SkipRetry }

func archived(reason string) error { return &archivedError{reason} }

// retryDelay is asynq's question when to bring a task back. asynq adds the
// delay to its clock and cuts the sum to whole seconds, which would make
// waits up to a second too short: so the sum is made a whole second.
func retryDelay(now func() time.Time, err error) time.Duration {
	at := now()
	until := at.Add(time.Second + rand.N(4*time.Second)) //nolint:gosec // Spreads load, hides nothing.
	if snooze, ok := errors.AsType[*snoozeError](err); ok {
		until = snooze.until
	}
	whole := task.CeilSecond(until)
	// asynq reads its clock a moment after at: what is added to that must
	// still be within the second.
	return max(whole.Sub(at), 0)
}

// isFailure keeps asynq from counting. A task whose retries are used up would
// be archived, whatever the ledger says about it.
func isFailure(error) bool { return false }
