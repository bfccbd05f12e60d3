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
	records, err := m.unsettled(ctx, c)
	if err != nil {
		return nil, err
	}
	found := ledger.Found{MessageID: string(c.Source.ID), ConversationID: string(c.ID)}
	for _, r := range records {
		e, err := task.Decode(r.Payload)
		if err != nil {
			log.Error("message cannot be compared", zap.String("key", r.Key), zap.Error(err))
			continue
		}
		if !settle.Fits(e.Message, c, r.UnsettledSince) {
			continue
		}
		err = m.ledger.Settle(ctx, r, found)
		if passedOver(err) {
			continue
		}
		if err != nil {
			return nil, err
		}
		m.counts.WithLabelValues("settled").Inc()
		log.Info("settled: a notification shows that the message was created", zap.String("key", r.Key),
			zap.String("message_id", found.MessageID), zap.String("state", string(ledger.Sent)))
		return m.ledger.Lookup(ctx, r.Key)
	}
	return nil, ledger.ErrNotFound
}

// passedOver tells that the message was settled meanwhile, or is gone.
func passedOver(err error) bool {
	_, fenced := errors.AsType[*ledger.FencedError](err)
	_, taken := errors.AsType[*ledger.TakenError](err)
	return fenced || taken || errors.Is(err, ledger.ErrNotFound)
}

// unsettled returns the messages to the conversation's contacts that may
// exist, the oldest first.
func (m *Matcher) unsettled(ctx context.Context, c *intercom.Conversation) ([]*ledger.Record, error) {
	var all []*ledger.Record
	for _, contact := range contacts(c) {
		records, err := m.ledger.Unsettled(ctx, contact)
		if err != nil {
			return nil, err
		}
		all = append(all, records...)
	}
	slices.SortStableFunc(all, func(a, b *ledger.Record) int {
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
	for i := range c.ConversationParts.Parts {
		if a := c.ConversationParts.Parts[i].Author; a.IsContact() {
			ids = append(ids, string(a.ID))
		}
	}
	slices.Sort(ids)
	return slices.Compact(ids)
}
