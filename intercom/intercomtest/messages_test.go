package intercomtest_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/intercom-dispatch/intercom-dispatch/intercom/intercomtest"
)

func TestMessageIsAnsweredAndLoggedAsCreated(t *testing.T) {
	t.Parallel()
	clock := newClock()
	f := newFake(t, intercomtest.Config{Now: clock.now})
	r := f.post("/messages", email)
	require.Equal(t, http.StatusOK, r.status)
	id := f.Created()[0].ID
	require.JSONEq(t, `{
		"type": "admin_message", "id": "`+id+`", "created_at": 1795359600, "subject": "News", "body": "Hello",
		"message_type": "email",
		"owner": {"type": "admin", "id": "1", "name": "Ada Admin", "email": "ada@example.com",
			"away_mode_enabled": false, "away_mode_reassign": false}
	}`, string(r.body))
	require.Equal(t, []intercomtest.CreatedMessage{{
		ID: id, At: clock.at, MessageType: "email", Subject: "News", Body: "Hello", Template: "plain",
		AdminID: "1", Recipients: intercomtest.Recipients{To: []string{"jo"}}, RequestNumber: 1, CreatedAt: 1795359600,
	}}, f.Created())
	require.Equal(t, id, f.Requests()[0].CreatedMessageID)
	require.Equal(t, []string{"jo"}, f.Requests()[0].ContactIDs)
	require.Equal(t, http.StatusOK, f.Requests()[0].Status)
}

func TestMessageIDsIncreaseAndDifferFromConversationIDs(t *testing.T) {
	t.Parallel()
	f := newFake(t, intercomtest.Config{})
	first, second := f.create(inapp), f.create(opened)
	require.Less(t, first, second)
	require.NotEmpty(t, f.Created()[1].ConversationID)
	require.NotEqual(t, second, f.Created()[1].ConversationID)
	require.Empty(t, f.Created()[0].ConversationID)
}

func TestMessageWithSeveralRecipientsIsOneMessage(t *testing.T) {
	t.Parallel()
	f := newFake(t, intercomtest.Config{UnknownContacts: intercomtest.UnknownMessageable})
	f.create(`{"message_type":"inapp","body":"x","from":{"type":"admin","id":"1"},
		"to":[{"type":"user","id":"a"},{"type":"lead","id":"b"}],"cc":{"type":"user","id":"c"},"bcc":[{"type":"user","id":"d"}]}`)
	require.Len(t, f.Created(), 1)
	require.Equal(t, intercomtest.Recipients{To: []string{"a", "b"}, CC: []string{"c"}, BCC: []string{"d"}}, f.Created()[0].Recipients)
}

func TestMessageTakesItsOwnTimeAndTheDefaultSender(t *testing.T) {
	t.Parallel()
	f := newFake(t, intercomtest.Config{Admins: []intercomtest.Admin{{ID: "7"}, {ID: "8"}}})
	f.create(`{"message_type":"inapp","body":"x","to":{"type":"user","id":"jo"},"created_at":1590000000}`)
	require.EqualValues(t, 1590000000, f.Created()[0].CreatedAt)
	require.Equal(t, "7", f.Created()[0].AdminID)
}

