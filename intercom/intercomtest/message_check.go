package intercomtest

import "fmt"

// The message types as the answers and the log have them.
const (
	typeInApp    = "inapp"
	typeEmail    = "email"
	typeWhatsApp = "whatsapp"
)

// messageTypes are the spellings that a request may have. One of the
// documented examples says "conversation" and is answered as "inapp".
var messageTypes = map[string]string{
	"in_app":       typeInApp,
	"inapp":        typeInApp,
	"conversation": typeInApp,
	"email":        typeEmail,
	"whatsapp":     typeWhatsApp,
}

// check holds a message against the rules that need no look at the workspace.
func (m *messageRequest) check(v version) *failure {
	kind, ok := messageTypes[m.messageType]
	if !ok {
		return invalid("message_type", "Message type must be in_app, email or whatsapp")
	}
	if m.from != nil && (m.from.typ != "admin" || m.from.id == "") {
		return invalid("from", "From must have the type admin and an id")
	}
	m.messageType = kind
	rules := map[string]func() *failure{
		typeInApp: m.checkInApp, typeEmail: m.checkEmail,
		typeWhatsApp: func() *failure { return m.checkWhatsApp(v) },
	}
	if fail := rules[kind](); fail != nil {
		return fail
	}
	return m.checkRecipients(v)
}

func (m *messageRequest) checkInApp() *failure {
	if blank(m.body) {
		return invalid("", "Body is required")
	}
	return nil
}

func (m *messageRequest) checkEmail() *failure {
	switch {
	case blank(m.body):
		return invalid("", "Body is required")
	case blank(m.subject):
		return unprocessable("No subject supplied for email message")
	case m.template == "":
		return unprocessable("No template supplied for email message")
	case m.template != "plain" && m.template != "personal":
		return invalid("template", "Template must be plain or personal")
	}
	return nil
}

func (m *messageRequest) checkWhatsApp(v version) *failure {
	switch {
	case v.before(whatsAppMessages):
		return invalid("message_type", "WhatsApp messages need API version 2.16 or newer")
	case blank(m.template):
		return unprocessable("No template supplied for whatsapp message")
	case m.components == nil:
		return unprocessable("No components supplied for whatsapp message")
	}
	return nil
}

func (m *messageRequest) checkRecipients(v version) *failure {
	if len(m.to.list) == 0 {
		return invalid("to", "To is required")
	}
	if v.before(severalRecipients) {
		if m.to.array {
			return invalid("to", "Several recipients need API version 2.14 or newer")
		}
		if len(m.cc.list)+len(m.bcc.list) > 0 {
			return invalid("cc", "Cc and bcc need API version 2.14 or newer")
		}
	}
	lists := []recipientList{m.to, m.cc, m.bcc}
	for n, field := range []string{"to", "cc", "bcc"} {
		for i, r := range lists[n].list {
			if fail := m.checkRecipient(fmt.Sprintf("%s[%d]", field, i), r); fail != nil {
				return fail
			}
		}
	}
	return nil
}

func (m *messageRequest) checkRecipient(field string, r recipient) *failure {
	if m.messageType == typeWhatsApp {
		if r.phone == "" {
			return invalid(field, "Recipient of a whatsapp message must have a phone")
		}
		return nil
	}
	if (r.typ != roleUser && r.typ != roleLead) || r.id == "" {
		return invalid(field, "Recipient must have the type user or lead and an id")
	}
	return nil
}
