package intercomtest

import (
	"context"
	"crypto/hmac"
	"crypto/sha1" //nolint:gosec // Intercom signs with SHA-1.
	"encoding/hex"
	"fmt"
	"time"

	"github.com/google/uuid"
)

const (
	topicReplied    = "conversation.user.replied"
	topicPing       = "ping"
	topicMerged     = "contact.merged"
	topicArchived   = "contact.archived"
	topicUnarchived = "contact.unarchive"
	topicDeleted    = "contact.deleted"
)

// notification is what a webhook delivers, perhaps more than once.
type notification struct {
	id        string
	topic     string
	appID     string
	createdAt time.Time
	item      any

	// The mutex of webhooks guards these.
	attempts  int
	firstSent time.Time
}

type (
	envelopeDoc struct {
		Type             string       `json:"type"`
		AppID            string       `json:"app_id"`
		Data             envelopeData `json:"data"`
		Links            struct{}     `json:"links"`
		ID               *string      `json:"id"`
		Topic            string       `json:"topic"`
		DeliveryStatus   string       `json:"delivery_status"`
		DeliveryAttempts int          `json:"delivery_attempts"`
		DeliveredAt      int64        `json:"delivered_at"`
		FirstSentAt      int64        `json:"first_sent_at"`
		CreatedAt        int64        `json:"created_at"`
		Self             *string      `json:"self"`
	}
	envelopeData struct {
		Type string `json:"type"`
		Item any    `json:"item"`
	}
	pingDoc struct {
		Type    string `json:"type"`
		Message string `json:"message"`
	}
)

// newNotification returns nil where nobody receives notifications.
func (s *Server) newNotification(topic string, item any, now time.Time) *notification {
	if !s.webhooks.wanted() {
		return nil
	}
	return &notification{
		id: "notif_" + uuid.NewString(), topic: topic, appID: s.cfg.AppID, createdAt: now, item: item,
	}
}

// envelope is the notification as its attempt n.attempts sends it.
func (n *notification) envelope() envelopeDoc {
	return envelopeDoc{
		Type: "notification_event", AppID: n.appID, ID: orNull(n.id), Topic: n.topic,
		Data:             envelopeData{Type: "notification_event_data", Item: n.item},
		DeliveryStatus:   "pending",
		DeliveryAttempts: n.attempts, FirstSentAt: n.firstSent.Unix(), CreatedAt: n.createdAt.Unix(),
	}
}

// sign is the value of X-Hub-Signature for a body.
func sign(secret string, body []byte) string {
	mac := hmac.New(sha1.New, []byte(secret))
	mac.Write(body)
	return "sha1=" + hex.EncodeToString(mac.Sum(nil))
}

// announce queues a notification for delivery, if there is one. It waits while
// the queue is full.
func (s *Server) announce(ctx context.Context, n *notification) error {
	if n == nil {
		return nil
	}
	err := s.webhooks.enqueue(ctx, n)
	if err == nil {
		return nil
	}
	s.recordDelivery(Delivery{NotificationID: n.id, Topic: n.topic, At: n.createdAt, Err: "not queued: " + err.Error()})
	return fmt.Errorf("intercomtest: notification %s: %w", n.topic, err)
}
