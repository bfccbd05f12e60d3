package enqueue

import (
	"crypto/rand"
	"encoding/json"
	"strconv"
	"time"

	"github.com/intercom-dispatch/intercom-dispatch/internal/task"
)

// A message is written as JSON once: to hold it against the limit, for its
// digest and for the payload of its task.

// envelope is the payload's beginning, which holds all but the message.
func (r *Request) envelope(now time.Time, message []byte) *task.Envelope {
	e := &task.Envelope{
		Token: rand.Text()[:13], Digest: task.Digest(message), Priority: string(r.Priority),
		QueuedAt: now.UnixMilli(), IfUncertain: string(r.IfUncertain), Metadata: r.Metadata,
		OrderKey: r.OrderKey, IfHeld: string(r.IfHeld),
	}
	if r.At.After(now) {
		e.At = r.At.UnixMilli()
	}
	if !r.ExpiresAt.IsZero() {
		e.ExpiresAt = r.ExpiresAt.UnixMilli()
	}
	if r.ContactWait != nil {
		e.ContactWait = new(r.ContactWait.Milliseconds())
	}
	return e
}

// encodePayload returns the envelope with the message in it, as json.Marshal
// would.
func encodePayload(e *task.Envelope, message []byte) ([]byte, error) {
	b := make([]byte, 0, len(message)+256)
	// Nothing in these needs an escape.
	b = append(append(b, `{"token":"`...), e.Token...)
	b = append(append(b, `","digest":"`...), e.Digest...)
	b = append(append(b, `","priority":"`...), e.Priority...)
	b = strconv.AppendInt(append(b, `","queued_at":`...), e.QueuedAt, 10)
	if e.At != 0 {
		b = strconv.AppendInt(append(b, `,"at":`...), e.At, 10)
	}
	if e.ExpiresAt != 0 {
		b = strconv.AppendInt(append(b, `,"expires_at":`...), e.ExpiresAt, 10)
	}
	if e.ContactWait != nil {
		b = strconv.AppendInt(append(b, `,"contact_wait":`...), *e.ContactWait, 10)
	}
	if e.IfUncertain != "" {
		b = append(append(append(b, `,"if_uncertain":"`...), e.IfUncertain...), '"')
	}
	if len(e.Metadata) > 0 {
		metadata, err := json.Marshal(e.Metadata)
		if err != nil {
			return nil, err
		}
		b = append(append(b, `,"metadata":`...), metadata...)
	}
	if e.OrderKey != "" {
		key, err := json.Marshal(e.OrderKey)
		if err != nil {
			return nil, err
		}
		b = append(append(b, `,"order_key":`...), key...)
	}
	if e.IfHeld != "" {
		b = append(append(append(b, `,"if_held":"`...), e.IfHeld...), '"')
	}
	b = append(append(b, `,"message":`...), message...)
	return append(b, '}'), nil
}
