package enqueue

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"
	"unicode/utf8"

	"github.com/intercom-dispatch/intercom-dispatch/intercom"
)

// lineFields read the fields of a request's JSON form.
var lineFields = map[string]func(*Request, json.RawMessage) error{
	"key":          func(r *Request, v json.RawMessage) error { return readString("key", v, &r.Key) },
	"message":      readMessage,
	"at":           func(r *Request, v json.RawMessage) error { return readTime("at", v, &r.At) },
	"expires_at":   func(r *Request, v json.RawMessage) error { return readTime("expires_at", v, &r.ExpiresAt) },
	"priority":     func(r *Request, v json.RawMessage) error { return readString("priority", v, (*string)(&r.Priority)) },
	"metadata":     readMetadata,
	"contact_wait": readContactWait,
	"if_uncertain": func(r *Request, v json.RawMessage) error {
		return readString("if_uncertain", v, (*string)(&r.IfUncertain))
	},
	"order_key": func(r *Request, v json.RawMessage) error { return readString("order_key", v, &r.OrderKey) },
	"if_held":   func(r *Request, v json.RawMessage) error { return readString("if_held", v, (*string)(&r.IfHeld)) },
}

// ParseLine reads a request from its JSON form, a line of the input of
// `intercom-dispatch enqueue`:
//
//	{"key":"order-1042","message":{…},"at":"2026-11-22T15:00:00Z","expires_at":…,
//	 "priority":"high","metadata":{"order":"1042"},"contact_wait":"10m","if_uncertain":"hold",
//	 "order_key":"contact-7","if_held":"pass"}
//
// It refuses unknown fields. The error is an *intercom.ValidationError if a
// field is at fault. The values are not checked further: Enqueue does.
func ParseLine(line []byte) (Request, error) {
	var r Request
	// encoding/json would replace what is not, and so make two keys one.
	if !utf8.Valid(line) {
		return r, errors.New("not valid UTF-8: encode the line as UTF-8")
	}
	members, ok := intercom.Members(line)
	if !ok {
		return r, notOneObject(line)
	}
	var fields lineObject
	for name, value := range members {
		fields = append(fields, lineField{name, value})
	}
	for i, f := range fields {
		if err := readField(&r, f, fields[:i]); err != nil {
			// The key is wanted also for a line that is refused.
			return Request{Key: fields.key()}, err
		}
	}
	return r, nil
}

func readField(r *Request, f lineField, before lineObject) error {
	read, known := lineFields[f.name]
	switch {
	case !known:
		return invalidf(cut(f.name), "is not a field of a line; fields are key, message, at, expires_at, priority, metadata, contact_wait, if_uncertain, order_key, if_held")
	case before.has(f.name):
		return invalidf(f.name, "is there twice: keep one")
	case isNull(f.value):
		return nil
	}
	return read(r, f.value)
}

func isNull(v json.RawMessage) bool { return string(v) == "null" }

// lineObject is the fields of a line in their order. encoding/json by itself
// would take the last of two with one name.
type lineObject []lineField

type lineField struct {
	name  string
	value json.RawMessage
}

// notOneObject says what a line is instead of one JSON object.
func notOneObject(line []byte) error {
	var fields map[string]json.RawMessage
	if err := json.NewDecoder(bytes.NewReader(line)).Decode(&fields); err != nil {
		return fmt.Errorf("not a JSON object%s", jsonReason(err))
	}
	return errors.New("not one JSON object: a line holds one message")
}

func (o lineObject) has(name string) bool {
	return slices.ContainsFunc(o, func(f lineField) bool { return f.name == name })
}

// key returns the line's key, or "" if it has none that can be read.
func (o lineObject) key() string {
	var key string
	for _, f := range o {
		if f.name == "key" {
			_ = readString("key", f.value, &key)
		}
	}
	return key
}

func readMessage(r *Request, v json.RawMessage) error {
	m, err := intercom.ParseMessage(v)
	if err != nil {
		return withinMessage(err)
	}
	r.Message = m
	return nil
}

func readMetadata(r *Request, v json.RawMessage) error {
	if err := json.Unmarshal(v, &r.Metadata); err != nil {
		return invalid("metadata", "must be an object whose values are strings")
	}
	return nil
}

func readContactWait(r *Request, v json.RawMessage) error {
	var s string
	if err := readString("contact_wait", v, &s); err != nil {
		return invalid("contact_wait", `must be a string such as "90s", "10m" or "2h"`)
	}
	d, err := time.ParseDuration(s)
	if err != nil {
		return invalidf("contact_wait", "%.40q is not a duration such as 90s, 10m or 2h", s)
	}
	r.ContactWait = &d
	return nil
}

func readString(field string, v json.RawMessage, into *string) error {
	if err := json.Unmarshal(v, into); err != nil {
		return invalid(field, "must be a string")
	}
	return nil
}

func readTime(field string, v json.RawMessage, into *time.Time) error {
	var s string
	if err := readString(field, v, &s); err != nil {
		return invalid(field, `must be a string such as "2026-11-22T15:00:00Z"`)
	}
	t, err := time.Parse(time.RFC3339Nano, s)
	if err != nil {
		return invalidf(field, "%.40q is not a time such as 2026-11-22T15:00:00Z", s)
	}
	*into = t
	return nil
}

// jsonReason says where a line broke, without quoting it.
func jsonReason(err error) string {
	if e, ok := errors.AsType[*json.SyntaxError](err); ok {
		return fmt.Sprintf(": see byte %d", e.Offset)
	}
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return ": it ends too early"
	}
	if e, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		return ": the line is a JSON " + e.Value
	}
	return ""
}

func cut(s string) string {
	if len(s) > 40 {
		return s[:40] + "…"
	}
	return s
}
