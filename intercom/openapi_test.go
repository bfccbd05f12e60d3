package intercom_test

import (
	"encoding/json"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/intercom-dispatch/intercom-dispatch/intercom"
	"github.com/intercom-dispatch/intercom-dispatch/intercom/intercomtest"
	"github.com/intercom-dispatch/intercom-dispatch/internal/openapitest"
)

// described returns a client of a fake Intercom between which every request
// and answer is held against Intercom's own description of that version.
func described(t *testing.T, version string) (*intercom.Client, *intercomtest.Server) {
	t.Helper()
	fake := intercomtest.New(intercomtest.Config{UnknownContacts: intercomtest.UnknownMessageable})
	t.Cleanup(fake.Close)
	server := httptest.NewServer(openapitest.Load(t, version).Middleware(t, fake))
	t.Cleanup(server.Close)
	c, err := intercom.New(intercom.Config{
		Token: intercom.StaticToken("t"), BaseURL: server.URL, Version: version,
	})
	require.NoError(t, err)
	t.Cleanup(c.Close)
	return c, fake
}

func TestRequestsAreAsIntercomDescribesThem(t *testing.T) {
	t.Parallel()
	for _, version := range []string{"2.14", "2.16"} {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			c, fake := described(t, version)
			several := append(intercom.ToUser("b"), intercom.ToLead("c")...)
			messages := []*intercom.Message{
				{MessageType: intercom.InApp, Body: "hi", From: intercom.FromAdmin(1), To: intercom.ToUser("a")},
				{MessageType: intercom.InAppShort, Body: "hi", From: intercom.FromAdmin(1), To: intercom.ToLead("l")},
				{
					MessageType: intercom.Email, Subject: "s", Body: "<p>hi</p>", Template: "personal",
					From: intercom.FromAdmin(1), To: several, CC: intercom.ToUser("d"), BCC: intercom.ToUser("e"),
					CreatedAt: 1_700_000_000, CreateConversationWithoutContactReply: true,
				},
			}
			for _, m := range messages {
				created, _, err := c.CreateMessage(t.Context(), m)
				require.NoError(t, err)
				require.NotEmpty(t, created.ID)
			}
			_, _, err := c.Me(t.Context())
			require.NoError(t, err)

			id := fake.Created()[2].ID
			page, _, err := c.SearchConversations(t.Context(), intercom.SearchRequest{
				Query: intercom.And(
					intercom.Filter("source.id", intercom.In, []string{id}),
					intercom.Filter("created_at", intercom.Greater, int64(1)),
				),
				PerPage: 150,
			})
			require.NoError(t, err)
			require.Len(t, page.Conversations, 1)
			require.Equal(t, intercom.ID(id), page.Conversations[0].Source.ID)

			conversation, _, err := c.Conversation(t.Context(), string(page.Conversations[0].ID))
			require.NoError(t, err)
			require.Equal(t, intercom.ID(id), conversation.Source.ID)
		})
	}
}

func TestContactsAreAskedForAsIntercomDescribesIt(t *testing.T) {
	t.Parallel()
	c, fake := described(t, "2.16")
	contact, _, err := c.Contact(t.Context(), "a")
	require.NoError(t, err)
	require.Equal(t, intercom.ID("a"), contact.ID)

	require.NoError(t, fake.MergeContact(t.Context(), "a", "b"))
	_, res, err := c.Contact(t.Context(), "a")
	require.Error(t, err)
	require.Equal(t, "b", res.Canonical)
}

func TestWhatsAppIsAsIntercomDescribesIt(t *testing.T) {
	t.Parallel()
	c, fake := described(t, "2.16")
	_, _, err := c.CreateMessage(t.Context(), &intercom.Message{
		MessageType: intercom.WhatsApp, Template: "keep_live", Locale: "en",
		Components: []json.RawMessage{[]byte(`{"type":"BODY","parameters":[{"type":"text","text":"x"}]}`)},
		From:       intercom.FromAdmin(1), To: intercom.Recipients{{Phone: "5547999998888", Name: "John Doe"}},
	})
	require.NoError(t, err)
	require.Equal(t, "whatsapp", fake.Created()[0].MessageType)
}
