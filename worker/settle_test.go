package worker_test

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/hibiken/asynq"
	"github.com/stretchr/testify/require"

	"github.com/intercom-dispatch/intercom-dispatch/enqueue"
	"github.com/intercom-dispatch/intercom-dispatch/intercom"
	"github.com/intercom-dispatch/intercom-dispatch/intercom/intercomtest"
	"github.com/intercom-dispatch/intercom-dispatch/internal/task"
	"github.com/intercom-dispatch/intercom-dispatch/ledger"
	"github.com/intercom-dispatch/intercom-dispatch/worker"
)

// opening is a message that opens a conversation.
func opening(contact string) *intercom.Message {
	m := inApp(contact)
	m.CreateConversationWithoutContactReply = true
	return m
}

// quickly has 'not found' believed within seconds.
func quickly(c *worker.Config) {
	c.SettleDelay, c.RequestTimeout, c.CommitTimeout = 2*time.Second, 500*time.Millisecond, 500*time.Millisecond
}

// searches counts the requests that looked for a message.
func (b *bundle) searches() int {
	n := 0
	for _, r := range b.Requests() {
		if r.Path == "/conversations/search" {
			n++
		}
	}
	return n
}

func TestAMessageThatWasCreatedIsFoundInsteadOfSentAgain(t *testing.T) {
	t.Parallel()
	faults := map[string]intercomtest.Fault{
		"cut":  {Cut: intercomtest.CutAfterCreate},
		"500":  {Status: 500, AfterCreate: true},
		"hang": {Latency: time.Second, AfterCreate: true},
		"504":  {Status: 504, AfterCreate: true, Body: "<html>Gateway Timeout</html>"},
	}
	onEach(t, func(t *testing.T, b *bundle) {
		t.Helper()
		for key, f := range faults {
			for _, policy := range []ledger.Policy{enqueue.Resend, enqueue.Hold} {
				contact := key + "-" + string(policy)
				b.fail(contact, f)
				b.enqueueMessage(contact, opening(contact), enqueue.IfUncertain(policy))
			}
		}
		b.run(quickly)
		for key := range faults {
			for _, policy := range []string{"resend", "hold"} {
				contact := key + "-" + policy
				r := b.waitState(contact, ledger.Sent)
				created := b.created(contact)
				require.Len(t, created, 1, contact)
				require.Equal(t, created[0].ID, r.MessageID, contact)
				require.Equal(t, created[0].ConversationID, r.ConversationID, contact)
				require.False(t, r.PossibleDuplicate, contact)
				require.Empty(t, r.Payload, contact)
				b.waitGone(contact)
			}
		}
	})
}

func TestAMessageThatIsNotFoundIsSentAgainAfterTheSettleDelay(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, b *bundle) {
		t.Helper()
		b.fail("ada", intercomtest.Fault{Status: 500, Times: 1})
		b.enqueueMessage("ada", opening("ada"))
		b.run(quickly)
		r := b.waitState("ada", ledger.Uncertain)
		require.False(t, r.NextAttemptAt.IsZero(), "people see when it is looked for")
		b.waitState("ada", ledger.Sent)
		requests := b.requests("ada")
		require.Len(t, requests, 2)
		require.GreaterOrEqual(t, requests[1].At.Sub(requests[0].At), 2*time.Second, "the search lags behind")
		require.Len(t, b.created("ada"), 1)
		require.GreaterOrEqual(t, b.searches(), 2)
	})
}

func TestAHeldMessageWasLookedForFirst(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, b *bundle) {
		t.Helper()
		b.fail("ada", intercomtest.Fault{Status: 500})
		b.enqueueMessage("ada", opening("ada"), enqueue.IfUncertain(enqueue.Hold))
		b.run(quickly)
		b.waitState("ada", ledger.Held)
		b.waitTask("ada", asynq.TaskStateArchived)
		require.Len(t, b.requests("ada"), 1)
		require.GreaterOrEqual(t, b.searches(), 2)
	})
}

func TestASearchThatFailsDecidesNothing(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, b *bundle) {
		t.Helper()
		b.InjectFault(intercomtest.Fault{Name: "search", Path: "/conversations/search", Status: 500, Times: 3})
		b.fail("ada", intercomtest.Fault{Cut: intercomtest.CutAfterCreate})
		b.enqueueMessage("ada", opening("ada"))
		b.run(quickly, func(c *worker.Config) { c.SettleDelay = time.Second })
		r := b.waitState("ada", ledger.Sent)
		require.Len(t, b.created("ada"), 1)
		require.False(t, r.PossibleDuplicate)
		require.Equal(t, 4, b.searches())
	})
}

