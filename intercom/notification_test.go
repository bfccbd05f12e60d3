package intercom_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/intercom-dispatch/intercom-dispatch/intercom"
)

const (
	ping    = `{"type":"notification_event","app_id":"a86dr8yl","id":null,"topic":"ping","created_at":1590000000,"delivery_attempts":1,"first_sent_at":1590000000,"data":{"type":"notification_event_data","item":{"type":"ping","message":"zen"}}}`
	replied = `{"type":"notification_event","app_id":"a86dr8yl","id":"notif_1","topic":"conversation.user.replied",
		"created_at":"1590000000","delivery_attempts":"2","first_sent_at":1590000000,"new_field":{},
		"data":{"type":"notification_event_data","item":{"type":"conversation","id":1295,"created_at":"1663597223","updated_at":1663597260,
		"source":{"type":"inapp","id":"19","delivered_as":"admin_initiated","subject":null,"body":"<p>Hi</p>","author":{"type":"admin","id":991267816,"name":null,"email":"a@example.com"}},
		"contacts":{"type":"contact.list","contacts":[{"type":"contact","id":"5ba6","external_id":70}]},
		"conversation_parts":{"conversation_parts":[{"id":3,"part_type":"comment","body":"Okay!","created_at":1663597260,"author":{"type":"user","id":"5ba6"}}]},
		"open":true,"state":"open"}}}`
)

func TestParseNotificationReadsAReply(t *testing.T) {
	t.Parallel()
	n, err := intercom.ParseNotification([]byte(replied))
	require.NoError(t, err)
	require.Equal(t, intercom.ID("notif_1"), n.ID)
	require.Equal(t, "a86dr8yl", n.AppID)
	require.Equal(t, intercom.TopicConversationUserReplied, n.Topic)
	require.Equal(t, intercom.UnixTime(1590000000), n.CreatedAt)
	require.Equal(t, 2, n.DeliveryAttempts)

	c, err := n.Conversation()
	require.NoError(t, err)
	require.Equal(t, &intercom.Conversation{
		ID: "1295", CreatedAt: 1663597223, UpdatedAt: 1663597260, Open: true, State: "open",
		Source: intercom.Source{
			Type: "inapp", ID: "19", DeliveredAs: intercom.DeliveredAsAdminInitiated, Body: "<p>Hi</p>",
			Author: intercom.Author{Type: "admin", ID: "991267816", Email: "a@example.com"},
		},
		Contacts: intercom.ConversationContacts{Contacts: []intercom.ContactReference{{ID: "5ba6", ExternalID: "70"}}},
		ConversationParts: intercom.ConversationParts{Parts: []intercom.ConversationPart{{
			ID: "3", PartType: "comment", Body: "Okay!", CreatedAt: 1663597260, Author: intercom.Author{Type: "user", ID: "5ba6"},
		}}},
	}, c)
	require.False(t, c.Source.Author.IsContact())
	require.True(t, c.ConversationParts.Parts[0].Author.IsContact())
}

func TestParseNotificationReadsAPing(t *testing.T) {
	t.Parallel()
	n, err := intercom.ParseNotification([]byte(ping))
	require.NoError(t, err)
	require.Equal(t, intercom.TopicPing, n.Topic)
	require.Empty(t, n.ID)
	_, err = n.Conversation()
	require.ErrorContains(t, err, "has no id")
}

func TestConversationNeedsNothingButItsID(t *testing.T) {
	t.Parallel()
	for _, item := range []string{
		`{"id":"1"}`,
		`{"id":1,"created_at":null,"source":null,"contacts":null,"conversation_parts":null,"open":null,"state":null}`,
		`{"id":"1","source":{"id":null,"author":null},"contacts":{"contacts":null},"conversation_parts":{"conversation_parts":null}}`,
	} {
		n, err := intercom.ParseNotification([]byte(`{"topic":"conversation.user.created","data":{"item":` + item + `}}`))
		require.NoError(t, err)
		c, err := n.Conversation()
		require.NoError(t, err)
		require.Equal(t, &intercom.Conversation{ID: "1"}, c)
	}
}

// about returns a notification of a contact's item.
func about(t *testing.T, topic, item string) *intercom.Notification {
	t.Helper()
	n, err := intercom.ParseNotification([]byte(`{"topic":"` + topic + `","data":{"item":` + item + `}}`))
	require.NoError(t, err)
	return n
}

func TestContactNeedsNothingButItsID(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		topic, item string
		want        intercom.Contact
	}{
		"created": {
			intercom.TopicContactUserCreated, `{"type":"contact","id":"5ba6","workspace_id":"abc","role":"user","email":null,"tags":{"data":[]}}`,
			intercom.Contact{Type: "contact", ID: "5ba6", Role: "user"},
		},
		"archived": {intercom.TopicContactArchived, `{"id":"5ba6","external_id":null,"type":"contact","archived":true}`, intercom.Contact{Type: "contact", ID: "5ba6"}},
		"deleted":  {intercom.TopicContactDeleted, `{"id":"5ba6","type":"contact","deleted":true}`, intercom.Contact{Type: "contact", ID: "5ba6"}},
		"nulls":    {intercom.TopicContactMerged, `{"type":null,"id":7,"role":null,"contact":null,"merged_from":null}`, intercom.Contact{ID: "7"}},
		"tagged": {
			"contact.user.tag.created", `{"type":"contact_tag","created_at":1,"tag":{"id":"9"},"contact":{"type":"contact","id":"5ba6"}}`,
			intercom.Contact{Type: "contact", ID: "5ba6"},
		},
		"older": {"user.created", `{"type":"user","id":"5ba6"}`, intercom.Contact{Type: "user", ID: "5ba6"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := about(t, c.topic, c.item).Contact()
			require.NoError(t, err)
			require.Equal(t, &c.want, got)
		})
	}
}