func TestMessageIsRefusedAsDocumented(t *testing.T) {
	t.Parallel()
	to := `"to":{"type":"user","id":"jo"}`
	array := `"to":[{"type":"user","id":"jo"}]`
	tests := map[string]struct {
		version, body        string
		status               int
		code, message, field string
	}{
		"malformed":          {"", `{"body":`, 400, "bad_request", "Request body is not valid JSON", ""},
		"no object":          {"", `[]`, 400, "bad_request", "Request body must be a JSON object", ""},
		"wrong type":         {"", `{"message_type":"inapp","body":5,` + to + `}`, 400, "parameter_invalid", "body must be a string", "body"},
		"no type":            {"", `{"body":"x",` + to + `}`, 400, "parameter_invalid", "", "message_type"},
		"keys in other case": {"", `{"Message_Type":"inapp","body":"x",` + to + `}`, 400, "parameter_invalid", "", "message_type"},
		"no body":            {"", `{"message_type":"inapp",` + to + `}`, 400, "parameter_invalid", "Body is required", ""},
		"blank body":         {"", `{"message_type":"inapp","body":" ",` + to + `}`, 400, "parameter_invalid", "Body is required", ""},
		"email without body": {"", `{"message_type":"email","subject":"x",` + to + `}`, 400, "parameter_invalid", "Body is required", ""},
		"no subject":         {"", `{"message_type":"email","body":"x","template":"plain",` + to + `}`, 422, "parameter_not_found", "No subject supplied for email message", ""},
		"no template":        {"", `{"message_type":"email","body":"x","subject":"x",` + to + `}`, 422, "parameter_not_found", "No template supplied for email message", ""},
		"other template":     {"", `{"message_type":"email","body":"x","subject":"x","template":"fancy",` + to + `}`, 400, "parameter_invalid", "", "template"},
		"from a user":        {"", `{"message_type":"inapp","body":"x","from":{"type":"user","id":"jo"},` + to + `}`, 400, "parameter_invalid", "", "from"},
		"unknown admin":      {"", `{"message_type":"inapp","body":"x","from":{"type":"admin","id":9},` + to + `}`, 404, "not_found", "Resource Not Found", "from"},
		"no recipient":       {"", `{"message_type":"inapp","body":"x"}`, 400, "parameter_invalid", "", "to"},
		"recipient no id":    {"", `{"message_type":"inapp","body":"x","to":{"type":"user"}}`, 400, "parameter_invalid", "", "to[0]"},
		"recipient no type":  {"", `{"message_type":"inapp","body":"x","to":{"id":"jo"}}`, 400, "parameter_invalid", "", "to[0]"},
		"number as id":       {"", `{"message_type":"inapp","body":"x","to":{"type":"user","id":1}}`, 400, "parameter_invalid", "", "to.id"},
		"unknown contact":    {"", strings.ReplaceAll(inapp, "jo", "nobody"), 404, "not_found", "User Not Found", ""},
		"lead as user":       {"", strings.ReplaceAll(inapp, "jo", "lee"), 404, "not_found", "User Not Found", ""},
		"unsubscribed":       {"", strings.ReplaceAll(email, "jo", "una"), 403, "forbidden", "Contact has unsubscribed from emails", ""},
		"old array":          {"2.13", `{"message_type":"inapp","body":"x",` + array + `}`, 400, "parameter_invalid", "", "to"},
		"old cc":             {"2.13", `{"message_type":"inapp","body":"x",` + to + `,"cc":{"type":"user","id":"jo"}}`, 400, "parameter_invalid", "", "cc"},
		"old whatsapp":       {"2.15", whats, 400, "parameter_invalid", "", "message_type"},
		"whatsapp template":  {"2.16", `{"message_type":"whatsapp","components":[],"to":{"phone":1}}`, 422, "parameter_not_found", "", ""},
		"whatsapp contents":  {"2.16", `{"message_type":"whatsapp","template":"x","to":{"phone":1}}`, 422, "parameter_not_found", "", ""},
		"whatsapp no phone":  {"2.16", `{"message_type":"whatsapp","template":"x","components":[],` + to + `}`, 400, "parameter_invalid", "", "to[0]"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFake(t, intercomtest.Config{})
			f.AddContact(intercomtest.Contact{ID: "lee", Role: "lead"})
			f.AddContact(intercomtest.Contact{ID: "una", UnsubscribedFromEmails: true})
			if tt.version != "" {
				f.header.Set("Intercom-Version", tt.version)
			}
			r := f.post("/messages", tt.body)
			code, message, field := r.error(t)
			require.Equal(t, tt.status, r.status)
			require.Equal(t, tt.code, code)
			require.Equal(t, tt.field, field)
			if tt.message != "" {
				require.Equal(t, tt.message, message)
			}
			require.Empty(t, f.Created())
			require.Equal(t, tt.status, f.Requests()[0].Status)
			require.Empty(t, f.Requests()[0].CreatedMessageID)
		})
	}
}

func TestMessageIsTakenByTheVersionsThatKnowIt(t *testing.T) {
	t.Parallel()
	tests := map[string]struct{ version, body string }{
		"in_app":                 {"", inapp},
		"inapp":                  {"", strings.Replace(inapp, "in_app", "inapp", 1)},
		"email":                  {"", email},
		"one in an old one":      {"1.4", inapp},
		"array":                  {"2.14", strings.Replace(inapp, `{"type":"user","id":"jo"}`, `[{"type":"user","id":"jo"}]`, 1)},
		"whatsapp":               {"2.16", whats},
		"whatsapp, unstable":     {"Unstable", whats},
		"in_app to unsubscribed": {"", strings.ReplaceAll(inapp, "jo", "una")},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFake(t, intercomtest.Config{})
			f.AddContact(intercomtest.Contact{ID: "una", UnsubscribedFromEmails: true})
			if tt.version != "" {
				f.header.Set("Intercom-Version", tt.version)
			}
			f.create(tt.body)
		})
	}
}
