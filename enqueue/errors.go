package enqueue

import (
	"errors"
	"fmt"

	"github.com/intercom-dispatch/intercom-dispatch/intercom"
	"github.com/intercom-dispatch/intercom-dispatch/ledger"
)

// ErrNotFound is returned for a key or message id that is not known, or no
// longer.
var ErrNotFound = ledger.ErrNotFound

// ConflictError refuses a message under a key that another message has.
type ConflictError struct {
	Key string
	// State is where the other message stands.
	State ledger.State
}

func (e *ConflictError) Error() string {
	return fmt.Sprintf("key %q belongs to another message, which is %s; use a key of its own for each message", e.Key, e.State)
}

// NotCancellableError refuses to cancel a message that is neither queued nor
// waiting.
type NotCancellableError struct {
	Key   string
	State ledger.State
}

func (e *NotCancellableError) Error() string {
	return fmt.Sprintf("message %q is %s and cannot be cancelled any more", e.Key, e.State)
}

// ErrNoPayload is returned for a message that cannot be sent once more because
// neither its record nor asynq has it any more, such as one that was cancelled
// before its first attempt.
var ErrNoPayload = errors.New("what the message says is not kept any more; enqueue it under another key")

// ErrTaskActive is returned for a message that is open to be sent again, but
// whose task a worker has not given back. Most likely that worker is about to
// send it; if it was about to end the task instead, the message stays waiting
// until it is retried again, which is safe.
var ErrTaskActive = errors.New("a worker still has its task; if the message stays waiting, retry it again")

// NotRetryableError refuses to send a message once more that was sent or is
// being sent.
type NotRetryableError struct {
	Key   string
	State ledger.State
}

func (e *NotRetryableError) Error() string {
	return fmt.Sprintf("message %q is %s and cannot be retried", e.Key, e.State)
}

// NotResolvableError refuses a decision about a message in whose state there is
// nothing to decide.
type NotResolvableError struct {
	Key   string
	State ledger.State
}

func (e *NotResolvableError) Error() string {
	return fmt.Sprintf("message %q is %s: there is nothing to decide about it", e.Key, e.State)
}

// BatchError tells that some requests of a batch were not enqueued. Each has
// its own error in the results.
type BatchError struct {
	// Failed and Total are numbers of requests.
	Failed, Total int
	// First is the error of the first that failed.
	First error
}

func (e *BatchError) Error() string {
	return fmt.Sprintf("%d of %d messages were not enqueued; the first: %v", e.Failed, e.Total, e.First)
}

func (e *BatchError) Unwrap() error { return e.First }

func invalid(field, reason string) *intercom.ValidationError {
	return &intercom.ValidationError{Field: field, Reason: reason}
}

func invalidf(field, format string, args ...any) *intercom.ValidationError {
	return invalid(field, fmt.Sprintf(format, args...))
}

// withinMessage gives a field of the message its path in the request.
func withinMessage(err error) error {
	if v, ok := errors.AsType[*intercom.ValidationError](err); ok {
		if v.Field == "message" { // What is wrong with it as a whole.
			return v
		}
		return &intercom.ValidationError{Field: "message." + v.Field, Reason: v.Reason}
	}
	return fmt.Errorf("message: %w", err)
}
