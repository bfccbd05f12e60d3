package intercom

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Messages are read more strictly than encoding/json can: its
// DisallowUnknownFields does not reach into custom unmarshalers, it takes
// "Body" for "body" and the last of two equal names, and its errors quote the
// input. A field that is silently dropped would be a message that says
// something else than its producer meant.

// setter stores one member of an object. Its raw value is valid JSON and not
// null.
type setter func(raw json.RawMessage, path string) error

// fields are the members that an object may have.
type fields map[string]setter

// maxNameLen bounds how much of an unknown field's name an error quotes.
const maxNameLen = 64

// decodeObject hands each member of the valid JSON value raw to its setter.
// Members that are null count as missing. What names the object in errors,
// such as "a recipient".
func decodeObject(raw []byte, path, what string, known fields) error {
	if !isObject(raw) {
		return &ValidationError{Field: orElse(path, "message"), Reason: "must be a JSON object"}
	}
	seen := make(map[string]bool, len(known))
	for name, value := range members(raw) {
		field := join(path, clip(name, maxNameLen))
		set, ok := known[name]
		switch {
		case !ok:
			names := strings.Join(slices.Sorted(maps.Keys(known)), ", ")
			return &ValidationError{Field: field, Reason: "is not a field of " + what + "; its fields are " + names}
		case seen[name]:
			return &ValidationError{Field: field, Reason: "is there twice: keep one"}
		}
		seen[name] = true
		if isNull(value) {
			continue
		}
		if err := set(value, field); err != nil {
			return err
		}
	}
	return nil
}

// decodeArray hands each element of the valid JSON value raw to set.
func decodeArray(raw []byte, path string, set setter) error {
	var elements []json.RawMessage
	if err := json.Unmarshal(raw, &elements); err != nil {
		return &ValidationError{Field: path, Reason: "must be an array"}
	}
	for i, e := range elements {
		if err := set(e, at(path, i)); err != nil {
			return err
		}
	}
	return nil
}

func stringInto(dst *string) setter {
	return func(raw json.RawMessage, path string) error {
		if raw[0] != '"' {
			return &ValidationError{Field: path, Reason: "must be a string"}
		}
		*dst = text(raw)
		return nil
	}
}

func boolInto(dst *bool) setter {
	return func(raw json.RawMessage, path string) error {
		if json.Unmarshal(raw, dst) != nil {
			return &ValidationError{Field: path, Reason: "must be true or false"}
		}
		return nil
	}
}

func secondsInto(dst *int64) setter {
	return func(raw json.RawMessage, path string) error {
		n, err := strconv.ParseInt(string(raw), 10, 64)
		if err != nil {
			return &ValidationError{Field: path, Reason: "must be a whole number: a time in Unix seconds"}
		}
		*dst = n
		return nil
	}
}

// wellFormed tells what is wrong with b as one JSON text of valid UTF-8.
func wellFormed(b []byte, what string) error {
	if !utf8.Valid(b) {
		return &ValidationError{Field: what, Reason: "is not valid UTF-8"}
	}
	if json.Valid(b) {
		return nil
	}
	dec := json.NewDecoder(bytes.NewReader(b))
	var first json.RawMessage
	if err := dec.Decode(&first); err != nil {
		return notJSON(what, err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return &ValidationError{Field: what, Reason: fmt.Sprintf("is followed by more data after byte %d", dec.InputOffset())}
	}
	return nil
}

// notJSON says where a JSON text broke. The parser's own message would quote
// the text.
func notJSON(what string, err error) error {
	if syntax, ok := errors.AsType[*json.SyntaxError](err); ok && syntax.Offset > 0 {
		return &ValidationError{Field: what, Reason: fmt.Sprintf("is not valid JSON: see byte %d", syntax.Offset)}
	}
	return &ValidationError{Field: what, Reason: "is not valid JSON: it ends too early"}
}

// unmarshal reads what json.Unmarshal hands over, which is valid, or any other
// caller of an UnmarshalJSON method.
func unmarshal(b []byte, decode func([]byte) error) error {
	b = bytes.TrimSpace(b)
	if isNull(b) {
		return nil
	}
	if !json.Valid(b) {
		return wellFormed(b, "message")
	}
	return decode(b)
}

func isNull(raw []byte) bool { return string(raw) == "null" }

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}

func at(path string, i int) string { return fmt.Sprintf("%s[%d]", path, i) }

func orElse(s, other string) string {
	if s == "" {
		return other
	}
	return s
}
