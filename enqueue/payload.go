package enqueue

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"time"

	"github.com/intercom-dispatch/intercom-dispatch/internal/task"
)

// A message is written as JSON once: to hold it against the limit, for its
// digest and for the payload of its task.

// envelope is the payload's beginning, which holds all but the message.
func (r *Request) envelope(now time.Time, message []byte) *task.Envelope {
	e := &task.Envelope{
		Token: rand.Text()[:13], Digest: digest(message), Priority: string(r.Priority),
		QueuedAt: now.UnixMilli(), IfUncertain: string(r.IfUncertain), Metadata: r.Metadata,
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

// digest is task.Digest of a message that is JSON already.
func digest(message []byte) string {
	sum := sha256.Sum256(message)
	return hex.EncodeToString(sum[:16])
}

// noMessage ends an envelope that holds none.
var noMessage = []byte(`null}`)

// encodePayload returns the envelope with the message in it, as json.Marshal
// would.
func encodePayload(e *task.Envelope, message []byte) ([]byte, error) {
	begin, err := json.Marshal(e)
	if err != nil {
		return nil, err
	}
	begin, ok := bytes.CutSuffix(begin, noMessage)
	if !ok {
		return nil, errors.New("the message is not the envelope's last field")
	}
	payload := make([]byte, 0, len(begin)+len(message)+1)
	payload = append(append(payload, begin...), message...)
	return append(payload, '}'), nil
}