func TestMergedContactsAreReadInEveryForm(t *testing.T) {
	t.Parallel()
	for form, want := range map[string][]intercom.ID{
		`{"type":"contact","id":"6a3b"}`: {"6a3b"}, // as documented
		`"6a3b"`:                         {"6a3b"},
		` 17 `:                           {"17"},
		`["6a3b", 17, {"id": 18}, null, {}, {"id":null}]`: {"6a3b", "17", "18"},
		`[]`:   nil,
		`null`: nil,
		`{}`:   nil,
		`""`:   nil,
	} {
		c, err := about(t, intercom.TopicContactMerged, `{"type":"contact","id":"5f2a","merged_from":`+form+`}`).Contact()
		require.NoError(t, err, form)
		require.Equal(t, &intercom.Contact{Type: "contact", ID: "5f2a", MergedFrom: want}, c, form)
	}
	for _, form := range []string{`true`, `"6a3b`, `[["6a3b"]]`, `{"id":["s3cret"]}`, `1.5`} {
		n, err := intercom.ParseNotification([]byte(`{"topic":"contact.merged","data":{"item":{"id":"1","merged_from":` + form + `}}}`))
		if err == nil {
			_, err = n.Contact()
		}
		require.Error(t, err, form)
		require.NotContains(t, err.Error(), "s3cret")
	}
}

func TestItemsWithoutAContactAreNotTakenForOne(t *testing.T) {
	t.Parallel()
	for _, item := range []string{
		`null`, `{}`, `{"type":"contact"}`, `{"type":"contact","id":null}`, `{"contact":{"role":"s3cret"}}`,
		`{"type":"subscription","id":"s3cret"}`, `{"type":"conversation","id":"s3cret"}`,
		`"s3cret"`, `["s3cret"]`, `{"id":["s3cret"]}`, `{"id":"1","role":{"s3cret":1}}`, `{"contact":"s3cret"}`,
	} {
		c, err := about(t, "x", item).Contact()
		require.Error(t, err, item)
		require.NotContains(t, err.Error(), "s3cret")
		require.Nil(t, c)
	}
	_, err := new(intercom.Notification).Contact()
	require.ErrorContains(t, err, "has no item")
}

func TestNotificationErrorsQuoteNothing(t *testing.T) {
	t.Parallel()
	for _, in := range []string{
		``, `s3cret`, `"s3cret"`, `null`, `{}`, `{"topic":""}`, `{"topic":{"s3cret":1}}`,
		`{"topic":"x","id":{"s3cret":1}}`, `{"topic":"x"} s3cret`,
	} {
		_, err := intercom.ParseNotification([]byte(in))
		require.Error(t, err, in)
		require.NotContains(t, err.Error(), "s3cret")
	}
	for _, item := range []string{`null`, `"s3cret"`, `{"id":["s3cret"]}`, `{"id":"1","source":"s3cret"}`, `{"id":"1","created_at":"s3cret"}`} {
		n, err := intercom.ParseNotification([]byte(`{"topic":"x","data":{"item":` + item + `}}`))
		require.NoError(t, err, item)
		_, err = n.Conversation()
		require.Error(t, err, item)
		require.NotContains(t, err.Error(), "s3cret")
	}
	_, err := new(intercom.Notification).Conversation()
	require.ErrorContains(t, err, "has no item")
}

func TestSignature(t *testing.T) {
	t.Parallel()
	body := []byte("The quick brown fox jumps over the lazy dog")
	// HMAC-SHA1 with the key "key", as on the Wikipedia page about HMAC.
	const known = "sha1=de7c9b85b8b78aa6bc8a7a36f70a90701c9db4d9"
	require.Equal(t, known, intercom.Sign("key", body))

	require.True(t, intercom.VerifySignature(body, known, "key"))
	require.True(t, intercom.VerifySignature(body, known, "new", "key"))
	require.False(t, intercom.VerifySignature(body, known))
	require.False(t, intercom.VerifySignature(body, known, "other"))
	require.False(t, intercom.VerifySignature(append(body, ' '), known, "key"))
	for _, header := range []string{"", "sha1=", "sha1=zz", known[5:], "sha256=" + known[5:], known[:20], known + "00"} {
		require.False(t, intercom.VerifySignature(body, header, "key"), header)
	}
}

func TestEmptySecretsNeverMatch(t *testing.T) {
	t.Parallel()
	body := []byte("x")
	require.False(t, intercom.VerifySignature(body, intercom.Sign("", body), ""))
	require.False(t, intercom.VerifySignature(body, intercom.Sign("", body), "", "key"))
}
