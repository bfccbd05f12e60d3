package intercomtest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// object is a JSON object by its exact keys. A struct would take keys in any
// case, which Intercom does not.
type object map[string]json.RawMessage

// messageRequest is the body of POST /messages.
type messageRequest struct {
	messageType, subject, body, template string
	from                                 *sender
	to, cc, bcc                          recipientList
	components                           []json.RawMessage
	createdAt                            int64
	openConversation                     bool
}

type sender struct{ typ, id string }

type recipient struct{ typ, id, phone, name string }

// recipientList is one recipient or an array of them.
type recipientList struct {
	list  []recipient
	array bool
}

// decodeMessage reads a request's JSON. Whether the message makes sense is
// decided by its check.
func decodeMessage(body []byte) (*messageRequest, *failure) {
	doc, fail := decodeObject(body)
	if fail != nil {
		return nil, fail
	}
	d := decoder{doc: doc}
	m := &messageRequest{
		messageType:      read[string](&d, "message_type"),
		subject:          read[string](&d, "subject"),
		body:             read[string](&d, "body"),
		template:         read[string](&d, "template"),
		components:       read[[]json.RawMessage](&d, "components"),
		createdAt:        read[int64](&d, "created_at"),
		openConversation: read[bool](&d, "create_conversation_without_contact_reply"),
		from:             d.sender(),
		to:               d.recipients("to"),
		cc:               d.recipients("cc"),
		bcc:              d.recipients("bcc"),
	}
	return m, d.fail
}

func decodeObject(body []byte) (object, *failure) {
	var doc object
	err := json.Unmarshal(body, &doc)
	if _, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		return nil, badRequest("bad_request", "Request body must be a JSON object", "")
	}
	if err != nil {
		return nil, badRequest("bad_request", "Request body is not valid JSON", "")
	}
	return doc, nil
}

// decoder reads the fields of an object and keeps the first thing that was
// wrong with them.
type decoder struct {
	doc  object
	fail *failure
}

func (d *decoder) reject(field, want string) {
	if d.fail == nil {
		d.fail = invalid(field, fmt.Sprintf("%s must be %s", field, want))
	}
}

// read returns a field, or the zero value where it is missing or null.
func read[T any](d *decoder, field string) T {
	var v T
	raw, ok := d.doc[field]
	if !ok {
		return v
	}
	if err := json.Unmarshal(raw, &v); err != nil {
		d.reject(field, kindOf(v))
	}
	return v
}

func kindOf(v any) string {
	switch v.(type) {
	case string:
		return "a string"
	case bool:
		return "a boolean"
	case int64, int:
		return "an integer"
	}
	return "an array"
}

func (d *decoder) sender() *sender {
	raw, ok := d.doc["from"]
	if !ok || isNull(raw) {
		return nil
	}
	var from object
	if json.Unmarshal(raw, &from) != nil {
		d.reject("from", "an object")
		return nil
	}
	inner := decoder{doc: from}
	s := &sender{typ: read[string](&inner, "type"), id: inner.stringOrInteger("id")}
	if inner.fail != nil {
		d.reject("from."+inner.fail.field, "valid")
	}
	return s
}

func (d *decoder) recipients(field string) recipientList {
	raw, ok := d.doc[field]
	if !ok || isNull(raw) {
		return recipientList{}
	}
	if raw[0] != '[' {
		return recipientList{list: []recipient{d.recipient(field, raw)}}
	}
	var items []json.RawMessage
	if json.Unmarshal(raw, &items) != nil {
		d.reject(field, "an array")
	}
	l := recipientList{array: true}
	for i, item := range items {
		l.list = append(l.list, d.recipient(fmt.Sprintf("%s[%d]", field, i), item))
	}
	return l
}

func (d *decoder) recipient(field string, raw json.RawMessage) recipient {
	var doc object
	if isNull(raw) || json.Unmarshal(raw, &doc) != nil {
		d.reject(field, "an object")
		return recipient{}
	}
	inner := decoder{doc: doc}
	r := recipient{
		typ:   read[string](&inner, "type"),
		id:    read[string](&inner, "id"),
		name:  read[string](&inner, "name"),
		phone: inner.stringOrInteger("phone"),
	}
	if inner.fail != nil {
		d.reject(field+"."+inner.fail.field, "valid")
	}
	return r
}

// stringOrInteger reads what Intercom writes as either.
func (d *decoder) stringOrInteger(field string) string {
	raw, ok := d.doc[field]
	if !ok || isNull(raw) {
		return ""
	}
	if raw[0] == '"' {
		return read[string](d, field)
	}
	n, err := strconv.ParseInt(string(raw), 10, 64)
	if err != nil {
		d.reject(field, "a string or an integer")
		return ""
	}
	return strconv.FormatInt(n, 10)
}

func isNull(raw json.RawMessage) bool { return bytes.Equal(raw, []byte("null")) }

// recipients returns whom the message goes to, for the log. The request may be
// one that could not be read.
func (m *messageRequest) recipients() Recipients {
	if m == nil {
		return Recipients{}
	}
	return Recipients{To: m.to.names(), CC: m.cc.names(), BCC: m.bcc.names()}
}

func (l recipientList) names() []string {
	var names []string
	for _, r := range l.list {
		if r.id != "" {
			names = append(names, r.id)
		} else if r.phone != "" {
			names = append(names, r.phone)
		}
	}
	return names
}

func blank(s string) bool { return strings.TrimSpace(s) == "" }
