package intercomtest

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// ErrNotFound is what the methods return that are called with an id that the
// workspace does not have.
var ErrNotFound = errors.New("intercomtest: not found")

// ReplyInfo is a contact's answer.
type ReplyInfo struct {
	MessageID      string `json:"message_id"`
	ConversationID string `json:"conversation_id"`
	PartID         string `json:"part_id"`
	ContactID      string `json:"contact_id"`
	// NotificationID is the id of the notification of it. It is empty where the
	// workspace has no webhook URL.
	NotificationID string    `json:"notification_id,omitempty"`
	At             time.Time `json:"at"`
}

// Reply has the message's first recipient answer it. The answer opens the
// message's conversation if there is none, and its notification is queued for
// delivery. It returns ErrNotFound for a message that does not exist, and the
// context's error if ctx ends while the queue of notifications is full: the
// answer was given then all the same.
func (s *Server) Reply(ctx context.Context, messageID, text string) (ReplyInfo, error) {
	return s.ReplyAs(ctx, messageID, "", text)
}

// ReplyAs is Reply by one of the contacts in To and CC, or whom they were merged
// into. It returns ErrNotFound for any other, and for one that was deleted.
func (s *Server) ReplyAs(ctx context.Context, messageID, contactID, text string) (ReplyInfo, error) {
	now := s.cfg.Now()
	info, n, err := s.reply(messageID, contactID, text, now)
	if err != nil {
		return info, err
	}
	return info, s.announce(ctx, n)
}

func (s *Server) reply(messageID, contactID, text string, now time.Time) (ReplyInfo, *notification, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	m, ok := s.messages[messageID]
	if !ok {
		return ReplyInfo{}, nil, fmt.Errorf("%w: message %q", ErrNotFound, messageID)
	}
	author, ok := m.recipient(contactID)
	if !ok {
		return ReplyInfo{}, nil, fmt.Errorf("%w: contact %q among the recipients of message %q", ErrNotFound, contactID, messageID)
	}
	topic := topicReplied
	if m.conversation == nil {
		s.openConversation(m, now)
		topic = s.cfg.FirstReplyTopic
	}
	p := m.conversation.add(part{
		id: s.nextPart.next(), kind: typeComment, text: text, at: now, contact: author,
	}, now.Add(s.cfg.IndexLag))
	info := ReplyInfo{
		MessageID: m.ID, ConversationID: m.conversation.id, PartID: p.id, ContactID: author.ID, At: now,
	}
	n := s.newNotification(topic, m.conversation.notified(p, s.cfg.notificationStyle()), now)
	if n != nil {
		info.NotificationID = n.id
	}
	s.log.Replies = append(s.log.Replies, info)
	s.wake()
	return info, n, nil
}

// recipient returns the contact with the id among those who can answer. An
// empty id is the first of them.
func (m *message) recipient(id string) (*contact, bool) {
	for _, c := range m.contacts() {
		if !c.deleted && (id == "" || c.ID == id) {
			return c, true
		}
	}
	return nil, false
}

// notified is the conversation as a notification shows it: with the new part
// only.
func (c *conversation) notified(p part, as style) conversationDoc {
	doc := c.doc(c.now(), as)
	doc.Parts = newPartsDoc([]part{p}, 1, as.text)
	return doc
}

func (c Config) notificationStyle() style {
	if c.HTMLNotifications {
		return style{html, defaultVersion}
	}
	return style{plain, defaultVersion}
}
