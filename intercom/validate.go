package intercom

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// MaxMessageBytes is the length that a message may have as JSON, in bytes. It
// is our limit, not Intercom's: asynq writes the payloads of all active tasks
// to Redis every five seconds.
const MaxMessageBytes = 1 << 20

// Validate holds the message against Intercom's rules and returns the first
// problem as a [*ValidationError], or nil. It looks at the message alone:
// whether the admin and the contacts exist only Intercom can tell.
func (m *Message) Validate() error {
	_, err := m.Encode()
	return err
}

// Encode returns the message as the JSON that Intercom gets, which is that of
// encoding/json, or the error of [Message.Validate].
func (m *Message) Encode() ([]byte, error) {
	if m == nil {
		return nil, &ValidationError{Field: "message", Reason: "is required"}
	}
	for _, check := range []func() error{
		m.checkType, m.checkText, m.checkContent, m.checkSender, m.checkRecipients, m.checkTime,
	} {
		if err := check(); err != nil {
			return nil, err
		}
	}
	b, err := m.appendJSON(make([]byte, 0, len(m.Subject)+len(m.Body)+256))
	if err != nil {
		return nil, &ValidationError{Field: "message", Reason: "cannot be written as JSON"}
	}
	if len(b) > MaxMessageBytes {
		return nil, &ValidationError{Field: "message", Reason: fmt.Sprintf(
			"is %d bytes long as JSON and may be %d: shorten it, or link to the long part", len(b), MaxMessageBytes)}
	}
	return b, nil
}

func (m *Message) checkType() error {
	switch m.MessageType {
	case InApp, InAppShort, Email, WhatsApp:
		return nil
	case "":
		return &ValidationError{Field: "message_type", Reason: "is required: one of in_app, inapp, email and whatsapp"}
	default:
		return &ValidationError{Field: "message_type", Reason: "must be one of in_app, inapp, email and whatsapp"}
	}
}

// checkText refuses invalid UTF-8, which encoding/json would replace without a
// word.
func (m *Message) checkText() error {
	texts := []struct{ field, text string }{
		{"subject", m.Subject},
		{"body", m.Body},
		{"template", m.Template},
		{"locale", m.Locale},
	}
	for i, c := range m.Components {
		texts = append(texts, struct{ field, text string }{at("components", i), string(c)})
	}
	for _, t := range texts {
		if !utf8.ValidString(t.text) {
			return notUTF8(t.field)
		}
	}
	return nil
}

func (m *Message) checkContent() error {
	switch m.MessageType {
	case WhatsApp:
		return m.checkWhatsApp()
	case Email:
		return m.checkEmail()
	default:
		return m.checkInApp()
	}
}

func (m *Message) checkInApp() error {
	if err := needed("body", m.Body, "an in-app message needs text"); err != nil {
		return err
	}
	if m.Template != "" {
		if err := m.checkStyle(); err != nil {
			return err
		}
	}
	return m.checkNoTemplateParts()
}

func (m *Message) checkEmail() error {
	if err := needed("subject", m.Subject, "an email needs a subject line"); err != nil {
		return err
	}
	if err := needed("body", m.Body, "an email needs text"); err != nil {
		return err
	}
	if err := needed("template", m.Template, "plain or personal"); err != nil {
		return err
	}
	if err := m.checkStyle(); err != nil {
		return err
	}
	return m.checkNoTemplateParts()
}

func (m *Message) checkStyle() error {
	if m.Template != "plain" && m.Template != "personal" {
		return &ValidationError{Field: "template", Reason: "must be plain or personal"}
	}
	return nil
}

// checkNoTemplateParts refuses what only a WhatsApp template has.
func (m *Message) checkNoTemplateParts() error {
	const reason = "belongs to a WhatsApp template: remove it, or set message_type to whatsapp"
	switch {
	case m.Locale != "":
		return &ValidationError{Field: "locale", Reason: reason}
	case len(m.Components) > 0:
		return &ValidationError{Field: "components", Reason: reason}
	}
	return nil
}

func (m *Message) checkTime() error {
	if m.CreatedAt < 0 {
		return &ValidationError{Field: "created_at", Reason: "must not be negative: give Unix seconds, or leave it out for now"}
	}
	return nil
}

func needed(field, value, wayOut string) error {
	if strings.TrimSpace(value) == "" {
		return &ValidationError{Field: field, Reason: "is required: " + wayOut}
	}
	return nil
}

func notUTF8(field string) error {
	return &ValidationError{Field: field, Reason: "is not valid UTF-8: encode the text as UTF-8"}
}
