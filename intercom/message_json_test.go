package intercom_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/intercom-dispatch/intercom-dispatch/intercom"
)

func TestParseMessageReadsBothShapesOfRecipientsAndIDs(t *testing.T) {
	t.Parallel()
	want := &intercom.Message{
		MessageType: intercom.InAppShort,
		Body:        "Hello",
		From:        intercom.FromAdmin(394051),
		To:          intercom.ToUser("536e564f316c83104c000020"),
	}
	for name, in := range map[string]string{
		"object and number": `{"message_type":"inapp","body":"Hello","from":{"type":"admin","id":394051},"to":{"type":"user","id":"536e564f316c83104c000020"}}`,
		"array and string":  `{"message_type":"inapp","body":"Hello","from":{"type":"admin","id":"394051"},"to":[{"type":"user","id":"536e564f316c83104c000020"}]}`,
		"nulls":             `{"message_type":"inapp","body":"Hello","subject":null,"cc":null,"components":null,"created_at":null,"create_conversation_without_contact_reply":null,"from":{"type":"admin","id":394051},"to":{"type":"user","id":"536e564f316c83104c000020","phone":null}} ` + "\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m, err := intercom.ParseMessage([]byte(in))
			require.NoError(t, err)
			require.Equal(t, want, m)
		})
	}
}

func TestMessageIsWrittenAsIntercomReadsIt(t *testing.T) {
	t.Parallel()
	one := &intercom.Message{MessageType: intercom.InApp, Body: "Hi", From: intercom.FromAdmin(1), To: intercom.ToLead("a")}
	requireJSON(t, `{"message_type":"in_app","body":"Hi","from":{"type":"admin","id":1},"to":{"type":"lead","id":"a"}}`, one)

	several := &intercom.Message{
		MessageType: intercom.Email, Subject: "S", Body: "B", Template: "plain", From: intercom.FromAdmin(1),
		To: intercom.Recipients{{Type: "user", ID: "a"}, {Type: "lead", ID: "b"}},
		CC: intercom.ToUser("c"), CreatedAt: 1590000000, CreateConversationWithoutContactReply: true,
	}
	requireJSON(t, `{"message_type":"email","subject":"S","body":"B","template":"plain","from":{"type":"admin","id":1},
		"to":[{"type":"user","id":"a"},{"type":"lead","id":"b"}],"cc":{"type":"user","id":"c"},
		"created_at":1590000000,"create_conversation_without_contact_reply":true}`, several)

	number := &intercom.Message{
		MessageType: intercom.WhatsApp, Template: "keep_live", Locale: "en", From: intercom.FromAdmin(1),
		Components: []json.RawMessage{json.RawMessage(`{"type":"BODY"}`)},
		To:         intercom.Recipients{{Phone: "5547999998888", Name: "John Doe"}},
	}
	requireJSON(t, `{"message_type":"whatsapp","template":"keep_live","locale":"en","from":{"type":"admin","id":1},
		"components":[{"type":"BODY"}],"to":{"phone":5547999998888,"name":"John Doe"}}`, number)
}

func requireJSON(t *testing.T, want string, v any) {
	t.Helper()
	b, err := json.Marshal(v)
	require.NoError(t, err)
	require.JSONEq(t, want, string(b))
}

func TestPhoneIsReadAsNumberOrString(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		`5547999998888`:    "5547999998888",
		`"5547999998888"`:  "5547999998888",
		`"+5547999998888"`: "5547999998888",
		`"+55 47 999"`:     "55 47 999", // for Validate to refuse
	} {
		var r intercom.Recipient
		require.NoError(t, json.Unmarshal([]byte(`{"phone":`+in+`}`), &r))
		require.Equal(t, want, r.Phone, in)
	}
}

