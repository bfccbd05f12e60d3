package replies

import (
	"context"

	"go.uber.org/zap"

	"github.com/intercom-dispatch/intercom-dispatch/intercom"
	"github.com/intercom-dispatch/intercom-dispatch/ledger"
)

// publisher publishes the replies in conversations whose message is known. A
// part is published once, however often and by whomever it is found.
type publisher struct {
	ledger *ledger.Ledger
	by     string // Event.MatchedBy
	// omitText leaves Event.Text and Event.HTML empty.
	omitText bool
	// count counts what was found: "reply", "repeated" or "no_reply".
	count func(outcome string)
}

// publish publishes what contacts have written in the conversation, and returns
// how many parts that is, those included that were published before.
func (p publisher) publish(ctx context.Context, log *zap.Logger, r *ledger.Record, c *intercom.Conversation) (int, error) {
	replies := contactReplies(c)
	if len(replies) == 0 {
		p.count("no_reply")
	}
	for _, part := range replies {
		published, err := p.publishPart(ctx, r, c, part)
		if err != nil {
			return 0, err
		}
		outcome := "reply"
		if !published {
			outcome = "repeated"
		}
		p.count(outcome)
		log.Info("reply", zap.String("key", r.Key), zap.String("message_id", string(c.Source.ID)),
			zap.String("part_id", string(part.ID)), zap.String("contact_id", string(part.Author.ID)), zap.Bool("published", published))
	}
	return len(replies), nil
}

func (p publisher) publishPart(ctx context.Context, r *ledger.Record, c *intercom.Conversation, part *intercom.ConversationPart) (bool, error) {
	e := Event{
		Version: EventVersion, Workspace: r.Workspace, Key: r.Key, Metadata: r.Metadata,
		MessageID: string(c.Source.ID), ConversationID: string(c.ID), PartID: string(part.ID),
		ContactID: string(part.Author.ID), AuthorType: part.Author.Type,
		Time: part.CreatedAt.Time(), MatchedBy: p.by,
	}
	if !p.omitText {
		e.say(part.Body)
	}
	first, err := e.encode(true)
	if err != nil {
		return false, err
	}
	later, err := e.encode(false)
	if err != nil {
		return false, err
	}
	return p.ledger.Replied(ctx, ledger.Reply{
		Key: r.Key, MessageID: e.MessageID, ConversationID: e.ConversationID, PartID: e.PartID,
		At: e.Time, FirstEvent: first, LaterEvent: later,
	})
}

// contactReplies returns the parts that a contact wrote. Admins' and bots'
// parts are no replies, and neither are parts without content, such as those
// that say that a conversation was closed.
func contactReplies(c *intercom.Conversation) []*intercom.ConversationPart {
	var replies []*intercom.ConversationPart
	for i := range c.ConversationParts.Parts {
		p := &c.ConversationParts.Parts[i]
		if p.Author.IsContact() && p.ID != "" && p.Body != "" {
			replies = append(replies, p)
		}
	}
	return replies
}
