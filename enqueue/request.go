package enqueue

import (
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/intercom-dispatch/intercom-dispatch/intercom"
	"github.com/intercom-dispatch/intercom-dispatch/internal/task"
	"github.com/intercom-dispatch/intercom-dispatch/ledger"
)

// Priority decides which messages leave first.
type Priority string

// The priorities. Messages of a higher one do not wait behind a backlog of a
// lower one.
const (
	High   Priority = task.High
	Normal Priority = task.Normal
	Bulk   Priority = task.Bulk
)

// Policy says what happens after an attempt of which nobody can tell whether
// it created the message.
type Policy = ledger.Policy

// The policies.
const (
	// Resend sends again: the message arrives at least once.
	Resend = ledger.Resend
	// Hold keeps the message until a person has decided: it arrives at most
	// once.
	Hold = ledger.Hold
)

// OrderPolicy says what the messages behind one in its order do while it is
// held: that is, until a person has decided about it.
type OrderPolicy string

// The policies of an order.
const (
	// Block has them wait. It is the default.
	Block OrderPolicy = task.IfHeldBlock
	// Pass lets them go.
	Pass OrderPolicy = task.IfHeldPass
)

// The limits of a request.
const (
	// MaxKeyBytes is the longest key, and the longest order key.
	MaxKeyBytes = 255
	// MaxMetadataPairs, MaxMetadataNameBytes and MaxMetadataValueBytes keep
	// metadata small: it is stored for as long as the message's record.
	MaxMetadataPairs      = 50
	MaxMetadataNameBytes  = 64
	MaxMetadataValueBytes = 1024
	// MaxDelay is how far ahead At may lie. Further away it is more likely a
	// mistake.
	MaxDelay = 365 * 24 * time.Hour
)

// Request is a message with everything that belongs to its delivery. Zero
// values mean the defaults.
type Request struct {
	// Key is the idempotency key, unique in the workspace, at most
	// MaxKeyBytes. A UUIDv7 is generated if it is empty.
	Key string
	// Message is what Intercom gets. It is not changed.
	Message *intercom.Message
	// At is when to send it; zero or a past time means at once.
	At time.Time
	// ExpiresAt is when it must not be sent any more; zero means never.
	ExpiresAt time.Time
	// Priority is Normal by default.
	Priority Priority
	// Metadata comes back with the message's status and its replies.
	Metadata map[string]string
	// ContactWait is how long Intercom's answer that the contact does not
	// exist means 'not yet'. Nil means the worker's default, 0 not at all.
	ContactWait *time.Duration
	// IfUncertain is the worker's default if it is empty.
	IfUncertain Policy
	// OrderKey names the messages that are sent one after the other, in the
	// order in which they were enqueued; empty means no order. A contact's id
	// will do. It is at most MaxKeyBytes.
	OrderKey string
	// IfHeld is Block if it is empty. It is only for messages with an OrderKey.
	IfHeld OrderPolicy

	// in counts from when the client takes the request, whose clock decides.
	in time.Duration
}

// Option sets a field of a Request.
type Option func(*Request)

// Key sets the idempotency key.
func Key(key string) Option { return func(r *Request) { r.Key = key } }

// At sets when to send the message.
func At(t time.Time) Option { return func(r *Request) { r.At = t } }

// In sets how long from now to send the message.
func In(d time.Duration) Option { return func(r *Request) { r.in = d } }

// ExpiresAt sets when the message must not be sent any more.
func ExpiresAt(t time.Time) Option { return func(r *Request) { r.ExpiresAt = t } }

// WithPriority sets the priority.
func WithPriority(p Priority) Option { return func(r *Request) { r.Priority = p } }

// Metadata sets what comes back with the message's status and its replies.
func Metadata(m map[string]string) Option { return func(r *Request) { r.Metadata = m } }

// ContactWait sets how long to wait for a contact that Intercom does not know
// yet.
func ContactWait(d time.Duration) Option { return func(r *Request) { r.ContactWait = &d } }

// IfUncertain sets what happens when nobody can tell whether an attempt
// created the message.
func IfUncertain(p Policy) Option { return func(r *Request) { r.IfUncertain = p } }

