package replies_test

import (
	"context"
	"encoding/json"
	"os"
	"reflect"
	"regexp"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/intercom-dispatch/intercom-dispatch/ledger"
	"github.com/intercom-dispatch/intercom-dispatch/replies"
)

// fullEvent has a value in every field.
func fullEvent() replies.Event {
	return replies.Event{
		ID: "1795368278803-0", Version: replies.EventVersion, Workspace: "main",
		Key: "order-1042", Metadata: map[string]string{"order": "1042"},
		MessageID: "403918001", ConversationID: "50001", PartID: "7000001", ContactID: "536e564f316c83104c000020",
		AuthorType: "user", Text: "Thank you!", HTML: "<p>Thank you!</p>",
		Time: time.Date(2026, 11, 22, 17, 24, 38, 0, time.UTC), First: true, MatchedBy: replies.MatchedByWebhook,
	}
}

// version1 is what backends in any language read. It may only grow.
const version1 = `{"id":"1795368278803-0","version":1,"workspace":"main","key":"order-1042","metadata":{"order":"1042"},` +
	`"message_id":"403918001","conversation_id":"50001","part_id":"7000001","contact_id":"536e564f316c83104c000020",` +
	`"author_type":"user","text":"Thank you!","html":"\u003cp\u003eThank you!\u003c/p\u003e",` +
	`"time":"2026-11-22T17:24:38Z","first":true,"matched_by":"webhook"}`

func TestTheEventsJSONStaysAsItIsDocumented(t *testing.T) {
	t.Parallel()
	require.Equal(t, 1, replies.EventVersion, "a new version needs a new golden text and a chapter in docs/reply_events.md")
	e := fullEvent()
	v := reflect.ValueOf(e)
	for i := range v.NumField() {
		require.False(t, v.Field(i).IsZero(), "%s has no value here", v.Type().Field(i).Name)
	}
	b, err := json.Marshal(e)
	require.NoError(t, err)
	require.JSONEq(t, version1, string(b))
	var read replies.Event
	require.NoError(t, json.Unmarshal([]byte(version1), &read))
	require.Equal(t, e, read)

	// What has no value is left out only where the documentation says so.
	b, err = json.Marshal(replies.Event{Version: 1})
	require.NoError(t, err)
	require.JSONEq(t, `{"version":1,"workspace":"","key":"","message_id":"","conversation_id":"","part_id":"","contact_id":"",
		"author_type":"","text":"","time":"0001-01-01T00:00:00Z","first":false,"matched_by":""}`, string(b))
}

func TestEveryFieldOfAnEventIsDocumented(t *testing.T) {
	t.Parallel()
	doc, err := os.ReadFile("../docs/reply_events.md")
	require.NoError(t, err)
	documented := map[string]string{}
	for _, row := range regexp.MustCompile("(?m)^\\| `(\\w+)` \\| (\\w+)").FindAllStringSubmatch(string(doc), -1) {
		documented[row[1]] = row[2]
	}
	var fields map[string]any
	require.NoError(t, json.Unmarshal([]byte(version1), &fields))
	types := map[reflect.Kind]string{
		reflect.String: "string", reflect.Float64: "number", reflect.Bool: "boolean", reflect.Map: "object",
	}
	for name, value := range fields {
		require.Equal(t, types[reflect.TypeOf(value).Kind()], documented[name], "the type of %q in docs/reply_events.md", name)
	}
}

// runOmitting starts a matcher that leaves texts out.
func (m *matching) runOmitting() {
	m.t.Helper()
	matcher, err := replies.NewMatcher(replies.MatcherConfig{Redis: m.rdb, Log: m.log, OmitText: true})
	require.NoError(m.t, err)
	m.start(context.WithoutCancel(m.t.Context()), matcher.Run)
}

func TestTextsAreLeftOutOfTheStream(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, m *matching) {
		t.Helper()
		id := m.sent("question")
		m.runOmitting()
		m.reply(id, "<p>"+answer+"</p>")
		m.reply(id, answer)
		for i := range 2 {
			e := m.event()
			require.Equal(t, "question", e.Key)
			require.Equal(t, map[string]string{"order": "1042"}, e.Metadata)
			require.NotEmpty(t, e.PartID)
			require.Equal(t, i == 0, e.First)
			require.Empty(t, e.Text+e.HTML)
		}
		entries, err := m.rdb.XRange(t.Context(), ledger.ReplyStreamKey("main"), "-", "+").Result()
		require.NoError(t, err)
		require.Len(t, entries, 2)
		for _, entry := range entries {
			for field, value := range entry.Values {
				require.NotContains(t, value, confidential, "in %s", field)
			}
		}
	})
}

func TestTextsAreLeftOutOfWhatASearchFinds(t *testing.T) {
	t.Parallel()
	pollOnEach(t, func(t *testing.T, p *polling) {
		t.Helper()
		id := p.sent("question")
		p.reply(id, "<p>"+answer+"</p>")
		p.due()
		cfg := p.config()
		cfg.OmitText = true
		p.poll(cfg, once())
		e := p.event()
		require.Equal(t, replies.MatchedBySearch, e.MatchedBy)
		require.Equal(t, "question", e.Key)
		require.Empty(t, e.Text+e.HTML)
	})
}
