package replies

import (
	"context"
	"slices"

	"go.uber.org/zap"

	"github.com/intercom-dispatch/intercom-dispatch/intercom"
)

// contact follows what a notification says about a contact.
func (m *Matcher) contact(ctx context.Context, log *zap.Logger, n *intercom.Notification) error {
	c, err := n.Contact()
	if err != nil {
		// Other topics of contacts may have other items.
		m.counts.WithLabelValues("ignored").Inc()
		log.Debug("notification is about no contact", zap.Error(err))
		return nil
	}
	log = log.With(zap.String("contact_id", string(c.ID)))
	switch n.Topic {
	case intercom.TopicContactMerged:
		return m.merged(ctx, log, c)
	case intercom.TopicContactDeleted:
		if err := m.ledger.Deleted(ctx, string(c.ID)); err != nil {
			return err
		}
		m.counts.WithLabelValues("contact_deleted").Inc()
		// They fail, and say why.
		return m.wake(ctx, log, string(c.ID))
	case intercom.TopicContactArchived, "contact.archive": // Intercom's pages have both.
		m.counts.WithLabelValues("ignored").Inc()
		return nil
	}
	m.counts.WithLabelValues("contact").Inc()
	return m.wake(ctx, log, string(c.ID))
}

// merged follows a merge: conversations of the contacts that are no more are the
// other one's now, and messages that wait for them will not be sent.
func (m *Matcher) merged(ctx context.Context, log *zap.Logger, c *intercom.Contact) error {
	for _, from := range c.MergedFrom {
		if from == c.ID {
			continue
		}
		if err := m.ledger.Merged(ctx, string(from), string(c.ID)); err != nil {
			return err
		}
		log.Info("contact was merged", zap.String("merged_from", string(from)))
		if err := m.wake(ctx, log, string(from)); err != nil {
			return err
		}
	}
	m.counts.WithLabelValues("contact_merged").Inc()
	return m.wake(ctx, log, string(c.ID))
}

// wake has the messages sent at once that wait for a contact.
func (m *Matcher) wake(ctx context.Context, log *zap.Logger, contactID string) error {
	n, err := m.wakes.Contact(ctx, contactID, "")
	if err != nil {
		return err
	}
	if n > 0 {
		log.Info("woke the messages that wait for the contact", zap.String("contact_id", contactID), zap.Int("woken", n))
	}
	return nil
}

// alive wakes the messages to those who have written in the conversation.
func (m *Matcher) alive(ctx context.Context, log *zap.Logger, c *intercom.Conversation) error {
	ids := partAuthors(c)
	if a := c.Source.Author; a.IsContact() && a.ID != "" {
		ids = append(ids, string(a.ID))
	}
	slices.Sort(ids)
	for _, id := range slices.Compact(ids) {
		if err := m.wake(ctx, log, id); err != nil {
			return err
		}
	}
	return nil
}
