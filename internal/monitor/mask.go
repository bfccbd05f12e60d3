package monitor

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strings"
)

// longText is the size in bytes from which a string is taken for text under
// whatever key it stands. Ids, keys and times are shorter.
const longText = 128

// format is what the UI shows in place of a payload or result.
func format(_ string, payload []byte) string {
	if len(payload) == 0 {
		return ""
	}
	v, err := decode(payload)
	if err != nil {
		return fmt.Sprintf("%d bytes that are not JSON", len(payload))
	}
	// A value without a key may be anything.
	if s, ok := v.(string); ok {
		return hide(s)
	}
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(mask(v)); err != nil {
		return fmt.Sprintf("%d bytes that cannot be shown", len(payload))
	}
	return strings.TrimSuffix(out.String(), "\n")
}

func decode(payload []byte) (any, error) {
	dec := json.NewDecoder(bytes.NewReader(payload))
	// Ids may have more digits than a float has.
	dec.UseNumber()
	var v any
	if err := dec.Decode(&v); err != nil {
		return nil, err
	}
	if _, err := dec.Token(); err != io.EOF {
		return nil, fmt.Errorf("something follows the value: %w", err)
	}
	return v, nil
}

// mask hides what stands under private keys, at any depth, and long strings.
func mask(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for key, value := range v {
			if private(key) {
				v[key] = maskAll(value)
			} else {
				v[key] = mask(value)
			}
		}
	case []any:
		for i := range v {
			v[i] = mask(v[i])
		}
	case string:
		if len(v) >= longText {
			return hide(v)
		}
	}
	return v
}

// maskAll hides every string and number below a private key. Types are kept:
// they tell a WhatsApp component's shape and come from a short list.
func maskAll(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for key, value := range v {
			if kind, ok := value.(string); ok && key == "type" && len(kind) < longText {
				continue
			}
			v[key] = maskAll(value)
		}
	case []any:
		for i := range v {
			v[i] = maskAll(v[i])
		}
	case string:
		return hide(v)
	case json.Number:
		return hide(v.String())
	}
	return v
}

// private tells whether a key holds what a message says or who a person is, in
// our own payloads or in Intercom's notifications. Go's decoder does not look
// at the case of keys, so neither does this.
func private(key string) bool {
	switch strings.ToLower(key) {
	case "body", "subject", "text", "html", "title", "url",
		"name", "first_name", "last_name", "display_name", "email", "phone", "phone_number",
		"components", "parameters", "attachments", "custom_attributes", "location":
		return true
	}
	return false
}

func hide(s string) string {
	if s == "" {
		return s
	}
	return fmt.Sprintf("•••• (%d bytes)", len(s))
}
