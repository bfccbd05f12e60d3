package intercom_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/intercom-dispatch/intercom-dispatch/intercom"
)

func inApp() *intercom.Message {
	return &intercom.Message{
		MessageType: intercom.InApp, Body: "Your order is ready", From: intercom.FromAdmin(394051),
		To: intercom.ToUser("536e564f316c83104c000020"),
	}
}

func email() *intercom.Message {
	m := inApp()
	m.MessageType, m.Subject, m.Template = intercom.Email, "Your order", "plain"
	return m
}

func whatsApp() *intercom.Message {
	return &intercom.Message{
		MessageType: intercom.WhatsApp, Template: "keep_live", Locale: "en", From: intercom.FromAdmin(394051),
		Components: []json.RawMessage{json.RawMessage(`{"type":"BODY","parameters":[{"type":"text","text":"Ann"}]}`)},
		To:         intercom.Recipients{{Phone: "5547999998888", Name: "John Doe"}},
	}
}

func TestValidateTakesWhatIntercomTakes(t *testing.T) {
	t.Parallel()
	type change func(*intercom.Message)
	for name, c := range map[string]struct {
		m      *intercom.Message
		change change
	}{
		"in-app":              {inApp(), func(*intercom.Message) {}},
		"inapp":               {inApp(), func(m *intercom.Message) { m.MessageType = intercom.InAppShort }},
		"in-app with subject": {inApp(), func(m *intercom.Message) { m.Subject = "heyy" }},
		"in-app with cc":      {inApp(), func(m *intercom.Message) { m.CC, m.BCC = intercom.ToUser("a"), intercom.ToLead("b") }},
		"in-app template":     {inApp(), func(m *intercom.Message) { m.Template = "personal" }},
		"email":               {email(), func(*intercom.Message) {}},
		"email, personal":     {email(), func(m *intercom.Message) { m.Template = "personal" }},
		"backdated":           {email(), func(m *intercom.Message) { m.CreatedAt = 1590000000 }},
		"several":             {email(), func(m *intercom.Message) { m.To = append(m.To, intercom.ToLead("b")...) }},
		"whatsapp":            {whatsApp(), func(*intercom.Message) {}},
		"whatsapp, no locale": {whatsApp(), func(m *intercom.Message) { m.Locale = "" }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c.change(c.m)
			require.NoError(t, c.m.Validate())
		})
	}
}

