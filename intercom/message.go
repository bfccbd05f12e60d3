package intercom

import "encoding/json"

// The message types that Intercom's create-message request knows. Its
// documentation spells the first one in_app, its SDKs and its answers inapp;
// both are accepted and sent as the producer wrote them.
const (
	InApp      = "in_app"
	InAppShort = "inapp"
	Email      = "email"
	WhatsApp   = "whatsapp"
)

// Message is the body of POST /messages. Required are: in-app: Body, From and
// To; email: Subject, Body, Template, From and To; WhatsApp: Template,
// Components, From and To. [Message.Validate] holds a message against these
// rules.
type Message struct {
	// MessageType is one of InApp, InAppShort, Email and WhatsApp.
	MessageType string `json:"message_type"`
	// Subject is an email's subject line.
	Subject string `json:"subject,omitempty"`
	// Body is the content, plain text or HTML.
	Body string `json:"body,omitempty"`
	// Template is an email's style, "plain" or "personal", or the name of a
	// WhatsApp template.
	Template string `json:"template,omitempty"`
	// Locale is the language of a WhatsApp template, such as "en".
	Locale string `json:"locale,omitempty"`
	// Components fill the placeholders of a WhatsApp template. Each is a JSON
	// object with a type; the rest is passed on as it is.
	Components []json.RawMessage `json:"components,omitempty"`
	// From is the admin that the message comes from.
	From *Sender `json:"from,omitempty"`
	// To, CC and BCC are written as one object for one recipient and as an
	// array for several, which Intercom takes since version 2.14.
	To  Recipients `json:"to"`
	CC  Recipients `json:"cc,omitempty"`
	BCC Recipients `json:"bcc,omitempty"`
	// CreatedAt backdates the message, in Unix seconds. Zero leaves the time
	// to Intercom. Known since version 2.11.
	CreatedAt int64 `json:"created_at,omitempty"`
	// CreateConversationWithoutContactReply opens a conversation at once
	// instead of with the contact's first reply.
	CreateConversationWithoutContactReply bool `json:"create_conversation_without_contact_reply,omitempty"`
}

// Sender is the admin that a message comes from.
type Sender struct {
	// Type is always "admin".
	Type string `json:"type"`
	// ID is the admin's id. Intercom's schema has an integer, its examples a
	// string: both are read, and an integer is written.
	ID int64 `json:"id"`
}

// Recipient is a contact that a message goes to: for WhatsApp Phone and Name,
// otherwise Type and ID.
type Recipient struct {
	// Type is the contact's role, "user" or "lead".
	Type string `json:"type,omitempty"`
	// ID is Intercom's id of the contact.
	ID string `json:"id,omitempty"`
	// Phone is a WhatsApp number with its country code, digits only. It is
	// read as a number or a string and written as a number.
	Phone string `json:"phone,omitempty"`
	// Name is the name to show for a WhatsApp number.
	Name string `json:"name,omitempty"`
}

// Recipients are one or several recipients. One is written as an object,
// several as an array.
type Recipients []Recipient

// FromAdmin returns the sender for an admin's id.
func FromAdmin(id int64) *Sender { return &Sender{Type: "admin", ID: id} }

// ToUser returns the recipients that hold one user, by Intercom's contact id.
func ToUser(id string) Recipients { return Recipients{{Type: "user", ID: id}} }

// ToLead returns the recipients that hold one lead, by Intercom's contact id.
func ToLead(id string) Recipients { return Recipients{{Type: "lead", ID: id}} }
