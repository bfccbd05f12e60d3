package replies_test

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/intercom-dispatch/intercom-dispatch/intercom"
	"github.com/intercom-dispatch/intercom-dispatch/internal/task"
	"github.com/intercom-dispatch/intercom-dispatch/ledger"
	"github.com/intercom-dispatch/intercom-dispatch/replies"
)

// text is what message n to a contact says.
func text(n int) *intercom.Message {
	return &intercom.Message{
		MessageType: intercom.InApp, Body: fmt.Sprintf("<b>Hello</b> & welcome %s, this is %d", confidential, n),
		From: intercom.FromAdmin(1), To: intercom.ToUser("ada"),
	}
}

// uncertain records a message of which nobody knows whether it was created.
func (m *matching) uncertain(key string, msg *intercom.Message) *ledger.Attempt {
	m.t.Helper()
	e := &task.Envelope{Token: "T" + key, Digest: "d", Priority: task.Normal, Message: msg}
	payload, err := json.Marshal(e)
	require.NoError(m.t, err)
	a, err := m.ledger.Begin(m.t.Context(), e.LedgerTask(key, payload), ledger.BeginOptions{Lease: time.Minute})
	require.NoError(m.t, err)
	require.NoError(m.t, m.ledger.Commit(m.t.Context(), a, ledger.Outcome{State: ledger.Uncertain, Error: ledger.Error{Code: "no_answer"}}))
	return a
}

// exists has Intercom create a message whose answer nobody gets.
func (m *matching) exists(msg *intercom.Message) (messageID string) {
	m.t.Helper()
	created, _, err := m.client.CreateMessage(m.t.Context(), msg)
	require.NoError(m.t, err)
	return string(created.ID)
}

func (m *matching) lookup(key string) *ledger.Record {
	m.t.Helper()
	r, err := m.ledger.Lookup(m.t.Context(), key)
	require.NoError(m.t, err)
	return r
}

func TestAReplySettlesTheMessageThatItAnswers(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, m *matching) {
		t.Helper()
		m.uncertain("other", text(1))
		require.NoError(t, m.ledger.Hold(t.Context(), m.uncertain("held", text(2))))
		m.uncertain("third", text(3))
		id := m.exists(text(2))
		m.reply(id, answer)
		m.run()

		e := m.event()
		require.Equal(t, "held", e.Key)
		require.Equal(t, id, e.MessageID)
		require.Equal(t, answer, e.Text)
		r := m.lookup("held")
		require.Equal(t, ledger.Replied, r.State)
		require.Equal(t, id, r.MessageID)
		require.False(t, r.PossibleDuplicate)
		for _, key := range []string{"other", "third"} {
			require.Equal(t, ledger.Uncertain, m.lookup(key).State, key)
		}
	})
}

func TestOfTwoMessagesThatSayTheSameEachReplySettlesOne(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, m *matching) {
		t.Helper()
		m.uncertain("one", text(1))
		m.uncertain("two", text(1))
		ids := []string{m.exists(text(1)), m.exists(text(1))}
		m.run()
		var keys, found []string
		for _, id := range ids {
			m.reply(id, answer)
			e := m.event()
			keys, found = append(keys, e.Key), append(found, e.MessageID)
		}
		require.ElementsMatch(t, []string{"one", "two"}, keys)
		require.Equal(t, ids, found)
	})
}

// TestANewConversationSettlesItsMessage has no reply in its notification.
func TestANewConversationSettlesItsMessage(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, m *matching) {
		t.Helper()
		m.uncertain("k", text(1))
		m.notify("notif_1", fmt.Sprintf(`{"type":"notification_event","id":"notif_1","topic":"conversation.admin.single.created",
			"app_id":"a","data":{"item":{"type":"conversation","id":"613","created_at":%d,
			"source":{"id":"19","delivered_as":"admin_initiated","author":{"type":"admin","id":1},"body":"Hello & welcome %s, this is 1"},
			"contacts":{"contacts":[{"id":"ada"}]}}}}`, time.Now().Unix(), confidential))
		m.run()
		m.waitTask("notif_1", gone)
		r := m.lookup("k")
		require.Equal(t, ledger.Sent, r.State)
		require.Equal(t, "19", r.MessageID)
		require.Equal(t, "613", r.ConversationID)
		require.Zero(t, m.stream(), "nobody has replied")
	})
}

func TestAReplyToTheCopyOfAMessageThatWasSentAgainIsMatched(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, m *matching) {
		t.Helper()
		a := m.uncertain("k", text(1))
		first := m.exists(text(1))
		e := &task.Envelope{Token: "Tk", Digest: "d", Message: text(1)}
		again, err := m.ledger.Begin(t.Context(), e.LedgerTask("k", nil), ledger.BeginOptions{Lease: time.Minute, Settled: 1})
		require.NoError(t, err)
		require.Equal(t, a.Number+1, again.Number)
		second := m.exists(text(1))
		require.NoError(t, m.ledger.CommitSent(t.Context(), again, ledger.SentOutcome{MessageID: second}))
		m.run()
		m.reply(first, answer)
		require.Equal(t, "k", m.event().Key)
		require.True(t, m.lookup("k").PossibleDuplicate)
	})
}

func TestWhatDoesNotFitSettlesNothing(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, m *matching) {
		t.Helper()
		m.uncertain("text", text(1))
		elsewhere := text(2)
		elsewhere.To = intercom.ToUser("grace")
		m.uncertain("contact", elsewhere)
		foreign := m.exists(text(2))
		m.run(func(m *replies.Matcher) { m.SetUnknownTries(0) })
		m.reply(foreign, answer)
		require.Eventually(t, func() bool {
			return m.logs.FilterMessage("conversation is not about a message of ours").Len() == 1
		}, patience, 10*time.Millisecond)
		for _, key := range []string{"text", "contact"} {
			require.Equal(t, ledger.Uncertain, m.lookup(key).State, key)
		}
		require.Zero(t, m.stream())
	})
}
