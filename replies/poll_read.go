package replies

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"go.uber.org/zap"

	"github.com/intercom-dispatch/intercom-dispatch/intercom"
	"github.com/intercom-dispatch/intercom-dispatch/ledger"
)

// read publishes what is new in a message's conversations, and says when it is
// looked at next. A message without a record is let go.
func (b *batch) read(ctx context.Context, n news) error {
	next := n.Poll
	record, err := b.ledger.LookupMessage(ctx, n.MessageID)
	for i := 0; err == nil && i < len(n.conversations); i++ {
		var until time.Time
		until, err = b.readConversation(ctx, record, n.Poll, n.conversations[i])
		next.AnsweredAt = later(next.AnsweredAt, until)
	}
	if errors.Is(err, ledger.ErrNotFound) {
		b.log.Debug("the message's record is gone", zap.String("message_id", n.MessageID))
		return b.ledger.Reschedule(ctx, ledger.NextPoll{Poll: n.Poll})
	}
	if err != nil {
		return err
	}
	return b.ledger.Reschedule(ctx, b.next(next))
}

// readConversation asks for a conversation with its parts, which a search does not
// have, publishes the replies in it, and returns how far it has been read.
func (b *batch) readConversation(ctx context.Context, r *ledger.Record, p ledger.Poll, listed *intercom.Conversation) (time.Time, error) {
	changed, _ := changedAt(listed)
	if err := b.turn(ctx); err != nil {
		return time.Time{}, err
	}
	asked := b.cfg.Now()
	var c *intercom.Conversation
	err := b.request(ctx, requestConversation, func() (res *intercom.Response, err error) {
		c, res, err = b.cfg.Intercom.Conversation(ctx, string(listed.ID))
		if res != nil && !res.Date.IsZero() {
			asked = res.Date
		}
		return res, err
	})
	switch {
	case isGone(err):
		return changed, nil // The search does not know yet.
	case isForbidden(err):
		// The search was allowed: it is about this one alone.
		return time.Time{}, fmt.Errorf("read conversation %s: %s", listed.ID, err.Error())
	case err != nil:
		return time.Time{}, fmt.Errorf("read conversation %s: %w", listed.ID, err)
	}
	c.Source.ID = listed.Source.ID
	log := b.log.With(zap.String("conversation_id", string(c.ID)))
	found := publisher{
		ledger: b.ledger, by: MatchedBySearch, omitText: b.cfg.OmitText,
		count: func(outcome string) { b.metrics.replies.WithLabelValues(outcome).Inc() },
	}
	n, err := found.publish(ctx, log, r, c)
	if err != nil {
		return time.Time{}, err
	}
	log.Debug("read a conversation", zap.String("message_id", p.MessageID), zap.Int("replies", n))
	latest, _ := changedAt(c)
	return readUntil(p.AnsweredAt, later(changed, latest), asked), nil
}

func isForbidden(err error) bool {
	answer, ok := errors.AsType[*intercom.APIError](err)
	return ok && answer.Response.Status == http.StatusForbidden
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}