// OrderKey has the message sent after those that were enqueued under the same
// order key before.
func OrderKey(key string) Option { return func(r *Request) { r.OrderKey = key } }

// IfHeld sets what the messages behind it in its order do while it is held.
func IfHeld(p OrderPolicy) Option { return func(r *Request) { r.IfHeld = p } }

// encode returns the message as JSON, or an *intercom.ValidationError for what
// must not be enqueued.
func (r *Request) encode(now time.Time) ([]byte, error) {
	checks := []func(time.Time) *intercom.ValidationError{
		r.checkKeys, r.checkTimes, r.checkChoices, r.checkMetadata,
	}
	for _, check := range checks {
		if err := check(now); err != nil {
			return nil, err
		}
	}
	if r.Message == nil {
		return nil, invalid("message", "is required")
	}
	message, err := r.Message.Encode()
	if err != nil {
		return nil, withinMessage(err)
	}
	return message, nil
}

func (r *Request) checkKeys(time.Time) *intercom.ValidationError {
	if err := checkKey("key", r.Key); err != nil {
		return err
	}
	return checkKey("order_key", r.OrderKey)
}

func checkKey(field, key string) *intercom.ValidationError {
	switch {
	case key == "":
		return nil
	case len(key) > MaxKeyBytes:
		return invalidf(field, "has %d bytes; the limit is %d", len(key), MaxKeyBytes)
	case !utf8.ValidString(key):
		return invalid(field, "is not valid UTF-8")
	case strings.TrimSpace(key) != key:
		return invalid(field, "begins or ends with white space")
	case strings.ContainsFunc(key, unicode.IsControl):
		return invalid(field, "has control characters")
	}
	return nil
}

func (r *Request) checkTimes(now time.Time) *intercom.ValidationError {
	switch {
	case r.At.After(now.Add(MaxDelay)):
		return invalidf("at", "is more than %d days ahead", MaxDelay/(24*time.Hour))
	case !r.ExpiresAt.IsZero() && !r.ExpiresAt.After(now):
		return invalid("expires_at", "is in the past")
	case !r.ExpiresAt.IsZero() && !r.ExpiresAt.After(r.At):
		return invalid("expires_at", "is not after at: the message would never be sent")
	case r.ContactWait != nil && *r.ContactWait < 0:
		return invalid("contact_wait", "is negative")
	}
	return nil
}

func (r *Request) checkChoices(time.Time) *intercom.ValidationError {
	switch r.Priority {
	case "", High, Normal, Bulk:
	default:
		return invalidf("priority", "%.40q is unknown; use high, normal or bulk", r.Priority)
	}
	switch r.IfUncertain {
	case "", Resend, Hold:
	default:
		return invalidf("if_uncertain", "%.40q is unknown; use resend or hold", r.IfUncertain)
	}
	switch r.IfHeld {
	case "":
		return nil
	case Block, Pass:
	default:
		return invalidf("if_held", "%.40q is unknown; use block or pass", r.IfHeld)
	}
	if r.OrderKey == "" {
		return invalid("if_held", "is only for messages with an order_key: add one, or leave if_held out")
	}
	return nil
}

func (r *Request) checkMetadata(time.Time) *intercom.ValidationError {
	if len(r.Metadata) > MaxMetadataPairs {
		return invalidf("metadata", "has %d entries; the limit is %d", len(r.Metadata), MaxMetadataPairs)
	}
	for name, value := range r.Metadata {
		switch {
		case name == "":
			return invalid("metadata", "has an entry without a name")
		case len(name) > MaxMetadataNameBytes:
			return invalidf("metadata", "has a name of %d bytes; the limit is %d", len(name), MaxMetadataNameBytes)
		case len(value) > MaxMetadataValueBytes:
			return invalidf("metadata."+name, "has %d bytes; the limit is %d", len(value), MaxMetadataValueBytes)
		case !utf8.ValidString(name) || !utf8.ValidString(value):
			return invalid("metadata", "is not valid UTF-8")
		}
	}
	return nil
}
