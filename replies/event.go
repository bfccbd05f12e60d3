package replies

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/intercom-dispatch/intercom-dispatch/internal/settle"
)

// EventVersion is the version of Event's JSON. Fields may be added to it.
const EventVersion = 1

// The ways in which a reply is found.
const (
	MatchedByWebhook = "webhook"
	MatchedBySearch  = "search"
)

// Event is a contact's reply to a message, as the backends get it.
type Event struct {
	// ID is the event's place in the stream. It grows with time.
	ID        string `json:"id,omitempty"`
	Version   int    `json:"version"`
	Workspace string `json:"workspace"`
	// Key and Metadata are what the producer gave the message.
	Key      string            `json:"key"`
	Metadata map[string]string `json:"metadata,omitempty"`
	// MessageID is the message's id in Intercom, ConversationID the
	// conversation's and PartID that of the part that holds the reply.
	MessageID      string `json:"message_id"`
	ConversationID string `json:"conversation_id"`
	PartID         string `json:"part_id"`
	ContactID      string `json:"contact_id"`
	// AuthorType is "user" or "lead".
	AuthorType string `json:"author_type"`
	// Text is the reply without markup, HTML as Intercom gave it if it had
	// any. Both are empty where MatcherConfig.OmitText is set.
	Text string `json:"text"`
	HTML string `json:"html,omitempty"`
	// Time is when the contact replied.
	Time time.Time `json:"time"`
	// First tells that it is the first reply to the message that was seen.
	First bool `json:"first"`
	// MatchedBy tells how the reply was found.
	MatchedBy string `json:"matched_by"`
}

// say sets what the contact wrote.
func (e *Event) say(body string) {
	e.Text = settle.PlainText(body)
	if e.Text != body {
		e.HTML = body
	}
}

func (e *Event) encode(first bool) ([]byte, error) {
	c := *e
	c.First = first
	b, err := json.Marshal(c)
	if err != nil {
		return nil, fmt.Errorf("encode reply event of %q: %w", e.Key, err)
	}
	return b, nil
}

func decodeEvent(id, data string) (Event, error) {
	var e Event
	if err := json.Unmarshal([]byte(data), &e); err != nil {
		return e, fmt.Errorf("reply event %s: %w", id, err)
	}
	e.ID = id
	return e, nil
}
