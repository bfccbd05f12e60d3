package intercom

import "encoding/json"

func (m *Message) checkWhatsApp() error {
	if err := needed("template", m.Template, "the name of an approved WhatsApp template"); err != nil {
		return err
	}
	if len(m.Components) == 0 {
		return &ValidationError{Field: "components", Reason: "are required: at least one, such as the template's BODY"}
	}
	for i, c := range m.Components {
		if err := checkComponent(c, at("components", i)); err != nil {
			return err
		}
	}
	return m.checkNoFreeText()
}

// checkNoFreeText refuses what a WhatsApp message cannot carry: its text comes
// from the template, so a text given here would be lost without a word.
func (m *Message) checkNoFreeText() error {
	switch {
	case m.Subject != "":
		return &ValidationError{Field: "subject", Reason: "has no place in a WhatsApp message: remove it"}
	case m.Body != "":
		return &ValidationError{Field: "body", Reason: "has no place in a WhatsApp message: its text comes from template and components"}
	case len(m.CC) > 0:
		return &ValidationError{Field: "cc", Reason: "has no place in a WhatsApp message: send one message to each number"}
	case len(m.BCC) > 0:
		return &ValidationError{Field: "bcc", Reason: "has no place in a WhatsApp message: send one message to each number"}
	}
	return nil
}

func checkComponent(c json.RawMessage, path string) error {
	object := map[string]json.RawMessage{}
	if err := json.Unmarshal(c, &object); err != nil || len(c) == 0 || object == nil {
		return &ValidationError{Field: path, Reason: "must be a JSON object with a type"}
	}
	raw, ok := object["type"]
	if !ok || isNull(raw) {
		return &ValidationError{Field: path + ".type", Reason: "is required: such as BODY"}
	}
	var kind string
	if err := stringInto(&kind)(raw, path+".type"); err != nil {
		return err
	}
	return needed(path+".type", kind, "such as BODY")
}
