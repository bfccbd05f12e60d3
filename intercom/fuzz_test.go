package intercom_test

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/intercom-dispatch/intercom-dispatch/intercom"
)

func FuzzParseMessage(f *testing.F) {
	for _, m := range []*intercom.Message{inApp(), email(), whatsApp()} {
		b, err := json.Marshal(m)
		require.NoError(f, err)
		f.Add(b)
	}
	for _, s := range []string{
		`{"message_type":"inapp","body":"<p>a & b</p>","from":{"type":"admin","id":"7"},"to":[{"type":"user","id":"1"},{"type":"lead","id":"2"}]}`,
		`{"message_type":"email","cc":null,"created_at":-1}`,
		`{"message_type":"whatsapp","to":{"phone":"+5547999998888"},"components":[{"type":"BODY","n":1e400}]}`,
		`{"to":[null]}`, `{"from":[]}`, `null`, `{"body":"\ud800"}`, `{} {}`, `{"components":[1,"<"]}`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		m, err := intercom.ParseMessage(in)
		if err != nil {
			var invalid *intercom.ValidationError
			require.ErrorAs(t, err, &invalid)
			return
		}
		if m.Validate() != nil {
			return
		}
		first, err := json.Marshal(m)
		require.NoError(t, err)
		encoded, err := m.Encode()
		require.NoError(t, err)
		require.Equal(t, string(first), string(encoded))
		again, err := intercom.ParseMessage(first)
		require.NoError(t, err)
		require.NoError(t, again.Validate())
		second, err := json.Marshal(again)
		require.NoError(t, err)
		require.Equal(t, string(first), string(second))
		// Components are passed on as they are, so only their spelling may
		// have changed.
		m.Components, again.Components = nil, nil
		require.Equal(t, m, again)
	})
}

func FuzzParseNotification(f *testing.F) {
	for _, s := range []string{
		replied, ping,
		`{"topic":"x","data":null}`, `{"topic":"conversation.user.replied","data":{"item":{"id":1,"source":null,"contacts":{"contacts":null}}}}`,
		`null`, `[]`, `{"topic":1}`, `{"topic":"x","data":{"item":"text"}}`,
		`{"topic":"contact.merged","data":{"item":{"type":"contact","id":"1","role":"user","merged_from":{"type":"contact","id":2}}}}`,
		`{"topic":"contact.merged","data":{"item":{"id":1,"merged_from":["2",3,{"id":"4"},null]}}}`,
		`{"topic":"contact.user.tag.created","data":{"item":{"type":"contact_tag","contact":{"id":"1"}}}}`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		n, err := intercom.ParseNotification(in)
		if err != nil {
			require.Nil(t, n)
			return
		}
		require.NotEmpty(t, n.Topic)
		if c, err := n.Conversation(); err == nil {
			require.NotEmpty(t, c.ID)
		}
		if c, err := n.Contact(); err == nil {
			require.NotEmpty(t, c.ID)
			require.NotContains(t, c.MergedFrom, intercom.ID(""))
		}
	})
}
