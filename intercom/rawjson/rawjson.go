// Package rawjson takes objects apart that are known to be valid JSON.
// encoding/json looks at each byte again for every level and for every member,
// which was most of what reading a message cost.
package rawjson

import (
	"encoding/json"
	"iter"
	"strings"
	"unicode/utf8"
)

// Members returns the names and values of an object's members in their order,
// also where a name is there twice. The object must be one for which
// [json.Valid] is true; otherwise it may panic. The values are parts of it,
// without white space around them.
func Members(object []byte) iter.Seq2[string, json.RawMessage] {
	return func(yield func(string, json.RawMessage) bool) {
		rest := trim(trim(object)[1:])
		for rest[0] != '}' {
			n := stringLen(rest)
			name := String(rest[:n])
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

// IsObject tells whether valid JSON is an object.
func IsObject(value []byte) bool {
	value = trim(value)
	return len(value) > 0 && value[0] == '{'
}

// String returns the text of a valid JSON string, as encoding/json reads it.
func String(raw []byte) string {
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
