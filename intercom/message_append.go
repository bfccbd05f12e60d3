package intercom

import (
	"encoding/json"
	"strconv"
	"unicode/utf8"
)

// What encoding/json does by reflection is a large part of what enqueueing a
// message costs, most of it for the recipients, which it marshals, checks and
// copies. Digests of messages are kept in Redis, so what is written here must
// be the same to the byte.

// appendJSON appends what json.Marshal returns for a message that is valid.
func (m *Message) appendJSON(b []byte) ([]byte, error) {
	if m.MessageType == WhatsApp {
		// Its components are JSON of others.
		encoded, err := json.Marshal(m)
		return append(b, encoded...), err
	}
	b = appendString(append(b, `{"message_type":`...), m.MessageType)
	b = appendMember(b, `,"subject":`, m.Subject)
	b = appendMember(b, `,"body":`, m.Body)
	b = appendMember(b, `,"template":`, m.Template)
	b = appendString(append(b, `,"from":{"type":`...), m.From.Type)
	b = strconv.AppendInt(append(b, `,"id":`...), m.From.ID, 10)
	b = m.To.appendJSON(append(b, `},"to":`...))
	if len(m.CC) > 0 {
		b = m.CC.appendJSON(append(b, `,"cc":`...))
	}
	if len(m.BCC) > 0 {
		b = m.BCC.appendJSON(append(b, `,"bcc":`...))
	}
	if m.CreatedAt != 0 {
		b = strconv.AppendInt(append(b, `,"created_at":`...), m.CreatedAt, 10)
	}
	if m.CreateConversationWithoutContactReply {
		b = append(b, `,"create_conversation_without_contact_reply":true`...)
	}
	return append(b, '}'), nil
}

// appendJSON appends contacts, which have type and id only.
func (r Recipients) appendJSON(b []byte) []byte {
	if len(r) == 1 {
		return r[0].appendJSON(b)
	}
	for i, one := range r {
		b = one.appendJSON(append(b, "[,"[min(i, 1)]))
	}
	return append(b, ']')
}

func (r Recipient) appendJSON(b []byte) []byte {
	b = appendString(append(b, `{"type":`...), r.Type)
	b = appendString(append(b, `,"id":`...), r.ID)
	return append(b, '}')
}

// appendMember appends a member that is left out where it is empty.
func appendMember(b []byte, name, value string) []byte {
	if value == "" {
		return b
	}
	return appendString(append(b, name...), value)
}

// appendString appends a string as JSON.
func appendString(b []byte, s string) []byte {
	if !plain(s) {
		quoted, _ := json.Marshal(s) // Nothing in a string is an error.
		return append(b, quoted...)
	}
	b = append(append(b, '"'), s...)
	return append(b, '"')
}

// plain tells that encoding/json would write s as it is. It may say no where
// that is true: 0xE2 begins U+2028 and U+2029, which are escaped, but other
// characters too.
func plain(s string) bool {
	ascii := true
	for i := range len(s) {
		switch c := s[i]; {
		case c < ' ', c == '"', c == '\\', c == '<', c == '>', c == '&', c == 0xE2:
			return false
		case c >= 0x80:
			ascii = false
		}
	}
	return ascii || utf8.ValidString(s)
}
