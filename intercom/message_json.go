package intercom

import (
	"bytes"
	"encoding/json"
	"strconv"
	"strings"
)

// ParseMessage reads one message as JSON. What Intercom's request does not
// have is refused, at every level, so that a misspelt field is an error rather
// than a message without it. The error is a [*ValidationError] that names the
// field and never quotes its text. A field that is null counts as missing.
//
// The message is read, not checked: see [Message.Validate].
func ParseMessage(b []byte) (*Message, error) {
	if err := wellFormed(b, "message"); err != nil {
		return nil, err
	}
	var m Message
	if err := m.decode(b); err != nil {
		return nil, err
	}
	return &m, nil
}

// UnmarshalJSON reads a message as strictly as [ParseMessage] does.
func (m *Message) UnmarshalJSON(b []byte) error {
	return unmarshal(b, m.decode)
}

func (m *Message) decode(b []byte) error {
	var read Message
	err := decodeObject(b, "", "a message", fields{
		"message_type": stringInto(&read.MessageType),
		"subject":      stringInto(&read.Subject),
		"body":         stringInto(&read.Body),
		"template":     stringInto(&read.Template),
		"locale":       stringInto(&read.Locale),
		"components":   componentsInto(&read.Components),
		"from":         senderInto(&read.From),
		"to":           recipientsInto(&read.To),
		"cc":           recipientsInto(&read.CC),
		"bcc":          recipientsInto(&read.BCC),
		"created_at":   secondsInto(&read.CreatedAt),
		"create_conversation_without_contact_reply": boolInto(&read.CreateConversationWithoutContactReply),
	})
	if err != nil {
		return err
	}
	*m = read
	return nil
}

func componentsInto(dst *[]json.RawMessage) setter {
	return func(raw json.RawMessage, path string) error {
		return decodeArray(raw, path, func(raw json.RawMessage, _ string) error {
			*dst = append(*dst, raw)
			return nil
		})
	}
}

func senderInto(dst **Sender) setter {
	return func(raw json.RawMessage, path string) error {
		*dst = new(Sender)
		return (*dst).decode(raw, path)
	}
}

// UnmarshalJSON reads an object of type and id; the id is an integer or a
// string of digits. Unknown fields are a [*ValidationError].
func (s *Sender) UnmarshalJSON(b []byte) error {
	return unmarshal(b, func(raw []byte) error { return s.decode(raw, "from") })
}

func (s *Sender) decode(raw []byte, path string) error {
	var read Sender
	err := decodeObject(raw, path, "a sender", fields{
		"type": stringInto(&read.Type),
		"id":   adminIDInto(&read.ID),
	})
	if err != nil {
		return err
	}
	*s = read
	return nil
}

func adminIDInto(dst *int64) setter {
	return func(raw json.RawMessage, path string) error {
		text, err := stringOrInteger(raw)
		if err == nil && text != "" {
			*dst, err = strconv.ParseInt(text, 10, 64)
		}
		if err != nil {
			return &ValidationError{Field: path, Reason: "must be an admin's id: a whole number, or one in quotes"}
		}
		return nil
	}
}

func recipientsInto(dst *Recipients) setter {
	return func(raw json.RawMessage, path string) error { return dst.decode(raw, path) }
}

// MarshalJSON writes one recipient as an object and several as an array.
// Versions of Intercom's API before 2.14 know only the object.
func (r Recipients) MarshalJSON() ([]byte, error) {
	switch len(r) {
	case 0:
		return []byte("null"), nil
	case 1:
		return json.Marshal(r[0])
	default:
		return json.Marshal([]Recipient(r))
	}
}

// UnmarshalJSON reads one object or an array of them. Unknown fields are a
// [*ValidationError].
func (r *Recipients) UnmarshalJSON(b []byte) error {
	if isNull(bytes.TrimSpace(b)) {
		*r = nil
		return nil
	}
	return unmarshal(b, func(raw []byte) error { return r.decode(raw, "recipients") })
}

func (r *Recipients) decode(raw []byte, path string) error {
	var read Recipients
	one := func(raw json.RawMessage, path string) error {
		var p Recipient
		if err := p.decode(raw, path); err != nil {
			return err
		}
		read = append(read, p)
		return nil
	}
	var err error
	switch raw[0] {
	case '{':
		err = one(raw, path)
	case '[':
		err = decodeArray(raw, path, one)
	default:
		err = &ValidationError{Field: path, Reason: "must be a recipient or an array of recipients"}
	}
	if err != nil {
		return err
	}
	*r = read
	return nil
}

// MarshalJSON writes the phone as a number, as Intercom's examples have it. A
// phone that is none is written as it is, for [Message.Validate] to refuse.
func (r Recipient) MarshalJSON() ([]byte, error) {
	wire := struct {
		Type  string `json:"type,omitempty"`
		ID    string `json:"id,omitempty"`
		Phone any    `json:"phone,omitempty"`
		Name  string `json:"name,omitempty"`
	}{Type: r.Type, ID: r.ID, Name: r.Name}
	switch {
	case isPhone(r.Phone):
		wire.Phone = json.Number(r.Phone)
	case r.Phone != "":
		wire.Phone = r.Phone
	}
	return json.Marshal(wire)
}

// UnmarshalJSON reads a recipient. Its phone is a number or a string, which
// may begin with a plus sign. Unknown fields are a [*ValidationError].
func (r *Recipient) UnmarshalJSON(b []byte) error {
	return unmarshal(b, func(raw []byte) error { return r.decode(raw, "recipient") })
}

func (r *Recipient) decode(raw []byte, path string) error {
	var read Recipient
	err := decodeObject(raw, path, "a recipient", fields{
		"type":  stringInto(&read.Type),
		"id":    stringInto(&read.ID),
		"phone": phoneInto(&read.Phone),
		"name":  stringInto(&read.Name),
	})
	if err != nil {
		return err
	}
	*r = read
	return nil
}

func phoneInto(dst *string) setter {
	return func(raw json.RawMessage, path string) error {
		text, err := stringOrInteger(raw)
		if err != nil {
			return &ValidationError{Field: path, Reason: "must be a number, or a string of digits"}
		}
		*dst = strings.TrimPrefix(text, "+")
		return nil
	}
}

// isPhone tells whether s is a number as E.164 has it, without the plus sign:
// a country code, which never begins with 0, and at most 15 digits in all.
func isPhone(s string) bool {
	return len(s) >= 7 && len(s) <= 15 && s[0] != '0' &&
		strings.IndexFunc(s, func(r rune) bool { return r < '0' || r > '9' }) < 0
}
