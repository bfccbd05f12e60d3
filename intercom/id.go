package intercom

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"
)

// ID is an identifier as Intercom gives it. Intercom writes the same ids as
// JSON strings in some places and as numbers in others; both are read, null
// is read as the empty ID, and a string is written.
type ID string

// UnmarshalJSON reads a JSON string, an integer or null.
func (i *ID) UnmarshalJSON(b []byte) error {
	s, err := stringOrInteger(b)
	if err != nil {
		return fmt.Errorf("id: %w", err)
	}
	*i = ID(s)
	return nil
}

// UnixTime is a time in seconds since 1970 as Intercom gives it, as a JSON
// number or a string of digits. Zero means that there was none.
type UnixTime int64

// UnmarshalJSON reads an integer, a string of digits or null.
func (t *UnixTime) UnmarshalJSON(b []byte) error {
	s, err := stringOrInteger(b)
	if err != nil {
		return fmt.Errorf("time: %w", err)
	}
	if s == "" {
		*t = 0
		return nil
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		return errors.New("time: not in Unix seconds")
	}
	*t = UnixTime(n)
	return nil
}

// Time returns the time in UTC, or the zero [time.Time] where there was none.
func (t UnixTime) Time() time.Time {
	if t == 0 {
		return time.Time{}
	}
	return time.Unix(int64(t), 0).UTC()
}

func stringOrInteger(b []byte) (string, error) {
	b = bytes.TrimSpace(b)
	if bytes.Equal(b, []byte("null")) {
		return "", nil
	}
	if len(b) > 0 && b[0] == '"' {
		var s string
		if err := json.Unmarshal(b, &s); err != nil {
			return "", err
		}
		return s, nil
	}
	// The value is not quoted: it may be a message's text in the wrong place.
	if _, err := strconv.ParseInt(string(b), 10, 64); err != nil {
		return "", errors.New("want a string or an integer")
	}
	return string(b), nil
}
