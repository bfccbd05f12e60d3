package settle_test

import (
	"bytes"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"unicode"

	"github.com/stretchr/testify/require"
	"golang.org/x/net/html"
	"pgregory.net/rapid"

	"github.com/intercom-dispatch/intercom-dispatch/intercom"
	"github.com/intercom-dispatch/intercom-dispatch/intercom/intercomtest"
	"github.com/intercom-dispatch/intercom-dispatch/internal/settle"
)

// notifications keeps the last notification that Intercom sent.
type notifications struct {
	mu   sync.Mutex
	last []byte
}

func (n *notifications) ServeHTTP(_ http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	n.mu.Lock()
	defer n.mu.Unlock()
	n.last = body
}

func (n *notifications) conversation(t require.TestingT) *intercom.Conversation {
	n.mu.Lock()
	defer n.mu.Unlock()
	event, err := intercom.ParseNotification(n.last)
	require.NoError(t, err)
	c, err := event.Conversation()
	require.NoError(t, err)
	return c
}

// pipeline sends texts through a fake Intercom.
type pipeline struct {
	*workspace
	sink *notifications
}

func newPipeline(t *testing.T, htmlNotifications bool) *pipeline {
	t.Helper()
	sink := new(notifications)
	return &pipeline{sink: sink, workspace: newWorkspace(t, intercomtest.Config{
		WebhookURL: "http://receiver.test", HTMLNotifications: htmlNotifications,
		HTTPClient: &http.Client{Transport: intercomtest.HandlerTransport(sink)}, RateLimit: 1 << 30,
	})}
}

// show creates the message and returns its conversation as a search and as a
// notification have it.
func (p *pipeline) show(t require.TestingT, m *intercom.Message) []*intercom.Conversation {
	ctx := p.t.Context()
	created, _, err := p.client.CreateMessage(ctx, m)
	require.NoError(t, err)
	page, _, err := p.client.SearchConversations(ctx, intercom.SearchRequest{
		Query: intercom.Filter("source.id", intercom.Equal, string(created.ID)),
	})
	require.NoError(t, err)
	require.Len(t, page.Conversations, 1)
	before := len(p.Deliveries())
	_, err = p.Reply(ctx, string(created.ID), "ok")
	require.NoError(t, err)
	require.NoError(t, p.WaitFor(ctx, func(l intercomtest.Log) bool { return len(l.Deliveries) > before }))
	return []*intercom.Conversation{&page.Conversations[0], p.sink.conversation(t)}
}

// isReadable tells whether a body is valid, and a browser shows anything to
// read of it.
func isReadable(m *intercom.Message) bool {
	if m.Validate() != nil {
		return false
	}
	tokens := html.NewTokenizer(strings.NewReader(m.Body))
	hidden := false
	for {
		switch token := tokens.Next(); token {
		case html.ErrorToken:
			return false
		case html.TextToken:
			if !hidden && bytes.ContainsFunc(tokens.Text(), isLetterOrDigit) {
				return true
			}
		case html.StartTagToken, html.EndTagToken, html.SelfClosingTagToken:
			name, _ := tokens.TagName()
			hidden = token == html.StartTagToken && slices.Contains([]string{"script", "style", "title"}, string(name))
		case html.CommentToken, html.DoctypeToken:
		}
	}
}

func isLetterOrDigit(r rune) bool { return unicode.IsLetter(r) || unicode.IsDigit(r) }

// pieces are what bodies are made of: plain ones and such as are difficult.
var pieces = []string{
	"Hello", "order 1042", "a", "b ", " ", "\n", "\r\n", "\n\n", "\t", "\u00a0", "\u200b", "é", "e\u0301", "👩‍👩‍👧", "❤️",
	"&", "&amp;", "&lt;b&gt;", "&copy=2", "<", ">", "1 < 2", "<3", `"q"`, "'", "https://x.example/?a=1&b=2", "{{first_name}}", "{% if x %}",
}

var tags = []string{
	"<p>", "</p>", "<b>", "</b>", "<br>", "<br/>", `<a href="https://x.example" class="c">`, "</a>", "<ul><li>", "</li></ul>",
	`<img src="a.png">`, "<script>var x = 1</script>", "<style>p {}</style>", "<!-- note -->", "<font>", `<div style="x">`, "</div>",
	"<table><tr><td>", "</td><td>", "</td></tr></table>",
}

func TestEveryTextFitsItsOwnConversation(t *testing.T) {
	t.Parallel()
	for name, htmlNotifications := range map[string]bool{"text": false, "HTML": true} {
		t.Run(name+" in notifications", func(t *testing.T) {
			t.Parallel()
			p := newPipeline(t, htmlNotifications)
			rapid.Check(t, func(t *rapid.T) {
				parts := rapid.SliceOfN(rapid.OneOf(rapid.SampledFrom(pieces), rapid.SampledFrom(tags), rapid.String()), 1, 12).Draw(t, "parts")
				m := message(strings.Join(parts, ""))
				if !isReadable(m) {
					t.Skip("nothing to read")
				}
				for _, c := range p.show(t, m) {
					require.True(t, settle.Fits(m, c, since), "%q", c.Source.Body)
				}
			})
		})
	}
}

func TestDifferentTextsDoNotFitEachOther(t *testing.T) {
	t.Parallel()
	p := newPipeline(t, false)
	// Words leave no doubt about what is the same text.
	text := rapid.SliceOfN(rapid.SampledFrom([]string{"a", "ab", "b", "1", "&", "é", "<3", "order", "👍"}), 1, 6)
	rapid.Check(t, func(t *rapid.T) {
		one, other := strings.Join(text.Draw(t, "one"), " "), strings.Join(text.Draw(t, "other"), " ")
		for _, c := range p.show(t, message(one)) {
			require.Equal(t, one == other, settle.Fits(message(other), c, since), "%q", c.Source.Body)
		}
	})
}

func FuzzFits(f *testing.F) {
	for _, s := range append(pieces, tags...) {
		f.Add(s, "Hello")
	}
	f.Fuzz(func(t *testing.T, ours, theirs string) {
		m := message(ours)
		if isReadable(m) {
			require.True(t, settle.Fits(m, conversation(ours), since))
		}
		// Neither may panic, and text that goes on does not fit.
		settle.Fits(m, conversation(theirs), since)
		if !strings.ContainsAny(ours+theirs, "<>&{") && isReadable(message(theirs)) {
			require.False(t, settle.Fits(m, conversation(ours+"x"+theirs), since))
		}
	})
}
