package intercomtest

import "net/http"

// The documents of conversations. Fields that Intercom's description does not
// allow to be null are left out where there is nothing to say.
type (
	conversationDoc struct {
		Type                string           `json:"type"`
		ID                  string           `json:"id"`
		Title               *string          `json:"title"`
		CreatedAt           int64            `json:"created_at"`
		UpdatedAt           int64            `json:"updated_at"`
		WaitingSince        *int64           `json:"waiting_since"`
		SnoozedUntil        *int64           `json:"snoozed_until"`
		Open                bool             `json:"open"`
		State               string           `json:"state"`
		Read                bool             `json:"read"`
		Priority            string           `json:"priority"`
		AdminAssigneeID     *int64           `json:"admin_assignee_id"`
		TeamAssigneeID      *int64           `json:"team_assignee_id"`
		Source              sourceDoc        `json:"source"`
		Contacts            contactsDoc      `json:"contacts"`
		FirstContactReply   *firstReplyDoc   `json:"first_contact_reply"`
		Statistics          statisticsDoc    `json:"statistics"`
		Tags                tagsDoc          `json:"tags"`
		SLAApplied          *struct{}        `json:"sla_applied"`
		Rating              *struct{}        `json:"conversation_rating"`
		Teammates           *struct{}        `json:"teammates"`
		CustomAttributes    struct{}         `json:"custom_attributes"`
		LinkedObjects       linkedObjectsDoc `json:"linked_objects"`
		AIAgentParticipated bool             `json:"ai_agent_participated"`
		Parts               *partsDoc        `json:"conversation_parts,omitempty"`
	}
	sourceDoc struct {
		Type        string     `json:"type"`
		ID          string     `json:"id"`
		DeliveredAs string     `json:"delivered_as"`
		Subject     string     `json:"subject"`
		Body        string     `json:"body"`
		Author      authorDoc  `json:"author"`
		Attachments []struct{} `json:"attachments"`
		URL         *string    `json:"url"`
		Redacted    bool       `json:"redacted"`
	}
	authorDoc struct {
		Type  string `json:"type"`
		ID    string `json:"id"`
		Name  string `json:"name"`
		Email string `json:"email,omitempty"`
	}
	contactsDoc struct {
		Type     string          `json:"type"`
		Contacts []contactRefDoc `json:"contacts"`
	}
	contactRefDoc struct {
		Type       string  `json:"type"`
		ID         string  `json:"id"`
		ExternalID *string `json:"external_id"`
	}
	firstReplyDoc struct {
		CreatedAt int64   `json:"created_at"`
		Type      string  `json:"type"`
		URL       *string `json:"url"`
	}
	statisticsDoc struct {
		Type                string `json:"type"`
		FirstContactReplyAt int64  `json:"first_contact_reply_at,omitempty"`
		LastContactReplyAt  int64  `json:"last_contact_reply_at,omitempty"`
		CountParts          int    `json:"count_conversation_parts"`
	}
	tagsDoc struct {
		Type string     `json:"type"`
		Tags []struct{} `json:"tags"`
	}
	linkedObjectsDoc struct {
		Type       string     `json:"type"`
		Data       []struct{} `json:"data"`
		TotalCount int        `json:"total_count"`
		HasMore    bool       `json:"has_more"`
	}
	partsDoc struct {
		Type       string    `json:"type"`
		Parts      []partDoc `json:"conversation_parts"`
		TotalCount int       `json:"total_count"`
	}
	partDoc struct {
		Type        string     `json:"type"`
		ID          string     `json:"id"`
		PartType    string     `json:"part_type"`
		Body        string     `json:"body"`
		CreatedAt   int64      `json:"created_at"`
		UpdatedAt   int64      `json:"updated_at"`
		NotifiedAt  int64      `json:"notified_at"`
		Author      authorDoc  `json:"author"`
		Attachments []struct{} `json:"attachments"`
		ExternalID  *string    `json:"external_id"`
		Redacted    bool       `json:"redacted"`
		State       string     `json:"state"`
		Tags        []struct{} `json:"tags"`
	}
)

