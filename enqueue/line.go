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
	"order_key": func(*Request, json.RawMessage) error {
		return invalid("order_key", "is not supported yet: messages are not sent in a promised order; leave it out")
	},
}

// ParseLine reads a request from its JSON form, a line of the input of
// `intercom-dispatch enqueue`:
//
//	{"key":"order-1042","message":{…},"at":"2026-11-22T15:00:00Z","expires_at":…,
//	 "priority":"high","metadata":{"order":"1042"},"contact_wait":"10m","if_uncertain":"hold"}
//
// It refuses unknown fields. The error is an *intercom.ValidationError if a
// field is at fault. The values are not checked further: Enqueue does.
func ParseLine(line []byte) (Request, error) {
	var r Request
	// encoding/json would replace what is not, and so make two keys one.
	if !utf8.Valid(line) {
		return r, errors.New("not valid UTF-8: encode the line as UTF-8")
	}
	var fields map[string]json.RawMessage
	dec := json.NewDecoder(bytes.NewReader(line))
	if err := dec.Decode(&fields); err != nil {
		return r, fmt.Errorf("not a JSON object%s", jsonReason(err))
	}
	// More would not see a bracket too many.
	if _, err := dec.Token(); fields == nil || !errors.Is(err, io.EOF) {
		return r, fmt.Errorf("not one JSON object: a line holds one message")
	}
	// In order, so that the same line gets the same error every time.
	names := make([]string, 0, len(fields))
	for name := range fields {
		names = append(names, name)
	}
	slices.Sort(names)
	var err error
	for _, name := range names {
		read, known := lineFields[name]
		switch {
		case !known:
			err = invalidf(cut(name), "is not a field of a line; fields are key, message, at, expires_at, priority, metadata, contact_wait, if_uncertain")
		case !bytes.Equal(fields[name], []byte("null")):
			err = read(&r, fields[name])
		}
		// The key is wanted also for a line that is refused.
		if err != nil {
			_ = readString("key", fields["key"], &r.Key)
			return Request{Key: r.Key}, err
		}
	}
	return r, nil
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
	if len(v) == 0 {
		return nil
	}
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
