package intercomtest

import (
	"slices"
	"strconv"
	"time"
)

// conversation is a conversation that an admin's message started. The Server's
// mutex guards it.
type conversation struct {
	id        string
	number    int64
	message   *message
	createdAt time.Time
	parts     []part
	// states are what the conversation was like after each change, the oldest
	// first. Search sees the last one that is in its index.
	states []conversationState
}

// conversationState is what a part changes in a conversation.
type conversationState struct {
	// indexedAt is from when on search sees it.
	indexedAt  time.Time
	updatedAt  time.Time
	firstReply time.Time
	lastReply  time.Time
	parts      int
}

// part is an answer or another entry in a conversation.
type part struct {
	id   string
	kind string
	text string
	at   time.Time
	// contact wrote it, or by, where contact is nil.
	contact *contact
	by      authorDoc
}

func (p part) author() authorDoc {
	if p.contact == nil {
		return p.by
	}
	c := p.contact.canonical()
	return authorDoc{Type: c.Role, ID: c.ID, Name: c.Name, Email: c.Email}
}

func (c *conversation) now() conversationState { return c.states[len(c.states)-1] }

// indexed returns what search sees of the conversation, if it does.
func (c *conversation) indexed(now time.Time) (conversationState, bool) {
	for _, state := range slices.Backward(c.states) {
		if !now.Before(state.indexedAt) {
			return state, true
		}
	}
	return conversationState{}, false
}

// conversations holds the workspace's conversations, with the indexes that
// keep the usual searches from looking at all of them.
type conversations struct {
	byID      map[string]*conversation
	byMessage map[string]*conversation
	byContact map[string][]*conversation
	all       []*conversation
}

func newConversations() conversations {
	return conversations{
		byID:      make(map[string]*conversation),
		byMessage: make(map[string]*conversation),
		byContact: make(map[string][]*conversation),
	}
}

func (cs *conversations) add(c *conversation) {
	cs.byID[c.id] = c
	cs.byMessage[c.message.ID] = c
	for _, to := range c.message.contacts() {
		cs.byContact[to.ID] = append(cs.byContact[to.ID], c)
	}
	cs.all = append(cs.all, c)
}

// openConversation starts the message's conversation. Hold mu.
func (s *Server) openConversation(m *message, now time.Time) {
	number := int64(s.nextConv)
	id := s.nextConv.next()
	m.conversation = &conversation{
		id: id, number: number, message: m, createdAt: now,
		states: []conversationState{{indexedAt: now.Add(s.cfg.IndexLag), updatedAt: now}},
	}
	s.conversations.add(m.conversation)
}

// add adds a part, which search sees from indexedAt on, and returns it.
func (c *conversation) add(p part, indexedAt time.Time) part {
	c.parts = append(c.parts, p)
	state := c.now()
	state.indexedAt, state.updatedAt, state.parts = indexedAt, p.at, len(c.parts)
	if p.contact != nil {
		state.lastReply = p.at
		if state.firstReply.IsZero() {
			state.firstReply = p.at
		}
	}
	c.states = append(c.states, state)
	return p
}

// sourceTypes are the source.type of conversations by type of message.
var sourceTypes = map[string]string{typeInApp: "conversation", typeEmail: "email", typeWhatsApp: "whatsapp"}

func adminNumber(id string) *int64 {
	n, err := strconv.ParseInt(id, 10, 64)
	if err != nil {
		return nil
	}
	return &n
}
