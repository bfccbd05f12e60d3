package worker

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/hibiken/asynq"
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

// archived keeps the task where an operator sees it and can run it again.
func archived(reason string) error {
	return fmt.Errorf("%s: %w", reason, asynq.SkipRetry)
}

// retryDelay is asynq's question when to bring a task back. asynq adds the
// delay to its clock and cuts the sum to whole seconds, which would make
// waits up to a second too short: so the sum is made a whole second.
func retryDelay(now func() time.Time, err error) time.Duration {
	at := now()
	var snooze *snoozeError
	until := at.Add(time.Second + rand.N(4*time.Second))
	if errors.As(err, &snooze) {
		until = snooze.until
	}
	whole := until.Truncate(time.Second)
	if whole.Before(until) {
		whole = whole.Add(time.Second)
	}
	// asynq reads its clock a moment after at: what is added to that must
	// still be within the second.
	return max(whole.Sub(at), 0)
}

// isFailure keeps asynq from counting. A task whose retries are used up would
// be archived, whatever the ledger says about it.
func isFailure(error) bool { return false }