// maxParts is how many parts a conversation shows, the newest ones.
const maxParts = 500

// style is how a document is written.
type style struct {
	// text turns a message's text into what is shown.
	text func(string) string
	// version is the API's version.
	version version
}

// doc returns the conversation as it was in a state, without its parts.
func (c *conversation) doc(state conversationState, as style) conversationDoc {
	d := conversationDoc{
		Type: "conversation", ID: c.id, CreatedAt: c.createdAt.Unix(), UpdatedAt: state.updatedAt.Unix(),
		Open: true, State: "open", Priority: "not_priority", AdminAssigneeID: adminNumber(c.message.admin.ID),
		Source: c.source(as.text), Contacts: c.contactsDoc(),
		Statistics:    statisticsDoc{Type: "conversation_statistics", CountParts: state.parts},
		Tags:          tagsDoc{Type: "tag.list", Tags: []struct{}{}},
		LinkedObjects: linkedObjectsDoc{Type: "list", Data: []struct{}{}},
	}
	if !as.version.before(numberedAssignees) {
		d.Priority = "none"
		d.TeamAssigneeID = new(int64)
		if d.AdminAssigneeID == nil {
			d.AdminAssigneeID = new(int64)
		}
	}
	if !state.firstReply.IsZero() {
		d.WaitingSince = new(state.lastReply.Unix())
		d.FirstContactReply = &firstReplyDoc{CreatedAt: state.firstReply.Unix(), Type: d.Source.Type}
		d.Statistics.FirstContactReplyAt = state.firstReply.Unix()
		d.Statistics.LastContactReplyAt = state.lastReply.Unix()
	}
	return d
}

func (c *conversation) source(text func(string) string) sourceDoc {
	m := c.message
	return sourceDoc{
		Type: sourceTypes[m.MessageType], ID: m.ID, DeliveredAs: deliveredAs,
		Subject: m.Subject, Body: text(m.Body), Attachments: []struct{}{},
		Author: authorDoc{Type: "admin", ID: m.admin.ID, Name: m.admin.Name, Email: m.admin.Email},
	}
}

const deliveredAs = "admin_initiated"

func (c *conversation) contactsDoc() contactsDoc {
	d := contactsDoc{Type: "contact.list", Contacts: []contactRefDoc{}}
	for _, to := range c.message.contacts() {
		d.Contacts = append(d.Contacts, contactRefDoc{Type: "contact", ID: to.ID, ExternalID: orNull(to.ExternalID)})
	}
	return d
}

func newPartsDoc(parts []part, total int, text func(string) string) *partsDoc {
	d := &partsDoc{Type: "conversation_part.list", Parts: []partDoc{}, TotalCount: total}
	for _, p := range parts[max(0, len(parts)-maxParts):] {
		at := p.at.Unix()
		d.Parts = append(d.Parts, partDoc{
			Type: "conversation_part", ID: p.id, PartType: p.kind, Body: text(p.text),
			CreatedAt: at, UpdatedAt: at, NotifiedAt: at, State: "open",
			Author: p.author(), Attachments: []struct{}{}, Tags: []struct{}{},
		})
	}
	return d
}

// retrieveConversation is GET /conversations/{id}. It does not go through the
// search index, so it is never behind.
func (s *Server) retrieveConversation(c *call, id string) answer {
	as := style{html, c.version}
	if c.r.URL.Query().Get("display_as") == "plaintext" {
		as.text = plain
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	conv, ok := s.conversations.byID[id]
	if !ok {
		return notFound("Resource Not Found", "").answer(c.requestID)
	}
	doc := conv.doc(conv.now(), as)
	doc.Parts = newPartsDoc(conv.parts, len(conv.parts), as.text)
	return document(http.StatusOK, doc)
}

func orNull(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}
