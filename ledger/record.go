package ledger

import (
	"encoding/json"
	"fmt"
	"strconv"
	"time"
)

// Error says why a message's last attempt did not send it.
type Error struct {
	// Code is Intercom's error code or one of this project's, such as
	// "gave_up" or "no_answer".
	Code string `json:"code"`
	// Message is for people. It never holds the message's text.
	Message string `json:"message,omitempty"`
	// Status is the HTTP status, 0 if there was no answer.
	Status int `json:"status,omitempty"`
	// RequestID is Intercom's id of the request.
	RequestID string `json:"request_id,omitempty"`
}

// Record is what is known of a message. Its JSON is what `message get --json`
// prints.
type Record struct {
	Key       string `json:"key"`
	Workspace string `json:"workspace"`
	State     State  `json:"state"`
	// Attempts is how many times a request for the message was begun.
	Attempts int `json:"attempts"`
	// MessageID is Intercom's id, empty unless Sent or Replied, and also then
	// if Intercom's answer could not be read.
	MessageID      string            `json:"message_id,omitempty"`
	ConversationID string            `json:"conversation_id,omitempty"`
	ContactIDs     []string          `json:"contact_ids,omitempty"`
	QueuedAt       time.Time         `json:"queued_at,omitzero"`
	NextAttemptAt  time.Time         `json:"next_attempt_at,omitzero"`
	SentAt         time.Time         `json:"sent_at,omitzero"`
	RepliedAt      time.Time         `json:"replied_at,omitzero"`
	LastError      *Error            `json:"last_error,omitempty"`
	Metadata       map[string]string `json:"metadata,omitempty"`
	// PossibleDuplicate tells that the message was sent again after an attempt
	// that may have created it.
	PossibleDuplicate bool `json:"possible_duplicate,omitempty"`
	// OrderKey names the messages that are sent one after the other.
	OrderKey string `json:"order_key,omitempty"`

	// UnsettledSince is when the first of the attempts began that may have
	// created the message and of which that is still not known, zero if there
	// is none.
	UnsettledSince time.Time `json:"-"`
	// Priority names the queue that the message came through.
	Priority string `json:"-"`
	// PassHeld lets those behind in the order go while the message is held.
	PassHeld bool `json:"-"`
	// Payload is the task as it was queued. Messages that are not sent keep it,
	// for a later retry, from the end of their first attempt on; a sent one has
	// it only while a copy of it is still looked for. Lists leave it out.
	Payload []byte `json:"-"`
}

// The names of a record's fields in Redis: short, as there may be millions.
const (
	fieldState        = "s"  // State
	fieldAttempts     = "a"  // number of attempts begun; not there for one if it is sent and packed
	fieldToken        = "t"  // token of the last attempt
	fieldUntil        = "u"  // ms: until then the last attempt may be under way
	fieldWorker       = "w"  // worker that has the last attempt
	fieldBegan        = "b"  // ms: begin of the last attempt
	fieldUnsettled    = "us" // ms: begin of the first attempt that is not settled
	fieldFirstDoubt   = "un" // number of that attempt
	fieldUncertainAt  = "ua" // ms: when the last attempt became uncertain
	fieldNoExpiry     = "nx" // "1": a person had it sent though its time may be over
	fieldEnqueued     = "e"  // token of the enqueueing that owns the record
	fieldDigest       = "d"  // digest of the message
	fieldPacked       = "z"  // priority, queued at, contacts, metadata, order key, maybe sent at: see pack.go
	fieldFailingSince = "fs" // ms: first of the failures that no other answer has come after
	fieldNextAt       = "na" // ms: next attempt
	fieldContactSince = "cs" // ms: first answer that the contact is not there
	fieldContactTries = "ct" // how many such answers
	fieldFailures     = "f"  // attempts that the backoff is for
	fieldMessageID    = "id"
	fieldConversation = "cv"
	fieldSentAt       = "sa" // ms, if it is not in fieldPacked
	fieldRepliedAt    = "ra" // ms
	fieldError        = "er" // JSON of Error
	fieldDuplicate    = "pd" // "1": PossibleDuplicate
	fieldPayload      = "p"  // the task's payload

	// Records of the versions before fieldPacked have these instead.
	fieldPriority = "q"  // priority
	fieldQueuedAt = "qa" // ms
	fieldContacts = "c"  // JSON array of contact ids
	fieldMetadata = "md" // JSON object
)

// shortFields are those that parseRecord reads, without the payload.
func shortFields() []string {
	return []string{
		fieldState, fieldAttempts, fieldPriority, fieldQueuedAt, fieldContacts, fieldMetadata, fieldNextAt,
		fieldMessageID, fieldConversation, fieldSentAt, fieldRepliedAt, fieldError, fieldDuplicate, fieldUnsettled,
		fieldPacked,
	}
}

// RecordFields are the names under which enqueue's script finds the record's
// digest, state and enqueueing, in this order.
func RecordFields() [3]string { return [3]string{fieldDigest, fieldState, fieldEnqueued} }

func parseRecord(workspace, key string, h map[string]string) (*Record, error) {
	r := &Record{
		Key: key, Workspace: workspace, State: State(h[fieldState]),
		MessageID: h[fieldMessageID], ConversationID: h[fieldConversation],
		PossibleDuplicate: h[fieldDuplicate] == "1",
		Priority:          h[fieldPriority],
	}
	if p := h[fieldPayload]; p != "" {
		r.Payload = []byte(p)
	}
	p := fieldParser{h: h}
	r.Attempts = int(p.integer(fieldAttempts))
	r.QueuedAt = p.time(fieldQueuedAt)
	r.NextAttemptAt = p.time(fieldNextAt)
	r.SentAt = p.time(fieldSentAt)
	r.RepliedAt = p.time(fieldRepliedAt)
	r.UnsettledSince = p.time(fieldUnsettled)
	p.json(fieldContacts, &r.ContactIDs)
	p.json(fieldMetadata, &r.Metadata)
	p.json(fieldError, &r.LastError)
	if p.err != nil {
		return nil, fmt.Errorf("record %q: %w", key, p.err)
	}
	if packed, ok := h[fieldPacked]; ok {
		if err := r.unpack(packed); err != nil {
			return nil, fmt.Errorf("record %q: %w", key, err)
		}
		if h[fieldAttempts] == "" && (r.State == Sent || r.State == Replied) {
			r.Attempts = 1
		}
	}
	return r, nil
}

// fieldParser keeps the first error, so that a record is read as a list of
// assignments.
type fieldParser struct {
	h   map[string]string
	err error
}

func (p *fieldParser) integer(name string) int64 {
	s := p.h[name]
	if s == "" {
		return 0
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil && p.err == nil {
		p.err = fmt.Errorf("field %s is not a number", name)
	}
	return n
}

func (p *fieldParser) time(name string) time.Time { return fromMillis(p.integer(name)) }

func (p *fieldParser) json(name string, into any) {
	s := p.h[name]
	if s == "" {
		return
	}
	if err := json.Unmarshal([]byte(s), into); err != nil && p.err == nil {
		p.err = fmt.Errorf("field %s is not valid: %w", name, err)
	}
}

func fromMillis(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms).UTC()
}

func millis(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}
