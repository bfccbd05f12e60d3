package intercomtest_test

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/intercom-dispatch/intercom-dispatch/intercom/intercomtest"
)

// conversation is what a client reads of one.
type conversation struct {
	ID     string `json:"id"`
	Source struct {
		Type        string `json:"type"`
		ID          string `json:"id"`
		Subject     string `json:"subject"`
		Body        string `json:"body"`
		DeliveredAs string `json:"delivered_as"`
		Author      struct {
			Email string `json:"email"`
		} `json:"author"`
	} `json:"source"`
	Contacts struct {
		Contacts []struct {
			ID string `json:"id"`
		} `json:"contacts"`
	} `json:"contacts"`
	FirstContactReply *struct {
		CreatedAt int64 `json:"created_at"`
	} `json:"first_contact_reply"`
	Parts *struct {
		Parts []struct {
			ID       string `json:"id"`
			PartType string `json:"part_type"`
			Body     string `json:"body"`
			Author   struct {
				Type string `json:"type"`
				ID   string `json:"id"`
			} `json:"author"`
		} `json:"conversation_parts"`
		TotalCount int `json:"total_count"`
	} `json:"conversation_parts"`
}

func (r reply) conversation(tb testing.TB) conversation {
	tb.Helper()
	require.Equal(tb, http.StatusOK, r.status, "%s", r.body)
	var c conversation
	require.NoError(tb, json.Unmarshal(r.body, &c))
	return c
}

func TestReplyOpensTheMessagesConversation(t *testing.T) {
	t.Parallel()
	clock := newClock()
	f := newFake(t, intercomtest.Config{Now: clock.now})
	id := f.create(email)
	clock.advance(time.Minute)
	info, err := f.Reply(t.Context(), id, "Thanks")
	require.NoError(t, err)
	require.Equal(t, "jo", info.ContactID)
	require.Empty(t, info.NotificationID, "nobody receives notifications")

	c := f.get("/conversations/" + info.ConversationID).conversation(t)
	require.Equal(t, "email", c.Source.Type)
	require.Equal(t, id, c.Source.ID)
	require.Equal(t, "admin_initiated", c.Source.DeliveredAs)
	require.Equal(t, "News", c.Source.Subject)
	require.Equal(t, "<p>Hello</p>", c.Source.Body)
	require.Equal(t, "ada@example.com", c.Source.Author.Email)
	require.Equal(t, clock.at.Unix(), c.FirstContactReply.CreatedAt)
	require.Equal(t, 1, c.Parts.TotalCount)
	require.Equal(t, info.PartID, c.Parts.Parts[0].ID)
	require.Equal(t, "<p>Thanks</p>", c.Parts.Parts[0].Body)
	require.Equal(t, "user", c.Parts.Parts[0].Author.Type)
	require.Equal(t, "jo", c.Parts.Parts[0].Author.ID)
}

func TestFurtherRepliesStayInTheConversation(t *testing.T) {
	t.Parallel()
	f := newFake(t, intercomtest.Config{})
	id := f.create(opened)
	first, err := f.Reply(t.Context(), id, "One")
	require.NoError(t, err)
	second, err := f.Reply(t.Context(), id, "Two")
	require.NoError(t, err)
	require.Equal(t, f.Created()[0].ConversationID, first.ConversationID)
	require.Equal(t, first.ConversationID, second.ConversationID)
	require.NotEqual(t, first.PartID, second.PartID)
	require.Equal(t, 2, f.get("/conversations/"+first.ConversationID).conversation(t).Parts.TotalCount)
	require.Len(t, f.Log().Replies, 2)
}

func TestReplyNeedsAMessageAndOneOfItsRecipients(t *testing.T) {
	t.Parallel()
	f := newFake(t, intercomtest.Config{UnknownContacts: intercomtest.UnknownMessageable})
	_, err := f.Reply(t.Context(), "1", "x")
	require.ErrorIs(t, err, intercomtest.ErrNotFound)
	id := f.create(`{"message_type":"inapp","body":"x","to":[{"type":"user","id":"a"},{"type":"lead","id":"b"}],"bcc":{"type":"user","id":"c"}}`)
	_, err = f.ReplyAs(t.Context(), id, "c", "x")
	require.ErrorIs(t, err, intercomtest.ErrNotFound)
	info, err := f.ReplyAs(t.Context(), id, "b", "x")
	require.NoError(t, err)
	c := f.get("/conversations/" + info.ConversationID).conversation(t)
	require.Len(t, c.Contacts.Contacts, 2)
	require.Equal(t, "lead", c.Parts.Parts[0].Author.Type)
}

func TestConversationShowsBodiesAsHTMLOrAsText(t *testing.T) {
	t.Parallel()
	tests := map[string]struct{ body, html, text string }{
		"text":       {`1 < 2 & "3"`, `<p>1 &lt; 2 &amp; &#34;3&#34;</p>`, `1 < 2 & "3"`},
		"lines":      {"a\nb\n\nc", "<p>a<br>b</p>\n<p>c</p>", "a\nb\n\nc"},
		"paragraph":  {"<p>a</p><p>b &amp; c</p>", "<p>a</p><p>b &amp; c</p>", "a\nb & c"},
		"inline tag": {"a <b>b</b>", "<p>a <b>b</b></p>", "a b"},
		"escaped":    {"a &amp; b", "<p>a &amp;amp; b</p>", "a &amp; b"},
		"attributes": {
			`<p class="x" onclick="y()">a <a href="/b" style="c">b</a></p><img src="d.png" width="9">`,
			`<p>a <a href="/b">b</a></p><img src="d.png">`, "a b",
		},
		"unknown tag": {"<font>a</font>", "<p>a</p>", "a"},
		"script":      {"<script>x < 1</script><p>a</p><style>p {}</style><!-- b -->", "<p>a</p>", "a"},
		"link": {
			"See https://x.example/?a=1&b=2.",
			`<p>See <a href="https://x.example/?a=1&amp;b=2" rel="nofollow noopener noreferrer" target="_blank">https://x.example/?a=1&amp;b=2</a>.</p>`,
			"See https://x.example/?a=1&b=2.",
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFake(t, intercomtest.Config{})
			body, err := json.Marshal(tt.body)
			require.NoError(t, err)
			f.create(strings.Replace(opened, `"Hello"`, string(body), 1))
			path := "/conversations/" + f.Created()[0].ConversationID
			require.Equal(t, tt.html, f.get(path).conversation(t).Source.Body)
			require.Equal(t, tt.text, f.get(path+"?display_as=plaintext").conversation(t).Source.Body)
		})
	}
}

func TestConversationShowsItsNewestParts(t *testing.T) {
	t.Parallel()
	f := newFake(t, intercomtest.Config{})
	id := f.create(opened)
	var last intercomtest.ReplyInfo
	for range 501 {
		var err error
		last, err = f.Reply(context.Background(), id, "x")
		require.NoError(t, err)
	}
	c := f.get("/conversations/" + last.ConversationID).conversation(t)
	require.Len(t, c.Parts.Parts, 500)
	require.Equal(t, 501, c.Parts.TotalCount)
	require.Equal(t, last.PartID, c.Parts.Parts[499].ID)
}