func TestTheIDOfAnUnusableAnswerIsFound(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, b *bundle) {
		t.Helper()
		b.fail("ada", intercomtest.Fault{Status: 200, AfterCreate: true, NoBody: true})
		b.enqueueMessage("ada", opening("ada"), enqueue.IfUncertain(enqueue.Hold))
		b.run(quickly)
		b.waitState("ada", ledger.Sent)
		b.waitGone("ada")
		r := b.waitState("ada", ledger.Sent)
		require.Equal(t, b.created("ada")[0].ID, r.MessageID)
		require.Nil(t, r.LastError)
		require.Len(t, b.requests("ada"), 1)
	})
}

func TestAnIDThatIsNotFoundIsShownToPeople(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, b *bundle) {
		t.Helper()
		// Intercom says that it created it, and has not.
		b.fail("ada", intercomtest.Fault{Status: 200, NoBody: true})
		b.enqueueMessage("ada", opening("ada"))
		b.run(quickly)
		b.waitState("ada", ledger.Sent)
		b.waitGone("ada")
		require.Len(t, b.requests("ada"), 1, "it is never sent again")
		listed, err := b.ledger.List(t.Context(), ledger.Query{State: ledger.Sent})
		require.NoError(t, err)
		require.Len(t, listed, 1)
		require.Equal(t, "unusable_answer", listed[0].LastError.Code)
	})
}

// TestTwoMessagesThatSayTheSameAreNotTakenForEachOther has one of them sent and
// the other not.
func TestTwoMessagesThatSayTheSameAreNotTakenForEachOther(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, b *bundle) {
		t.Helper()
		w := b.run(quickly)
		b.enqueueMessage("first", opening("ada"))
		b.waitState("first", ledger.Sent)
		b.fail("ada", intercomtest.Fault{Status: 500, Times: 1})
		b.enqueueMessage("second", opening("ada"))
		second := b.waitState("second", ledger.Sent)
		require.NotEqual(t, b.waitState("first", ledger.Sent).MessageID, second.MessageID)
		require.Len(t, b.created("ada"), 2)
		w.end()
	})
}

// TestAnAttemptThatNobodyHasInHandIsFound has a record whose begin reached Redis
// after its worker, which lives, had given it up.
func TestAnAttemptThatNobodyHasInHandIsFound(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, b *bundle) {
		t.Helper()
		b.enqueue("ada")
		payload := b.payload("ada")
		var e task.Envelope
		require.NoError(t, json.Unmarshal(payload, &e))
		require.NoError(t, b.rdb.HSet(t.Context(), ledger.WorkersKey("main"), "other", `{"seq":1,"hands":[]}`).Err())
		_, err := b.ledger.Begin(t.Context(), e.LedgerTask("ada", payload),
			ledger.BeginOptions{Lease: 1500 * time.Millisecond, Worker: "other"})
		require.NoError(t, err)
		b.run()
		b.waitState("ada", ledger.Sent)
		require.Equal(t, 1, b.logs.FilterMessage("found an attempt that no worker has in hand").Len())
	})
}

// TestASearchNeedsNoSecondLeave has Intercom fail until the breaker is open, so
// that one request at a time may leave, and the first to do so is a search.
func TestASearchNeedsNoSecondLeave(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, b *bundle) {
		t.Helper()
		b.InjectFault(intercomtest.Fault{Name: "outage", Status: 500, Times: 12})
		for i := range 12 {
			b.enqueueMessage(fmt.Sprint("m", i), opening(fmt.Sprint("m", i)))
		}
		b.run(quickly, func(c *worker.Config) { c.Concurrency = 12 })
		for i := range 12 {
			key := fmt.Sprint("m", i)
			b.waitState(key, ledger.Sent)
			require.Len(t, b.created(key), 1)
		}
		require.Equal(t, 1, b.logs.FilterMessage("Intercom answers again").Len())
	})
}

func TestATokenThatMayNotSearchLeavesItToThePolicy(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, b *bundle) {
		t.Helper()
		b.InjectFault(intercomtest.Fault{Name: "search", Path: "/conversations/search", Status: 403})
		for _, policy := range []ledger.Policy{enqueue.Resend, enqueue.Hold} {
			contact := string(policy)
			b.fail(contact, intercomtest.Fault{Status: 500, Times: 1})
			b.enqueueMessage(contact, opening(contact), enqueue.IfUncertain(policy))
		}
		b.run(quickly)
		b.waitState("resend", ledger.Sent)
		b.waitState("hold", ledger.Held)
		require.Zero(t, b.logs.FilterMessage("workspace is on hold").Len(), "messages can be sent")
	})
}
