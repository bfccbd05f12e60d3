package intercom

import (
	"bytes"
	"encoding/json"
)

// Contact is a user or a lead. Everything but its id may be missing.
type Contact struct {
	Type string `json:"type"`
	ID   ID     `json:"id"`
	// Role is "user" or "lead".
	Role string `json:"role"`
	// MergedFrom are the contacts that were merged into this one and are gone.
	// Only [TopicContactMerged] tells them (webhook models, "contact.merged
	// payload"), and in 2024 it did not: where it is empty, they are not known.
	MergedFrom []ID `json:"merged_from,omitempty"`
}

// UnmarshalJSON reads a contact as answers and notifications have it.
func (c *Contact) UnmarshalJSON(b []byte) error {
	type plain Contact // Without this method.
	wire := struct {
		*plain
		MergedFrom references `json:"merged_from"`
	}{plain: (*plain)(c)}
	if err := json.Unmarshal(b, &wire); err != nil {
		return err
	}
	c.MergedFrom = wire.MergedFrom
	return nil
}

// references are ids. Intercom documents one object that has an id; as nothing
// is lost by it, an id alone and a list of either are read as well.
type references []ID

func (r *references) UnmarshalJSON(b []byte) error {
	list := []json.RawMessage{b}
	if bytes.HasPrefix(b, []byte("[")) {
		list = nil
		if err := json.Unmarshal(b, &list); err != nil {
			return err
		}
	}
	*r = nil
	for _, raw := range list {
		id, err := reference(raw)
		if err != nil {
			return err
		}
		if id != "" {
			*r = append(*r, id)
		}
	}
	return nil
}

func reference(raw json.RawMessage) (ID, error) {
	var object struct {
		ID ID `json:"id"`
	}
	if isObject(raw) {
		err := json.Unmarshal(raw, &object)
		return object.ID, err
	}
	err := json.Unmarshal(raw, &object.ID)
	return object.ID, err
}
