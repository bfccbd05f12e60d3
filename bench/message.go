package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/intercom-dispatch/intercom-dispatch/intercom"
)

// messageBytes is how long the JSON of a message is.
const messageBytes = 300

// item is a message to enqueue. The fake knows it by its number.
type item struct {
	number  int
	key     string
	message *intercom.Message
	at      time.Time // zero for at once
}

// newItems returns n items with the numbers from first on.
func newItems(first, n int) ([]item, error) {
	items := make([]item, n)
	for i := range items {
		key, err := uuid.NewV7()
		if err != nil {
			return nil, err
		}
		m, err := newMessage(first + i)
		if err != nil {
			return nil, err
		}
		items[i] = item{number: first + i, key: key.String(), message: m}
	}
	return items, nil
}

// bodyStart begins the body of each message; the number follows.
const bodyStart = `"body":"#`

const numberDigits = 8

func newMessage(number int) (*intercom.Message, error) {
	m := &intercom.Message{
		MessageType: intercom.InAppShort,
		Body:        fmt.Sprintf("#%0*d ", numberDigits, number),
		From:        intercom.FromAdmin(394051),
		To:          intercom.ToUser(fmt.Sprintf("536e564f316c83104c%06x", number%(1<<24))),
	}
	text, err := json.Marshal(m)
	if err != nil {
		return nil, err
	}
	m.Body += strings.Repeat("x", messageBytes-len(text))
	return m, nil
}

// numberOf reads a message's number from its JSON, without the cost of
// decoding it.
func numberOf(body []byte) (number int, text []byte, ok bool) {
	i := bytes.Index(body, []byte(bodyStart))
	if i < 0 {
		return 0, nil, false
	}
	text = body[i+len(bodyStart)-1:]
	end := bytes.IndexByte(text, '"')
	if end <= numberDigits {
		return 0, nil, false
	}
	for _, c := range text[1 : 1+numberDigits] {
		if c < '0' || c > '9' {
			return 0, nil, false
		}
		number = number*10 + int(c-'0')
	}
	return number, text[:end], true
}
