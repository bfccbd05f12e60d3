package ledger

import (
	"context"
	"fmt"
	"time"
)

// Reply is a contact's answer to a message.
type Reply struct {
	Key            string
	MessageID      string
	ConversationID string
	// PartID is the part of the conversation that holds the answer.
	PartID string
	At     time.Time
	// FirstEvent and LaterEvent are the event to publish, as the first reply
	// to the message and as a later one.
	FirstEvent, LaterEvent []byte
}

// Replied records a reply and publishes its event on the stream at
// ReplyStreamKey. It returns false for a part that was published before, and
// ErrNotFound if no message is sent under the key.
func (l *Ledger) Replied(ctx context.Context, r Reply) (published bool, err error) {
	keys := []string{ReplyStreamKey(l.workspace), partsKey(l.workspace, r.MessageID)}
	n, err := l.run(ctx, replyScript, message{key: r.Key}, keys,
		r.ConversationID, r.PartID, r.FirstEvent, r.LaterEvent, millisArg(millis(r.At)), newToken()).Int()
	switch {
	case err != nil:
		return false, fmt.Errorf("record reply to %q: %w", r.Key, err)
	case n < 0:
		return false, ErrNotFound
	}
	return n == 1, nil
}
