package task

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/intercom-dispatch/intercom-dispatch/intercom"
	"github.com/intercom-dispatch/intercom-dispatch/ledger"
)

// The types of asynq tasks.
const (
	TypeMessage      = "intercom:message"
	TypeNotification = "intercom:notification"
)

// The priorities of messages, each a queue of its own.
const (
	High   = "high"
	Normal = "normal"
	Bulk   = "bulk"
)

const (
	// MaxRetry is written into every task. No outcome of a message counts as a
	// failure for asynq, and few of a notification do, so it is never reached;
	// it must only not be 0, with which asynq archives at the first error.
	MaxRetry = 25
	// Timeout is asynq's limit for one run of a task. The worker's own
	// timeouts are far shorter: what it waits for longest is its turn within
	// the rate limit.
	Timeout = 30 * time.Minute
)

// Priorities are the priorities from the most urgent to the least.
func Priorities() []string { return []string{High, Normal, Bulk} }

// Queue returns the name of a workspace's queue for a priority.
func Queue(workspace, priority string) string { return "intercom-" + workspace + "-" + priority }

// NotificationQueue returns the name of a workspace's queue for webhook
// notifications.
func NotificationQueue(workspace string) string { return Queue(workspace, "notifications") }

// CeilSecond rounds up to whole seconds, to which asynq cuts the times of
// delayed tasks: cut, they would run up to a second early.
func CeilSecond(t time.Time) time.Time {
	if c := t.Truncate(time.Second); !c.Equal(t) {
		return c.Add(time.Second)
	}
	return t
}

// Envelope is the payload of a TypeMessage task, whose id is the message's
// key. Times are Unix milliseconds, durations milliseconds.
type Envelope struct {
	// Token identifies this act of enqueueing.
	Token  string `json:"token"`
	Digest string `json:"digest"`
	// Priority is kept here because a task does not know its queue.
	Priority  string `json:"priority"`
	QueuedAt  int64  `json:"queued_at"`
	At        int64  `json:"at,omitempty"`
	ExpiresAt int64  `json:"expires_at,omitempty"`
	// ContactWait is nil for the worker's default.
	ContactWait *int64            `json:"contact_wait,omitempty"`
	IfUncertain string            `json:"if_uncertain,omitempty"`
	Metadata    map[string]string `json:"metadata,omitempty"`
	// OrderKey names the messages that are sent one after the other, and IfHeld
	// says what those behind do while this one is held: IfHeldPass or, if empty,
	// wait.
	OrderKey string            `json:"order_key,omitempty"`
	IfHeld   string            `json:"if_held,omitempty"`
	Message  *intercom.Message `json:"message"`
}

// The values of Envelope.IfHeld.
const (
	IfHeldBlock = "block"
	IfHeldPass  = "pass"
)

// Digest returns the digest by which two messages under one key are compared, of
// a message as [intercom.Message.Encode] writes it.
func Digest(message []byte) string {
	sum := sha256.Sum256(message)
	return hex.EncodeToString(sum[:16])
}

// Decode reads the payload of a TypeMessage task. Its errors quote none of it.
// It goes over the members itself, because json.Unmarshal goes over the message
// three times: to see its end, to see that it is valid, and to read it.
func Decode(payload []byte) (*Envelope, error) {
	members, ok := intercom.Members(payload)
	if !ok {
		return nil, errors.New("decode task: it is not a JSON object")
	}
	var e Envelope
	for name, value := range members {
		if err := e.set(name, value); err != nil {
			return nil, fmt.Errorf("decode task: %s: %w", name, err)
		}
	}
	if e.Message == nil || e.Token == "" {
		return nil, fmt.Errorf("decode task: it holds no message")
	}
	return &e, nil
}

// set stores a member. Those of newer producers are passed over.
func (e *Envelope) set(name string, value json.RawMessage) error {
	if string(value) == "null" {
		return nil
	}
	switch name {
	case "token":
		return setText(&e.Token, value)
	case "digest":
		return setText(&e.Digest, value)
	case "priority":
		return setText(&e.Priority, value)
	case "if_uncertain":
		return setText(&e.IfUncertain, value)
	case "order_key":
		return setText(&e.OrderKey, value)
	case "if_held":
		return setText(&e.IfHeld, value)
	case "queued_at":
		return setNumber(&e.QueuedAt, value)
	case "at":
		return setNumber(&e.At, value)
	case "expires_at":
		return setNumber(&e.ExpiresAt, value)
	case "contact_wait":
		e.ContactWait = new(int64)
		return setNumber(e.ContactWait, value)
	case "metadata":
		if json.Unmarshal(value, &e.Metadata) != nil {
			return errors.New("it is not an object of texts")
		}
	case "message":
		e.Message = new(intercom.Message)
		return e.Message.UnmarshalJSON(value)
	}
	return nil
}

func setText(into *string, value json.RawMessage) error {
	if isPlain(value) {
		*into = string(value[1 : len(value)-1])
		return nil
	}
	if json.Unmarshal(value, into) != nil {
		return errors.New("it is not a text")
	}
	return nil
}

// isPlain tells whether a value is a text of ASCII without escapes, as nearly all
// of these are.
func isPlain(value json.RawMessage) bool {
	for _, c := range value {
		if c == '\\' || c >= utf8.RuneSelf {
			return false
		}
	}
	return value[0] == '"'
}

func setNumber(into *int64, value json.RawMessage) error {
	n, err := strconv.ParseInt(string(value), 10, 64)
	if err != nil {
		return errors.New("it is not a whole number")
	}
	*into = n
	return nil
}

// LedgerTask returns what the ledger takes over from a task.
func (e *Envelope) LedgerTask(key string, payload []byte) ledger.Task {
	return ledger.Task{
		Key: key, Enqueued: e.Token, Digest: e.Digest, Priority: e.Priority,
		QueuedAt: time.UnixMilli(e.QueuedAt), ContactIDs: ContactIDs(e.Message),
		Metadata: e.Metadata, OrderKey: e.OrderKey, PassHeld: e.IfHeld == IfHeldPass, Payload: payload,
	}
}

// ContactIDs returns the contacts that a message goes to; for WhatsApp, which
// knows none, its numbers.
func ContactIDs(m *intercom.Message) []string {
	var ids []string
	for _, to := range []intercom.Recipients{m.To, m.CC, m.BCC} {
		for _, r := range to {
			if r.ID != "" {
				ids = append(ids, r.ID)
			} else {
				ids = append(ids, r.Phone)
			}
		}
	}
	return ids
}
