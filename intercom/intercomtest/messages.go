package intercomtest

import (
	"net/http"
	"slices"
	"time"
)

// message is a created message with what a reply to it needs.
type message struct {
	CreatedMessage
	admin Admin
	// audience are the contacts of To and CC. Those of BCC are not in the
	// conversation.
	audience     []*contact
	conversation *conversation
}

// contacts are the contacts of To and CC, or whom they were merged into.
func (m *message) contacts() []*contact { return canonicals(m.audience) }

type messageDoc struct {
	Type           string   `json:"type"`
	ID             string   `json:"id"`
	CreatedAt      int64    `json:"created_at"`
	Subject        string   `json:"subject,omitempty"`
	Body           string   `json:"body"`
	MessageType    string   `json:"message_type"`
	Owner          ownerDoc `json:"owner"`
	ConversationID string   `json:"conversation_id,omitempty"`
}

type ownerDoc struct {
	Type             string `json:"type"`
	ID               string `json:"id"`
	Name             string `json:"name"`
	Email            string `json:"email"`
	AwayModeEnabled  bool   `json:"away_mode_enabled"`
	AwayModeReassign bool   `json:"away_mode_reassign"`
}

// createMessage is POST /messages.
func (s *Server) createMessage(c *call) answer {
	fail := c.messageErr
	if fail == nil {
		fail = c.message.check(c.version)
	}
	if fail != nil {
		return fail.answer(c.requestID)
	}
	m, fail := s.create(c)
	if fail != nil {
		return fail.answer(c.requestID)
	}
	return document(http.StatusOK, messageDoc{
		Type: "admin_message", ID: m.ID, CreatedAt: m.CreatedAt, Subject: m.Subject, Body: m.Body,
		MessageType: m.MessageType, ConversationID: m.ConversationID,
		Owner: ownerDoc{Type: "admin", ID: m.admin.ID, Name: m.admin.Name, Email: m.admin.Email},
	})
}

// create makes the message of a request that passed its check, if the
// workspace has everybody whom it names.
func (s *Server) create(c *call) (*message, *failure) {
	now := s.cfg.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	admin, fail := s.sender(c.message.from)
	if fail != nil {
		return nil, fail
	}
	audience, fail := s.audience(c.message, now)
	if fail != nil {
		return nil, fail
	}
	m := s.newMessage(c, now)
	m.admin, m.AdminID, m.audience = admin, admin.ID, audience
	if c.message.openConversation {
		s.openConversation(m, now)
		m.ConversationID = m.conversation.id
	}
	s.messages[m.ID] = m
	s.log.Created = append(s.log.Created, m.CreatedMessage)
	c.entry.CreatedMessageID = m.ID
	s.wake()
	return m, nil
}

func (s *Server) newMessage(c *call, now time.Time) *message {
	r := c.message
	m := &message{CreatedMessage: CreatedMessage{
		ID: s.nextMessage.next(), At: now, MessageType: r.messageType, Subject: r.subject, Body: r.body,
		Template: r.template, Recipients: r.recipients(), RequestNumber: c.entry.Number, CreatedAt: now.Unix(),
	}}
	if r.createdAt != 0 && !c.version.before(createdAtParam) {
		m.CreatedAt = r.createdAt
	}
	return m
}

// sender returns the admin that a message comes from. Without one it is the
// default sender.
func (s *Server) sender(from *sender) (Admin, *failure) {
	if from == nil {
		return s.cfg.Admins[0], nil
	}
	if admin, ok := s.admin(from.id); ok {
		return admin, nil
	}
	return Admin{}, notFound("Resource Not Found", "from")
}

// audience returns the contacts of To and CC, if the message can go to
// everybody it names.
func (s *Server) audience(m *messageRequest, now time.Time) ([]*contact, *failure) {
	var found []*contact
	for _, r := range slices.Concat(m.to.list, m.cc.list, m.bcc.list) {
		c, ok := s.contacts.messageable(r, now)
		if !ok {
			return nil, notFound("User Not Found", "")
		}
		if m.messageType == typeEmail && c.UnsubscribedFromEmails {
			return nil, &failure{http.StatusForbidden, s.cfg.UnsubscribedCode, "Contact has unsubscribed from emails", ""}
		}
		found = append(found, c)
	}
	return found[:len(m.to.list)+len(m.cc.list)], nil
}
