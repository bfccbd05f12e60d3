package worker_test

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/intercom-dispatch/intercom-dispatch/enqueue"
	"github.com/intercom-dispatch/intercom-dispatch/intercom"
	"github.com/intercom-dispatch/intercom-dispatch/intercom/intercomtest"
	"github.com/intercom-dispatch/intercom-dispatch/internal/redistest"
	"github.com/intercom-dispatch/intercom-dispatch/ledger"
	"github.com/intercom-dispatch/intercom-dispatch/worker"
)

func TestDeliversOnceAndKeepsTheIDAndNoText(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, b *bundle) {
		t.Helper()
		reports := make(chan worker.Report, 1)
		b.run(func(c *worker.Config) { c.OnAttempt = func(r worker.Report) { reports <- r } })
		m := inApp("ada")
		m.CreateConversationWithoutContactReply = true
		b.enqueueMessage("order-1042", m, enqueue.Metadata(map[string]string{"order": "1042"}))

		report := <-reports
		created := b.Created()
		require.Len(t, created, 1)
		require.Equal(t, text, created[0].Body)
		require.Equal(t, worker.Report{
			Key: "order-1042", Attempt: 1, Outcome: worker.KindSent, State: ledger.Sent,
			MessageID: created[0].ID, ConversationID: created[0].ConversationID, Took: report.Took,
		}, report)

		r, err := b.producer.Get(t.Context(), "order-1042")
		require.NoError(t, err)
		require.Equal(t, ledger.Sent, r.State)
		require.Equal(t, created[0].ID, r.MessageID)
		require.Equal(t, created[0].ConversationID, r.ConversationID)
		require.Equal(t, 1, r.Attempts)
		require.Equal(t, []string{"ada"}, r.ContactIDs)
		require.Equal(t, map[string]string{"order": "1042"}, r.Metadata)
		require.WithinDuration(t, time.Now(), r.SentAt, time.Minute)
		require.False(t, r.PossibleDuplicate)
		byID, err := b.producer.ByMessageID(t.Context(), created[0].ID)
		require.NoError(t, err)
		require.Equal(t, r, byID)

		// asynq's list of what its workers do has the text for seconds more.
		b.waitGone("order-1042")
		require.Eventually(t, func() bool { return len(b.holding(confidential)) == 0 },
			patience, 100*time.Millisecond, "the text is still in Redis")
		require.Len(t, b.requests("ada"), 1)
	})
}

func TestDeliversEveryTypeOfMessage(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, b *bundle) {
		t.Helper()
		b.run()
		b.enqueue("in-app")
		b.enqueueMessage("email", email("email"))
		b.enqueueMessage("lead", &intercom.Message{
			MessageType: intercom.InAppShort, Body: text, From: intercom.FromAdmin(1), To: intercom.ToLead("lead"),
		})
		b.enqueueMessage("whatsapp", &intercom.Message{
			MessageType: intercom.WhatsApp, Template: "welcome", Locale: "en",
			Components: []json.RawMessage{[]byte(`{"type":"BODY"}`)},
			From:       intercom.FromAdmin(1), To: intercom.Recipients{{Phone: "353871234567", Name: "Ada"}},
		})
		ids := map[string]string{}
		for _, key := range []string{"in-app", "email", "lead", "whatsapp"} {
			ids[b.waitState(key, ledger.Sent).MessageID] = key
		}
		require.Len(t, b.Created(), 4)
		kinds := map[string]string{}
		for _, m := range b.Created() {
			kinds[ids[m.ID]] = m.MessageType
		}
		require.Equal(t, map[string]string{
			"in-app": "inapp", "email": "email", "lead": "inapp", "whatsapp": "whatsapp",
		}, kinds)
	})
}

func TestAHighMessageOvertakesABacklogOfBulk(t *testing.T) {
	t.Parallel()
	const backlog = 30
	onEach(t, func(t *testing.T, b *bundle) {
		t.Helper()
		var requests []enqueue.Request
		for i := range backlog {
			requests = append(requests, enqueue.Request{
				Key: fmt.Sprintf("bulk-%d", i), Message: inApp(fmt.Sprintf("bulk-%d", i)), Priority: enqueue.Bulk,
			})
		}
		_, err := b.producer.EnqueueBatch(t.Context(), requests)
		require.NoError(t, err)
		b.InjectFault(intercomtest.Fault{Latency: 10 * time.Millisecond})
		b.run(func(c *worker.Config) { c.Concurrency = 1 })
		b.waitFor("the backlog moves", func(l intercomtest.Log) bool { return len(l.Created) >= 3 })
		b.enqueue("urgent", enqueue.WithPriority(enqueue.High))
		b.waitFor("all", func(l intercomtest.Log) bool { return len(l.Created) == backlog+1 })
		place := 0
		for i, m := range b.Created() {
			if m.Recipients.To[0] == "urgent" {
				place = i
			}
		}
		require.Less(t, place, backlog/2, "it waited behind the backlog")
	})
}

func TestSeveralWorkersDeliverEachMessageOnce(t *testing.T) {
	t.Parallel()
	const messages = 80
	onEach(t, func(t *testing.T, b *bundle) {
		t.Helper()
		for range 2 {
			b.run()
		}
		var requests []enqueue.Request
		for i := range messages {
			requests = append(requests, enqueue.Request{Key: fmt.Sprintf("m-%d", i), Message: inApp(fmt.Sprintf("m-%d", i))})
		}
		_, err := b.producer.EnqueueBatch(t.Context(), requests)
		require.NoError(t, err)
		b.waitFor("all", func(l intercomtest.Log) bool { return len(l.Created) >= messages })
		for i := range messages {
			key := fmt.Sprintf("m-%d", i)
			b.waitState(key, ledger.Sent)
			require.Len(t, b.created(key), 1)
		}
		require.Len(t, b.Requests(), messages)
	})
}

// TestKeepsTheTextWhileItMayBeNeeded is the other half of the first test: the
// search finds what it looks for.
func TestKeepsTheTextWhileItMayBeNeeded(t *testing.T) {
	t.Parallel()
	b := setup(t, redistest.Mini(t), intercomtest.Config{})
	b.enqueue("later", enqueue.In(time.Hour))
	require.NotEmpty(t, b.holding(confidential))
}
