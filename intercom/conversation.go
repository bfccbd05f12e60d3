package intercom

// DeliveredAsAdminInitiated is the DeliveredAs of a conversation that began
// with a message of an admin, as the messages sent through the API are.
const DeliveredAsAdminInitiated = "admin_initiated"

// Conversation is what a search or a notification tells of a conversation.
// Everything but its id may be missing.
type Conversation struct {
	ID        ID                   `json:"id"`
	CreatedAt UnixTime             `json:"created_at"`
	UpdatedAt UnixTime             `json:"updated_at"`
	Source    Source               `json:"source"`
	Contacts  ConversationContacts `json:"contacts"`
	// ConversationParts are never part of a search's result, and perhaps only
	// the new ones in a notification.
	ConversationParts ConversationParts `json:"conversation_parts"`
	// Statistics are nil where the answer had none.
	Statistics *ConversationStatistics `json:"statistics"`
	Open       bool                    `json:"open"`
	// State is "open", "closed" or "snoozed".
	State string `json:"state"`
}

// ConversationStatistics is a summary of what has happened in a conversation.
type ConversationStatistics struct {
	// LastContactReplyAt is the time of the last part from a contact, zero if
	// there is none ("Time of the last conversation part from a contact" in the
	// OpenAPI description).
	LastContactReplyAt UnixTime `json:"last_contact_reply_at"`
}

// Source is what a conversation began with.
type Source struct {
	Type string `json:"type"`
	// ID is the id of the message that began the conversation.
	ID          ID     `json:"id"`
	DeliveredAs string `json:"delivered_as"`
	Subject     string `json:"subject"`
	// Body is HTML, or plain text in notifications since version 2.15.
	Body   string `json:"body"`
	Author Author `json:"author"`
}

// Author is who wrote something.
type Author struct {
	// Type is "admin", "bot", "team", or a contact's role: "user" or "lead".
	Type  string `json:"type"`
	ID    ID     `json:"id"`
	Name  string `json:"name"`
	Email string `json:"email"`
}

// IsContact tells whether a user or a lead wrote it.
func (a Author) IsContact() bool { return isRole(a.Type) || a.Type == "contact" }

// ConversationContacts holds the contacts that take part in a conversation.
type ConversationContacts struct {
	Contacts []ContactReference `json:"contacts"`
}

// ContactReference names a contact.
type ContactReference struct {
	ID ID `json:"id"`
	// ExternalID is the id that the workspace's owner gave the contact.
	ExternalID ID `json:"external_id"`
}

// ConversationParts holds what followed a conversation's source.
type ConversationParts struct {
	Parts []ConversationPart `json:"conversation_parts"`
}

// ConversationPart is one entry of a conversation: an answer, a note, an
// assignment.
type ConversationPart struct {
	ID ID `json:"id"`
	// PartType is "comment" for an answer.
	PartType  string   `json:"part_type"`
	Body      string   `json:"body"`
	CreatedAt UnixTime `json:"created_at"`
	Author    Author   `json:"author"`
}
