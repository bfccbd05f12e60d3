package replies

import (
	"cmp"
	"context"
	"errors"
	"slices"

	"go.uber.org/zap"

	"github.com/intercom-dispatch/intercom-dispatch/intercom"
	"github.com/intercom-dispatch/intercom-dispatch/internal/settle"
	"github.com/intercom-dispatch/intercom-dispatch/internal/task"
	"github.com/intercom-dispatch/intercom-dispatch/ledger"
)

// settle finds the message that the conversation began with among those of
// which it is not known whether they exist, and records that it does. It
// returns ledger.ErrNotFound if it is none of them.
func (m *Matcher) settle(ctx context.Context, log *zap.Logger, c *intercom.Conversation) (*ledger.Record, error) {
	doubtful, err := m.unsettled(ctx, c)
	if err != nil {
		return nil, err
	}
	found := ledger.Found{MessageID: string(c.Source.ID), ConversationID: string(c.ID)}
	for _, d := range doubtful {
		if !d.fits(log, c) {
			continue
		}
		err = m.ledger.Settle(ctx, d.Record, found)
		if passedOver(err) {
			continue
		}
		if err != nil {
			return nil, err
		}
		m.settled(ctx, log, d.Record, found)
		return m.ledger.Lookup(ctx, d.Key)
	}
	return nil, ledger.ErrNotFound
}

// settled tells those who wait for the message.
func (m *Matcher) settled(ctx context.Context, log *zap.Logger, r *ledger.Record, found ledger.Found) {
	m.counts.WithLabelValues("settled").Inc()
	log = log.With(zap.String("key", r.Key), zap.String("message_id", found.MessageID))
	log.Info("settled: a notification shows that the message was created", zap.String("state", string(ledger.Sent)))
	err := errors.Join(m.wakes.Parked(ctx, found.MessageID), m.wakes.Next(ctx, r.OrderKey, r.Key, r.PassHeld))
	if err != nil {
		log.Warn("what waits for the message is not woken and comes back later", zap.Error(err))
	}
}

// doubtful is a message that may exist.
type doubtful struct {
	*ledger.Record

	// mergedInto is the contact into which its first recipient was merged, or
	// empty.
	mergedInto string
}

// fits tells whether the conversation is one that the message can have opened.
func (d *doubtful) fits(log *zap.Logger, c *intercom.Conversation) bool {
	e, err := task.Decode(d.Payload)
	if err != nil {
		log.Error("message cannot be compared", zap.String("key", d.Key), zap.Error(err))
		return false
	}
	if d.mergedInto != "" && len(e.Message.To) > 0 {
		e.Message = settle.Readdressed(e.Message, d.mergedInto)
	}
	return settle.Fits(e.Message, c, d.UnsettledSince)
}

// passedOver tells that the message was settled meanwhile, or is gone.
func passedOver(err error) bool {
	_, fenced := errors.AsType[*ledger.FencedError](err)
	_, taken := errors.AsType[*ledger.TakenError](err)
	return fenced || taken || errors.Is(err, ledger.ErrNotFound)
}

// unsettled returns the messages that may exist to the conversation's contacts,
// and to those that were merged into them, the oldest first.
func (m *Matcher) unsettled(ctx context.Context, c *intercom.Conversation) ([]doubtful, error) {
	var all []doubtful
	for _, contact := range contacts(c) {
		former, err := m.ledger.Absorbed(ctx, contact)
		if err != nil {
			return nil, err
		}
		for _, id := range append(former, contact) {
			records, err := m.ledger.Unsettled(ctx, id)
			if err != nil {
				return nil, err
			}
			for _, r := range records {
				d := doubtful{Record: r}
				if id != contact {
					d.mergedInto = contact
				}
				all = append(all, d)
			}
		}
	}
	slices.SortStableFunc(all, func(a, b doubtful) int {
		return cmp.Or(a.UnsettledSince.Compare(b.UnsettledSince), cmp.Compare(a.Key, b.Key))
	})
	return all, nil
}

// contacts returns the ids of those who take part in the conversation, as far
// as the notification names them.
func contacts(c *intercom.Conversation) []string {
	var ids []string
	for _, contact := range c.Contacts.Contacts {
		ids = append(ids, string(contact.ID))
	}
	ids = append(ids, partAuthors(c)...)
	slices.Sort(ids)
	return slices.Compact(ids)
}

// partAuthors returns the ids of the contacts who wrote the conversation's parts.
func partAuthors(c *intercom.Conversation) []string {
	var ids []string
	for i := range c.ConversationParts.Parts {
		if a := c.ConversationParts.Parts[i].Author; a.IsContact() && a.ID != "" {
			ids = append(ids, string(a.ID))
		}
	}
	return ids
}
