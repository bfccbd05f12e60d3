package intercom_test

import (
	"encoding/json"
	"reflect"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/intercom-dispatch/intercom-dispatch/intercom"
)

// TestEncodeWritesWhatEncodingJSONWrites fills every field that a message has,
// also those that will be added.
func TestEncodeWritesWhatEncodingJSONWrites(t *testing.T) {
	t.Parallel()
	text := rapid.OneOf(rapid.String(), rapid.SampledFrom([]string{
		"", "plain", "<b>bold</b> & more", "\u2028\u2029", "“quoted”", "\x7f", "\"\\\n\x00", "é", "\U0001f600", "353871234567", "0038",
	}))
	recipient := rapid.Custom(func(t *rapid.T) intercom.Recipient {
		return intercom.Recipient{
			Type: rapid.SampledFrom([]string{"user", "lead"}).Draw(t, "role"), ID: text.Draw(t, "id") + "x",
		}
	})
	rapid.Check(t, func(t *rapid.T) {
		m := &intercom.Message{
			MessageType: intercom.Email, Subject: text.Draw(t, "subject") + "x", Body: text.Draw(t, "body") + "x",
			Template: "plain", From: intercom.FromAdmin(rapid.Int64Min(1).Draw(t, "from")),
			To:                                    rapid.SliceOfN(recipient, 1, 3).Draw(t, "to"),
			CC:                                    rapid.SliceOfN(recipient, 0, 3).Draw(t, "cc"),
			BCC:                                   rapid.SliceOfN(recipient, 0, 3).Draw(t, "bcc"),
			CreatedAt:                             rapid.Int64Min(0).Draw(t, "created at"),
			CreateConversationWithoutContactReply: rapid.Bool().Draw(t, "open"),
		}
		want, err := json.Marshal(m)
		require.NoError(t, err)
		got, err := m.Encode()
		require.NoError(t, err)
		require.Equal(t, string(want), string(got))
	})
	// A new field must be written by hand, and be drawn above.
	require.Equal(t, 12, reflect.TypeFor[intercom.Message]().NumField())
	require.Equal(t, 4, reflect.TypeFor[intercom.Recipient]().NumField())

	m := whatsApp()
	want, err := json.Marshal(m)
	require.NoError(t, err)
	got, err := m.Encode()
	require.NoError(t, err)
	require.Equal(t, string(want), string(got))
}
