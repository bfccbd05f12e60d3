package openapitest

import (
	"encoding/json"
	"strconv"
)

// direction is which of the two a deviation is found in.
type direction int

const (
	requests direction = iota
	responses
)

// Deviation is a point in which Intercom's documentation, examples or SDKs do
// not keep to its own schema.
type Deviation struct {
	Name   string
	Reason string

	in direction
	// rewrite changes a document so that the schema takes it.
	rewrite func(doc map[string]any)
}

// Deviations returns what is not held against a request or an answer.
func Deviations() []Deviation {
	return []Deviation{
		{
			"message_type inapp", "The request's enum has in_app only; the SDKs send inapp.",
			requests, replaceType("inapp", "in_app"),
		},
		{
			"message_type conversation", "An example has this type, which the enum lacks.",
			requests, replaceType("conversation", "in_app"),
		},
		{
			"from.id as a string", "The schema has an integer, every example a string.",
			requests, numberSender,
		},
		{
			"recipient by phone", "WhatsApp's example has phone and name; the schema wants type and id.",
			requests, identifyPhones,
		},
		{
			"answer's message_type whatsapp", "The answer's enum was not extended when WhatsApp was.",
			responses, replaceType("whatsapp", "inapp"),
		},
	}
}

// rewrite applies the deviations of one direction to a document. What is not a
// JSON object is left alone.
func rewrite(body []byte, in direction) []byte {
	var doc map[string]any
	if json.Unmarshal(body, &doc) != nil || doc["message_type"] == nil {
		return body
	}
	for _, d := range Deviations() {
		if d.in == in {
			d.rewrite(doc)
		}
	}
	rewritten, err := json.Marshal(doc)
	if err != nil {
		return body
	}
	return rewritten
}

func replaceType(from, to string) func(map[string]any) {
	return func(doc map[string]any) {
		if doc["message_type"] == from {
			doc["message_type"] = to
		}
	}
}

func numberSender(doc map[string]any) {
	from, ok := doc["from"].(map[string]any)
	if !ok {
		return
	}
	id, ok := from["id"].(string)
	if !ok {
		return
	}
	if n, err := strconv.ParseInt(id, 10, 64); err == nil {
		from["id"] = n
	}
}

func identifyPhones(doc map[string]any) {
	list, ok := doc["to"].([]any)
	if !ok {
		list = []any{doc["to"]}
	}
	for _, item := range list {
		to, ok := item.(map[string]any)
		if ok && doc["message_type"] == "whatsapp" && to["phone"] != nil && to["id"] == nil {
			to["type"], to["id"] = "user", "by phone"
		}
	}
}
