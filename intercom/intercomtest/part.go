package intercomtest

import (
	"context"
	"fmt"
	"slices"
	"time"
)

// Part is what a teammate or a bot adds to a conversation. What a contact adds is
// a reply.
type Part struct {
	// Type is the part_type, such as "comment", "note", "assignment" or "close".
	// Empty means "comment". None of them changes the conversation's state.
	Type string
	// AuthorType is "admin", "bot" or "team". Empty means "admin".
	AuthorType string
	// AuthorID is the author's id. Empty means the admin whom the message came
	// from, or the workspace's one bot or team.
	AuthorID string
	// Text may be empty, as it is for an assignment.
	Text string
	// Topic is the topic of its notification. Empty means the one that Intercom
	// has for the type and the author, or else "conversation.admin.replied".
	Topic string
}

// PartInfo is a part that was added to a conversation.
type PartInfo struct {
	MessageID      string `json:"message_id"`
	ConversationID string `json:"conversation_id"`
	PartID         string `json:"part_id"`
	// NotificationID is the id of the notification of it. It is empty where the
	// workspace has no webhook URL.
	NotificationID string    `json:"notification_id,omitempty"`
	At             time.Time `json:"at"`
}

// authorID is the id of bots and teams.
const authorID = "990001"

const (
	typeComment = "comment"
	authorAdmin = "admin"
	authorBot   = "bot"
	authorTeam  = "team"
)

// partTopics are the topics of parts by their type. A bot's comment has its own.
var partTopics = map[string]string{
	"note":       "conversation.admin.noted",
	"assignment": "conversation.admin.assigned",
	"close":      "conversation.admin.closed",
	"open":       "conversation.admin.opened",
	"snoozed":    "conversation.admin.snoozed",
}

const (
	topicAdminReplied = "conversation.admin.replied"
	topicBotReplied   = "conversation.operator.replied"
)

func (p Part) withDefaults(m *message) Part {
	setDefault(&p.Type, typeComment)
	setDefault(&p.AuthorType, authorAdmin)
	if p.AuthorType == authorAdmin {
		setDefault(&p.AuthorID, m.admin.ID)
	}
	setDefault(&p.AuthorID, authorID)
	if p.AuthorType == authorBot && p.Type == typeComment {
		setDefault(&p.Topic, topicBotReplied)
	}
	setDefault(&p.Topic, partTopics[p.Type])
	setDefault(&p.Topic, topicAdminReplied)
	return p
}

// AddPart adds a part to the message's conversation, which must have been opened
// with the message or by a reply, and queues its notification. It returns
// ErrNotFound where there is no such message, conversation or admin, and an error
// if the notification could not be queued: the part was added then all the same.
func (s *Server) AddPart(ctx context.Context, messageID string, p Part) (PartInfo, error) {
	info, n, err := s.addPart(messageID, p, s.cfg.Now())
	if err != nil {
		return info, err
	}
	return info, s.announce(ctx, n)
}

func (s *Server) addPart(messageID string, p Part, now time.Time) (PartInfo, *notification, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	m, ok := s.messages[messageID]
	if !ok || m.conversation == nil {
		return PartInfo{}, nil, fmt.Errorf("%w: a conversation of message %q", ErrNotFound, messageID)
	}
	p = p.withDefaults(m)
	author, err := s.author(p)
	if err != nil {
		return PartInfo{}, nil, err
	}
	added := m.conversation.add(part{
		id: s.nextPart.next(), kind: p.Type, text: p.Text, at: now, by: author,
	}, now.Add(s.cfg.IndexLag))
	info := PartInfo{MessageID: m.ID, ConversationID: m.conversation.id, PartID: added.id, At: now}
	n := s.newNotification(p.Topic, m.conversation.notified(added, s.cfg.notificationStyle()), now)
	if n != nil {
		info.NotificationID = n.id
	}
	return info, n, nil
}

func (s *Server) author(p Part) (authorDoc, error) {
	if !slices.Contains([]string{authorAdmin, authorBot, authorTeam}, p.AuthorType) {
		return authorDoc{}, fmt.Errorf("intercomtest: author type must be admin, bot or team, not %q: contacts reply", p.AuthorType)
	}
	if p.AuthorType != authorAdmin {
		return authorDoc{Type: p.AuthorType, ID: p.AuthorID, Name: "Fake " + p.AuthorType}, nil
	}
	a, ok := s.admin(p.AuthorID)
	if !ok {
		return authorDoc{}, fmt.Errorf("%w: admin %q", ErrNotFound, p.AuthorID)
	}
	return authorDoc{Type: authorAdmin, ID: a.ID, Name: a.Name, Email: a.Email}, nil
}