func TestParseMessageNamesTheFieldAndQuotesNoText(t *testing.T) {
	t.Parallel()
	const secret = "s3cret"
	for name, c := range map[string]struct{ in, want string }{
		"unknown at the top":    {`{"bodi":"s3cret"}`, "bodi is not a field of a message"},
		"case matters":          {`{"Body":"s3cret"}`, "Body is not a field of a message"},
		"unknown in sender":     {`{"from":{"name":"s3cret"}}`, "from.name is not a field of a sender; its fields are id, type"},
		"unknown in recipient":  {`{"to":{"idd":"s3cret"}}`, "to.idd is not a field of a recipient"},
		"unknown in recipients": {`{"to":[{"id":"1"},{"idd":"s3cret"}]}`, "to[1].idd is not a field of a recipient; its fields are id, name, phone, type"},
		"unknown in bcc":        {`{"bcc":[{"email":"s3cret"}]}`, "bcc[0].email is not a field of a recipient"},
		"twice":                 {`{"body":"a","body":"s3cret"}`, "body is there twice"},
		"string":                {`{"subject":["s3cret"]}`, "subject must be a string"},
		"string in recipient":   {`{"to":[{"id":77}]}`, "to[0].id must be a string"},
		"bool":                  {`{"create_conversation_without_contact_reply":"s3cret"}`, "create_conversation_without_contact_reply must be true or false"},
		"time as text":          {`{"created_at":"s3cret"}`, "created_at must be a whole number"},
		"time as fraction":      {`{"created_at":1.5}`, "created_at must be a whole number"},
		"sender":                {`{"from":"s3cret"}`, "from must be a JSON object"},
		"sender id":             {`{"from":{"id":"s3cret"}}`, "from.id must be an admin's id"},
		"sender id too large":   {`{"from":{"id":99999999999999999999}}`, "from.id must be an admin's id"},
		"recipients":            {`{"to":"s3cret"}`, "to must be a recipient or an array of recipients"},
		"recipient":             {`{"to":["s3cret"]}`, "to[0] must be a JSON object"},
		"null recipient":        {`{"to":[null]}`, "to[0] must be a JSON object"},
		"phone":                 {`{"to":{"phone":{"s3cret":1}}}`, "to.phone must be a number, or a string of digits"},
		"components":            {`{"components":{"s3cret":1}}`, "components must be an array"},
		"not an object":         {`["s3cret"]`, "message must be a JSON object"},
		"null":                  {`null`, "message must be a JSON object"},
		"empty":                 {``, "message is not valid JSON: it ends too early"},
		"cut":                   {`{"body":"s3cret`, "message is not valid JSON: it ends too early"},
		"broken":                {`{"body":"s3cret"]`, "message is not valid JSON: see byte 17"},
		"trailing":              {`{"body":"a"} "s3cret"`, "message is followed by more data"},
		"not UTF-8":             {"{\"body\":\"\xff s3cret\"}", "message is not valid UTF-8"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := intercom.ParseMessage([]byte(c.in))
			require.ErrorContains(t, err, c.want)
			require.NotContains(t, err.Error(), secret)
			var invalid *intercom.ValidationError
			require.ErrorAs(t, err, &invalid)
		})
	}
}

func TestUnknownFieldNamesAreCutAndCleaned(t *testing.T) {
	t.Parallel()
	_, err := intercom.ParseMessage([]byte(`{"\u001b[2Jevil` + strings.Repeat("ä", 500) + `":1}`))
	require.Error(t, err)
	require.Less(t, len(err.Error()), 400)
	require.NotContains(t, err.Error(), "\x1b")
}

func TestMessageInsideOtherJSONIsReadAsStrictly(t *testing.T) {
	t.Parallel()
	var line struct {
		Message *intercom.Message `json:"message"`
	}
	err := json.Unmarshal([]byte(`{"message":{"to":[{"id":"1"},{"idd":"2"}]}}`), &line)
	require.ErrorContains(t, err, "to[1].idd is not a field of a recipient")

	var to intercom.Recipients
	require.ErrorContains(t, json.Unmarshal([]byte(`[{"idd":"2"}]`), &to), "recipients[0].idd")
	var from intercom.Sender
	require.ErrorContains(t, json.Unmarshal([]byte(`{"idd":"2"}`), &from), "from.idd")
	var one intercom.Recipient
	require.ErrorContains(t, json.Unmarshal([]byte(`{"idd":"2"}`), &one), "recipient.idd")
}

func TestIDsAndTimesAreReadInEveryShape(t *testing.T) {
	t.Parallel()
	var v struct {
		A intercom.ID       `json:"A"`
		B intercom.ID       `json:"B"`
		C intercom.ID       `json:"C"`
		D intercom.UnixTime `json:"D"`
		E intercom.UnixTime `json:"E"`
		F intercom.UnixTime `json:"F"`
	}
	require.NoError(t, json.Unmarshal([]byte(`{"A":"x","B":12,"C":null,"D":5,"E":"6","F":null}`), &v))
	require.Equal(t, []intercom.ID{"x", "12", ""}, []intercom.ID{v.A, v.B, v.C})
	require.Equal(t, []intercom.UnixTime{5, 6, 0}, []intercom.UnixTime{v.D, v.E, v.F})
	require.True(t, v.F.Time().IsZero())
	require.Equal(t, int64(6), v.E.Time().Unix())

	for _, in := range []string{`{"A":{"s3cret":1}}`, `{"A":1.5}`, `{"D":"s3cret"}`, `{"D":[1]}`} {
		err := json.Unmarshal([]byte(in), &v)
		require.Error(t, err, in)
		require.NotContains(t, err.Error(), "s3cret")
	}
}
