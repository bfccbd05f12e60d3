package replies_test

import (
	"testing"
	"time"

	"github.com/hibiken/asynq"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"github.com/intercom-dispatch/intercom-dispatch/intercom/intercomtest"
	"github.com/intercom-dispatch/intercom-dispatch/internal/wake"
	"github.com/intercom-dispatch/intercom-dispatch/ledger"
	"github.com/intercom-dispatch/intercom-dispatch/replies"
)

// begin begins an attempt at a message to a contact.
func (m *matching) begin(key, contact string) *ledger.Attempt {
	m.t.Helper()
	a, err := m.ledger.Begin(m.t.Context(), ledger.Task{
		Key: key, Enqueued: "e", Digest: "d", Priority: "normal", ContactIDs: []string{contact},
	}, ledger.BeginOptions{Lease: time.Minute, Contact: contact, ContactWait: time.Hour, FollowWait: time.Minute})
	require.NoError(m.t, err)
	return a
}

// missing records that a contact is missing, so that messages to it follow.
func (m *matching) missing(contact string) {
	m.t.Helper()
	a := m.begin("asks-"+contact, contact)
	require.NoError(m.t, m.ledger.Commit(m.t.Context(), a, ledger.Outcome{
		State: ledger.Waiting, Error: ledger.Error{Code: "not_found"}, ContactMissing: true, ContactTries: 1,
		ContactMissingSince: a.Now, NextAttemptAt: a.Now.Add(time.Hour),
	}))
	require.Equal(m.t, ledger.Follow, m.begin("follows-"+contact, contact).Verdict)
}

// waitUntilSendable polls: a message to the contact goes.
func (m *matching) waitUntilSendable(contact string) {
	m.t.Helper()
	require.Eventually(m.t, func() bool {
		return m.begin("follows-"+contact, contact).Verdict == ledger.Begun
	}, patience, 10*time.Millisecond, "%s is still missing", contact)
}

func TestWhateverShowsAContactAliveSendsItsMessages(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, m *matching) {
		t.Helper()
		m.run()
		for _, contact := range []string{"user", "lead", "tagged", "writes", "asks"} {
			m.missing(contact)
		}
		_, err := m.fake.CreateContact(t.Context(), intercomtest.Contact{ID: "user"})
		require.NoError(t, err)
		m.waitUntilSendable("user")
		_, err = m.fake.CreateContact(t.Context(), intercomtest.Contact{ID: "lead", Role: "lead"})
		require.NoError(t, err)
		m.waitUntilSendable("lead")
		m.notify("n1", `{"topic":"contact.user.tag.created","data":{"item":{"contact":{"type":"contact","id":"tagged"}}}}`)
		m.waitUntilSendable("tagged")
		m.notify("n2", `{"topic":"conversation.user.replied","data":{"item":{"id":"1","source":{"id":"9","author":{"type":"user","id":"other"}},
			"conversation_parts":{"conversation_parts":[{"id":"2","body":"Hi","author":{"type":"user","id":"writes"}}]}}}}`)
		m.waitUntilSendable("writes")
		m.notify("n3", `{"topic":"conversation.user.created","data":{"item":{"id":"1","source":{"author":{"type":"lead","id":"asks"}}}}}`)
		m.waitUntilSendable("asks")
	})
}

func TestAContactThatIsGoneIsKnownToBe(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, m *matching) {
		t.Helper()
		m.run()
		m.fake.AddContact(intercomtest.Contact{ID: "deleted"})
		m.fake.AddContact(intercomtest.Contact{ID: "archived"})
		m.missing("archived")
		m.missing("deleted")
		require.NoError(t, m.fake.ArchiveContact(t.Context(), "archived"))
		require.NoError(t, m.fake.DeleteContact(t.Context(), "deleted"))
		m.waitUntilSendable("deleted") // It is answered 404, and fails.
		former, err := m.ledger.Former(t.Context(), "deleted")
		require.NoError(t, err)
		require.Equal(t, &ledger.Former{}, former)
		require.Equal(t, ledger.Follow, m.begin("follows-archived", "archived").Verdict, "it is not there")
	})
}

func TestAMergeIsFollowed(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, m *matching) {
		t.Helper()
		m.run()
		m.fake.AddContact(intercomtest.Contact{ID: "ada"})
		m.fake.AddContact(intercomtest.Contact{ID: "bob"})
		sent := m.sent("sent")
		m.uncertain("doubtful", text(1))
		doubtful := m.exists(text(1))
		require.NoError(t, m.fake.MergeContact(t.Context(), "ada", "bob"))
		require.Eventually(t, func() bool {
			former, err := m.ledger.Former(t.Context(), "ada")
			return err == nil && former != nil && former.MergedInto == "bob"
		}, patience, 10*time.Millisecond)

		m.reply(sent, answer)
		e := m.event()
		require.Equal(t, "sent", e.Key)
		require.Equal(t, "bob", e.ContactID, "who has answered is the contact of today")
		m.reply(doubtful, answer)
		e = m.event()
		require.Equal(t, "doubtful", e.Key)
		require.Equal(t, doubtful, e.MessageID)
		require.Equal(t, ledger.Replied, m.lookup("doubtful").State)
	})
}

// TestAnEarlyReplyComesBackWhenItsMessageIsRecorded gives the parked notification
// no other way to come back in time.
func TestAnEarlyReplyComesBackWhenItsMessageIsRecorded(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, m *matching) {
		t.Helper()
		m.run(func(m *replies.Matcher) { m.SetUnknownWait(time.Hour) })
		w := wake.NewMessages(wake.New(m.rdb, zap.NewNop(), time.Now), m.ledger)
		m.start(t.Context(), w.Run)
		id := m.exists(text(1))
		first := m.reply(id, answer)
		second := m.reply(id, answer)
		m.waitTask(first.NotificationID, asynq.TaskStateRetry)
		m.waitTask(second.NotificationID, asynq.TaskStateRetry)

		a := m.begin("k", "ada")
		require.NoError(t, m.ledger.CommitSent(t.Context(), a, ledger.SentOutcome{MessageID: id}))
		require.True(t, a.Parked)
		require.NoError(t, w.Parked(t.Context(), id))
		parts := []string{m.event().PartID, m.event().PartID}
		require.ElementsMatch(t, []string{first.PartID, second.PartID}, parts)
	})
}
