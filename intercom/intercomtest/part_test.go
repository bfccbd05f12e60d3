package intercomtest_test

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/intercom-dispatch/intercom-dispatch/intercom/intercomtest"
)

func TestPartsOfOthersAreInTheConversationAndNotified(t *testing.T) {
	t.Parallel()
	f, r := notified(t, intercomtest.Config{Admins: []intercomtest.Admin{{ID: "1", Name: "Ada"}, {ID: "2", Name: "Bo"}}})
	id := f.create(opened)
	tests := []struct {
		part                  intercomtest.Part
		kind, author, authors string
		topic                 string
	}{
		{intercomtest.Part{Text: "Hi"}, "comment", "1", "admin", "conversation.admin.replied"},
		{intercomtest.Part{AuthorID: "2", Text: "Hm", Type: "note"}, "note", "2", "admin", "conversation.admin.noted"},
		{intercomtest.Part{AuthorType: "bot", Text: "I am a bot"}, "comment", "990001", "bot", "conversation.operator.replied"},
		{intercomtest.Part{AuthorType: "bot", AuthorID: "7", Type: "assignment"}, "assignment", "7", "bot", "conversation.admin.assigned"},
		{intercomtest.Part{AuthorType: "team", Type: "close"}, "close", "990001", "team", "conversation.admin.closed"},
		{intercomtest.Part{Type: "attribute_changed"}, "attribute_changed", "1", "admin", "conversation.admin.replied"},
		{intercomtest.Part{Text: "x", Topic: "conversation.user.replied"}, "comment", "1", "admin", "conversation.user.replied"},
	}
	for i, tt := range tests {
		info, err := f.AddPart(t.Context(), id, tt.part)
		require.NoError(t, err)
		e := f.await(r, i+1)
		require.Equal(t, tt.topic, e.Topic)
		require.Equal(t, info.NotificationID, *e.ID)
		told := reply{status: http.StatusOK, body: e.Data.Item}.conversation(t)
		require.Len(t, told.Parts.Parts, 1, "the new part only")
		shown := f.get("/conversations/" + info.ConversationID).conversation(t)
		require.Len(t, shown.Parts.Parts, i+1)
		require.Equal(t, id, shown.Source.ID)
		require.Nil(t, shown.FirstContactReply)
		for _, p := range append(told.Parts.Parts, shown.Parts.Parts[i]) {
			require.Equal(t, info.PartID, p.ID)
			require.Equal(t, tt.kind, p.PartType)
			require.Equal(t, tt.author, p.Author.ID)
			require.Equal(t, tt.authors, p.Author.Type)
		}
	}
	require.Empty(t, f.Log().Replies)
	_, err := f.Reply(t.Context(), id, "At last")
	require.NoError(t, err)
	require.Len(t, f.search(`{"query":{"field":"statistics.first_contact_reply_at","operator":">","value":0}}`).Conversations, 1)
}

func TestPartNeedsAConversationAndAnAuthor(t *testing.T) {
	t.Parallel()
	f := newFake(t, intercomtest.Config{})
	_, err := f.AddPart(t.Context(), f.create(inapp), intercomtest.Part{Text: "x"})
	require.ErrorIs(t, err, intercomtest.ErrNotFound, "no conversation before the contact's reply")
	_, err = f.AddPart(t.Context(), "1", intercomtest.Part{Text: "x"})
	require.ErrorIs(t, err, intercomtest.ErrNotFound)
	id := f.create(opened)
	_, err = f.AddPart(t.Context(), id, intercomtest.Part{AuthorID: "9"})
	require.ErrorIs(t, err, intercomtest.ErrNotFound)
	_, err = f.AddPart(t.Context(), id, intercomtest.Part{AuthorType: "user"})
	require.ErrorContains(t, err, "admin, bot or team")
	info, err := f.AddPart(t.Context(), id, intercomtest.Part{})
	require.NoError(t, err)
	require.Empty(t, info.NotificationID, "nobody receives notifications")
}

func TestControlAPIAddsParts(t *testing.T) {
	t.Parallel()
	f := newFake(t, intercomtest.Config{})
	id := f.create(opened)
	r := f.plainly("POST", "/_fake/parts", `{"message_id":"`+id+`","type":"note","author_type":"bot","author_id":"7","text":"x"}`)
	require.Equal(t, http.StatusCreated, r.status)
	part := f.get("/conversations/" + r.json(t)["conversation_id"].(string)).conversation(t).Parts.Parts[0]
	require.Equal(t, r.json(t)["part_id"], part.ID)
	require.Equal(t, "note", part.PartType)
	require.Equal(t, "7", part.Author.ID)
	require.Equal(t, http.StatusNotFound, f.plainly("POST", "/_fake/parts", `{"message_id":"1"}`).status)
	require.Equal(t, http.StatusBadRequest, f.plainly("POST", "/_fake/parts", `{"message_id":"`+id+`","author_type":"user"}`).status)
}