func TestValidateNamesTheFirstProblem(t *testing.T) {
	t.Parallel()
	const bad = "\xff"
	for name, c := range map[string]struct {
		m      *intercom.Message
		change func(*intercom.Message)
		field  string
		reason string
	}{
		"no type":         {inApp(), func(m *intercom.Message) { m.MessageType = "" }, "message_type", "is required: one of in_app, inapp, email and whatsapp"},
		"unknown type":    {inApp(), func(m *intercom.Message) { m.MessageType = "sms" }, "message_type", "must be one of in_app, inapp, email and whatsapp"},
		"no body":         {inApp(), func(m *intercom.Message) { m.Body = " \n" }, "body", "is required"},
		"no email body":   {email(), func(m *intercom.Message) { m.Body = "" }, "body", "is required"},
		"no subject":      {email(), func(m *intercom.Message) { m.Subject = " " }, "subject", "is required"},
		"no template":     {email(), func(m *intercom.Message) { m.Template = "" }, "template", "is required: plain or personal"},
		"other template":  {email(), func(m *intercom.Message) { m.Template = "fancy" }, "template", "must be plain or personal"},
		"in-app template": {inApp(), func(m *intercom.Message) { m.Template = "fancy" }, "template", "must be plain or personal"},

		"no from":       {inApp(), func(m *intercom.Message) { m.From = nil }, "from", "is required"},
		"from a user":   {inApp(), func(m *intercom.Message) { m.From.Type = "user" }, "from.type", "must be admin"},
		"from nobody":   {inApp(), func(m *intercom.Message) { m.From.ID = 0 }, "from.id", "is required"},
		"from negative": {whatsApp(), func(m *intercom.Message) { m.From.ID = -1 }, "from.id", "positive"},

		"no to":       {inApp(), func(m *intercom.Message) { m.To = nil }, "to", "is required"},
		"no role":     {inApp(), func(m *intercom.Message) { m.To[0].Type = "" }, "to.type", "is required: user or lead"},
		"other role":  {inApp(), func(m *intercom.Message) { m.To[0].Type = "contact" }, "to.type", "must be user or lead"},
		"no id":       {inApp(), func(m *intercom.Message) { m.To[0].ID = " " }, "to.id", "is required"},
		"second id":   {inApp(), func(m *intercom.Message) { m.To = append(m.To, intercom.ToUser("")...) }, "to[1].id", "is required"},
		"cc":          {email(), func(m *intercom.Message) { m.CC = intercom.ToUser("") }, "cc.id", "is required"},
		"bcc":         {email(), func(m *intercom.Message) { m.BCC = intercom.Recipients{{ID: "a"}} }, "bcc.type", "is required"},
		"email phone": {email(), func(m *intercom.Message) { m.To[0].Phone = "5547999998888" }, "to.phone", "WhatsApp only"},
		"email name":  {email(), func(m *intercom.Message) { m.To[0].Name = "Ann" }, "to.name", "WhatsApp only"},

		"email locale":      {email(), func(m *intercom.Message) { m.Locale = "en" }, "locale", "remove it, or set message_type to whatsapp"},
		"in-app components": {inApp(), func(m *intercom.Message) { m.Components = whatsApp().Components }, "components", "set message_type to whatsapp"},

		"whatsapp template":      {whatsApp(), func(m *intercom.Message) { m.Template = "" }, "template", "is required"},
		"whatsapp components":    {whatsApp(), func(m *intercom.Message) { m.Components = nil }, "components", "are required"},
		"component, array":       {whatsApp(), func(m *intercom.Message) { m.Components[0] = json.RawMessage(`[]`) }, "components[0]", "must be a JSON object"},
		"component, null":        {whatsApp(), func(m *intercom.Message) { m.Components[0] = json.RawMessage(`null`) }, "components[0]", "must be a JSON object"},
		"component, nil":         {whatsApp(), func(m *intercom.Message) { m.Components[0] = nil }, "components[0]", "must be a JSON object"},
		"component, broken":      {whatsApp(), func(m *intercom.Message) { m.Components[0] = json.RawMessage(`{"type"`) }, "components[0]", "must be a JSON object"},
		"component without type": {whatsApp(), func(m *intercom.Message) { m.Components[0] = json.RawMessage(`{"Type":"BODY"}`) }, "components[0].type", "is required"},
		"component type, number": {whatsApp(), func(m *intercom.Message) { m.Components[0] = json.RawMessage(`{"type":1}`) }, "components[0].type", "must be a string"},
		"component type, empty":  {whatsApp(), func(m *intercom.Message) { m.Components[0] = json.RawMessage(`{"type":""}`) }, "components[0].type", "is required"},
		"whatsapp body":          {whatsApp(), func(m *intercom.Message) { m.Body = "x" }, "body", "comes from template and components"},
		"whatsapp subject":       {whatsApp(), func(m *intercom.Message) { m.Subject = "x" }, "subject", "remove it"},
		"whatsapp cc":            {whatsApp(), func(m *intercom.Message) { m.CC = m.To }, "cc", "one message to each"},
		"whatsapp bcc":           {whatsApp(), func(m *intercom.Message) { m.BCC = m.To }, "bcc", "one message to each"},
		"no phone":               {whatsApp(), func(m *intercom.Message) { m.To = intercom.ToUser("a") }, "to.phone", "is required"},
		"phone with spaces":      {whatsApp(), func(m *intercom.Message) { m.To[0].Phone = "55 47 999" }, "to.phone", "7 to 15 digits"},
		"phone with 00":          {whatsApp(), func(m *intercom.Message) { m.To[0].Phone = "005547999998888" }, "to.phone", "7 to 15 digits"},
		"phone too long":         {whatsApp(), func(m *intercom.Message) { m.To[0].Phone = "1234567890123456" }, "to.phone", "7 to 15 digits"},
		"phone, other role":      {whatsApp(), func(m *intercom.Message) { m.To[0].Type = "x" }, "to.type", "left out"},

		"negative time":   {inApp(), func(m *intercom.Message) { m.CreatedAt = -1 }, "created_at", "must not be negative"},
		"too long":        {inApp(), func(m *intercom.Message) { m.Body = strings.Repeat("x", intercom.MaxMessageBytes) }, "message", "may be 1048576"},
		"body not UTF-8":  {inApp(), func(m *intercom.Message) { m.Body += bad }, "body", "is not valid UTF-8"},
		"subject":         {email(), func(m *intercom.Message) { m.Subject += bad }, "subject", "is not valid UTF-8"},
		"template":        {whatsApp(), func(m *intercom.Message) { m.Template += bad }, "template", "is not valid UTF-8"},
		"locale":          {whatsApp(), func(m *intercom.Message) { m.Locale += bad }, "locale", "is not valid UTF-8"},
		"component UTF-8": {whatsApp(), func(m *intercom.Message) { m.Components[0] = json.RawMessage(`{"type":"` + bad + `"}`) }, "components[0]", "is not valid UTF-8"},
		"id UTF-8":        {inApp(), func(m *intercom.Message) { m.To[0].ID += bad }, "to.id", "is not valid UTF-8"},
		"name UTF-8":      {whatsApp(), func(m *intercom.Message) { m.To[0].Name += bad }, "to.name", "is not valid UTF-8"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c.change(c.m)
			err := c.m.Validate()
			var invalid *intercom.ValidationError
			require.ErrorAs(t, err, &invalid)
			require.Equal(t, c.field, invalid.Field)
			require.Contains(t, invalid.Reason, c.reason)
		})
	}
}

func TestValidateTakesAMessageOfExactlyTheLimit(t *testing.T) {
	t.Parallel()
	m := inApp()
	b, err := json.Marshal(m)
	require.NoError(t, err)
	m.Body += strings.Repeat("x", intercom.MaxMessageBytes-len(b))
	require.NoError(t, m.Validate())
	m.Body += "x"
	require.Error(t, m.Validate())
}

func TestValidateRefusesNoMessage(t *testing.T) {
	t.Parallel()
	var m *intercom.Message
	require.ErrorContains(t, m.Validate(), "message is required")
}
