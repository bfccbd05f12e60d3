package intercom

import (
	"encoding/json"
	"iter"
	"strings"
	"unicode/utf8"
)

// encoding/json looks at each byte again for every level and for every member
// of an object, which was most of what reading a message cost. What is known to
// be valid is taken apart here instead.

// Members returns the names and values of a JSON object's members in their
// order, also where a name is there twice, which encoding/json does not tell.
// The values are parts of object. It returns false for what is not one valid
// JSON object.
func Members(object []byte) (iter.Seq2[string, json.RawMessage], bool) {
	if !json.Valid(object) || !isObject(object) {
		return nil, false
	}
	return members(object), true
}

// members may panic for what is not a valid object.
func members(object []byte) iter.Seq2[string, json.RawMessage] {
	return func(yield func(string, json.RawMessage) bool) {
		rest := trim(trim(object)[1:])
		for rest[0] != '}' {
			n := stringLen(rest)
			name := text(rest[:n])
			rest = trim(trim(rest[n:])[1:]) // the colon
			n = valueLen(rest)
			if !yield(name, json.RawMessage(rest[:n:n])) {
				return
			}
			if rest = trim(rest[n:]); rest[0] == ',' {
				rest = trim(rest[1:])
			}
		}
	}
}

func isObject(value []byte) bool {
	value = trim(value)
	return len(value) > 0 && value[0] == '{'
}

// text returns what a valid JSON string says, as encoding/json reads it.
func text(raw []byte) string {
	s := string(raw[1 : len(raw)-1])
	if strings.IndexByte(s, '\\') < 0 && utf8.ValidString(s) {
		return s
	}
	_ = json.Unmarshal(raw, &s) // It is valid.
	return s
}

func trim(b []byte) []byte {
	for i, c := range b {
		if c != ' ' && c != '\t' && c != '\n' && c != '\r' {
			return b[i:]
		}
	}
	return nil
}

// valueLen returns the length of the value that b begins with.
func valueLen(b []byte) int {
	switch b[0] {
	case '"':
		return stringLen(b)
	case '{', '[':
		return nestedLen(b)
	}
	for i, c := range b {
		switch c {
		case ',', '}', ']', ' ', '\t', '\n', '\r':
			return i
		}
	}
	return len(b)
}

func stringLen(b []byte) int {
	for i := 1; ; i++ {
		switch b[i] {
		case '\\':
			i++
		case '"':
			return i + 1
		}
	}
}

func nestedLen(b []byte) int {
	depth := 0
	for i := 0; ; i++ {
		switch b[i] {
		case '"':
			i += stringLen(b[i:]) - 1
		case '{', '[':
			depth++
		case '}', ']':
			if depth--; depth == 0 {
				return i + 1
			}
		}
	}
}
