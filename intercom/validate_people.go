package intercom

import (
	"strings"
	"unicode/utf8"
)

func (m *Message) checkSender() error {
	switch {
	case m.From == nil:
		return &ValidationError{Field: "from", Reason: `is required: the admin that sends, such as {"type":"admin","id":394051}`}
	case m.From.Type != "admin":
		return &ValidationError{Field: "from.type", Reason: "must be admin: only admins send messages"}
	case m.From.ID <= 0:
		return &ValidationError{Field: "from.id", Reason: "is required: the admin's id, a positive number"}
	}
	return nil
}

func (m *Message) checkRecipients() error {
	if len(m.To) == 0 {
		return &ValidationError{Field: "to", Reason: "is required: at least one recipient"}
	}
	check := checkContact
	if m.MessageType == WhatsApp {
		check = checkNumber
	}
	for _, list := range []struct {
		field string
		of    Recipients
	}{{"to", m.To}, {"cc", m.CC}, {"bcc", m.BCC}} {
		for i, r := range list.of {
			path := list.field
			if len(list.of) > 1 {
				path = at(path, i)
			}
			if err := checkRecipientText(r, path); err != nil {
				return err
			}
			if err := check(r, path); err != nil {
				return err
			}
		}
	}
	return nil
}

func checkRecipientText(r Recipient, path string) error {
	switch {
	case !utf8.ValidString(r.ID):
		return notUTF8(path + ".id")
	case !utf8.ValidString(r.Name):
		return notUTF8(path + ".name")
	}
	return nil
}

// checkContact holds a recipient of an in-app message or an email against the
// rules.
func checkContact(r Recipient, path string) error {
	switch {
	case r.Phone != "":
		return &ValidationError{Field: path + ".phone", Reason: "is for WhatsApp only: give the contact's type and id"}
	case r.Name != "":
		return &ValidationError{Field: path + ".name", Reason: "is for WhatsApp only: remove it, Intercom knows the contact's name"}
	case r.Type == "":
		return &ValidationError{Field: path + ".type", Reason: "is required: user or lead"}
	case !isRole(r.Type):
		return &ValidationError{Field: path + ".type", Reason: "must be user or lead"}
	case strings.TrimSpace(r.ID) == "":
		return &ValidationError{Field: path + ".id", Reason: "is required: Intercom's id of the contact"}
	}
	return nil
}

// checkNumber holds a recipient of a WhatsApp message against the rules.
func checkNumber(r Recipient, path string) error {
	switch {
	case r.Phone == "":
		return &ValidationError{Field: path + ".phone", Reason: "is required: the WhatsApp number with its country code"}
	case !isPhone(r.Phone):
		return &ValidationError{Field: path + ".phone", Reason: "must be 7 to 15 digits that begin with the country code, without +, 00, spaces or dashes"}
	case r.Type != "" && !isRole(r.Type):
		return &ValidationError{Field: path + ".type", Reason: "must be user or lead, or be left out"}
	}
	return nil
}

func isRole(s string) bool { return s == "user" || s == "lead" }
