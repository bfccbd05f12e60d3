package worker_test

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/intercom-dispatch/intercom-dispatch/enqueue"
	"github.com/intercom-dispatch/intercom-dispatch/intercom"
	"github.com/intercom-dispatch/intercom-dispatch/intercom/intercomtest"
	"github.com/intercom-dispatch/intercom-dispatch/internal/wake"
	"github.com/intercom-dispatch/intercom-dispatch/ledger"
	"github.com/intercom-dispatch/intercom-dispatch/worker"
)

// enqueueMany hands over messages to one contact.
func (b *bundle) enqueueMany(n int, contact string, opts ...enqueue.Option) (keys []string) {
	b.t.Helper()
	var requests []enqueue.Request
	for i := range n {
		r := enqueue.Request{Key: fmt.Sprintf("%s-%03d", contact, i), Message: inApp(contact)}
		for _, o := range opts {
			o(&r)
		}
		requests = append(requests, r)
		keys = append(keys, r.Key)
	}
	_, err := b.producer.EnqueueBatch(b.t.Context(), requests)
	require.NoError(b.t, err)
	return keys
}

// missing counts the answers that a contact is missing.
func (b *bundle) missing(contact string) (n int) {
	for _, r := range b.requests(contact) {
		if r.Status == http.StatusNotFound {
			n++
		}
	}
	return n
}

// waitAll polls until every message is in a state.
func (b *bundle) waitAll(keys []string, want ledger.State) {
	b.t.Helper()
	require.Eventually(b.t, func() bool {
		return !slices.ContainsFunc(keys, func(key string) bool {
			r, err := b.ledger.Lookup(b.t.Context(), key)
			return err != nil || r.State != want
		})
	}, patience, 20*time.Millisecond, "not all are %s", want)
}

// waker wakes as a webhook does.
func (b *bundle) waker() *wake.Messages {
	return wake.NewMessages(wake.New(b.rdb, b.log, time.Now), b.ledger)
}

func TestOneMessageAsksForAMissingContactAndTheOthersFollow(t *testing.T) {
	t.Parallel()
	const n = 200
	onEach(t, func(t *testing.T, b *bundle) {
		t.Helper()
		b.AddContact(intercomtest.Contact{ID: "grace", MessageableAt: time.Now().Add(time.Hour)})
		for range 2 {
			b.run(func(c *worker.Config) { c.Concurrency = 64 })
		}
		keys := b.enqueueMany(n, "grace")
		b.waitAll(keys, ledger.Waiting)
		b.waitFor("some probes", func(intercomtest.Log) bool { return b.missing("grace") > 3 })
		require.EventuallyWithT(t, func(c *assert.CollectT) { // A probe may be made meanwhile.
			asked, followers, before := 0, 0, b.missing("grace")
			for _, key := range keys {
				r, err := b.producer.Get(t.Context(), key)
				require.NoError(c, err)
				require.Equal(c, ledger.Waiting, r.State)
				require.Equal(c, 404, r.LastError.Status, "%s does not say why it waits", key)
				require.NotZero(c, r.NextAttemptAt)
				if r.Attempts == 0 {
					followers++
				}
				asked += r.Attempts
			}
			assert.Equal(c, before, asked, "attempts are the requests that were made")
			assert.GreaterOrEqual(c, followers, n-10)
		}, patience, 50*time.Millisecond)

		b.AddContact(intercomtest.Contact{ID: "grace"})
		b.waitFor("all messages", func(l intercomtest.Log) bool { return len(l.Created) == n })
		b.waitAll(keys, ledger.Sent)
		require.Less(t, b.missing("grace"), 30)
		require.Len(t, b.created("grace"), n)
	})
}

func TestWhoShowsThatTheContactIsThereWakesAllAtOnce(t *testing.T) {
	t.Parallel()
	const n = 40
	onEach(t, func(t *testing.T, b *bundle) {
		t.Helper()
		b.AddContact(intercomtest.Contact{ID: "grace", MessageableAt: time.Now().Add(time.Hour)})
		b.run()
		keys := b.enqueueMany(n, "grace")
		b.waitAll(keys, ledger.Waiting)
		// After the fifth answer the next probe is at least eight seconds away.
		b.waitFor("five answers", func(intercomtest.Log) bool { return b.missing("grace") >= 5 })
		b.AddContact(intercomtest.Contact{ID: "grace"})
		w := b.waker()
		b.runWaker(w) // The last probe's task may be in hand still.
		began := time.Now()
		_, err := w.Contact(t.Context(), "grace", "")
		require.NoError(t, err)
		b.waitFor("all messages", func(l intercomtest.Log) bool { return len(l.Created) == n })
		require.Less(t, time.Since(began), 7*time.Second, "they have waited for the next probe")
		b.waitAll(keys, ledger.Sent)
	})
}

func TestFollowersFailWithTheirContactWaitWithoutAskingEach(t *testing.T) {
	t.Parallel()
	const n = 60
	onEach(t, func(t *testing.T, b *bundle) {
		t.Helper()
		b.run()
		keys := b.enqueueMany(n, "never-1", enqueue.ContactWait(4*time.Second))
		b.waitAll(keys, ledger.Failed)
		require.Less(t, b.missing("never-1"), n/2)
		for _, key := range keys {
			r, err := b.producer.Get(t.Context(), key)
			require.NoError(t, err)
			require.Contains(t, r.LastError.Message, "within the contact wait of 4s: User Not Found", key)
			require.Equal(t, "not_found", r.LastError.Code)
			require.NotEmpty(t, r.Payload)
		}
		require.Empty(t, b.Created())
	})
}

func TestAPersonsRetryAsksAgain(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, b *bundle) {
		t.Helper()
		b.AddContact(intercomtest.Contact{ID: "grace", MessageableAt: time.Now().Add(time.Hour)})
		b.run()
		keys := b.enqueueMany(3, "grace")
		b.waitFor("some probes", func(intercomtest.Log) bool { return b.missing("grace") > 4 })
		b.waitAll(keys, ledger.Waiting)
		b.AddContact(intercomtest.Contact{ID: "grace"})
		require.NoError(t, b.producer.Retry(t.Context(), keys[2]))
		b.waitState(keys[2], ledger.Sent)
	})
}

func TestAMessageToSeveralContactsWaitsForEachOfThem(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, b *bundle) {
		t.Helper()
		b.AddContact(intercomtest.Contact{ID: "grace", MessageableAt: time.Now().Add(time.Hour)})
		b.run()
		m := inApp("ada")
		m.CC = intercom.ToUser("grace")
		b.enqueueMessage("both", m)
		b.enqueue("ada")
		b.waitState("ada", ledger.Sent) // It is not missing.
		b.waitFor("four probes", func(intercomtest.Log) bool { return b.missing("grace") >= 4 })
		b.AddContact(intercomtest.Contact{ID: "grace"})
		w := b.waker()
		b.runWaker(w)
		_, err := w.Contact(t.Context(), "grace", "")
		require.NoError(t, err)
		b.waitState("both", ledger.Sent)
	})
}

// runWaker runs a waker until the test ends.
func (b *bundle) runWaker(w *wake.Messages) {
	b.t.Helper()
	ctx, stop := context.WithCancel(context.WithoutCancel(b.t.Context()))
	done := make(chan error, 1)
	go func() { done <- w.Run(ctx) }()
	b.t.Cleanup(func() {
		stop()
		require.NoError(b.t, <-done)
	})
}

// TestTheErrorSaysWhatA404Means tells apart what Intercom answers alike.
func TestTheErrorSaysWhatA404Means(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, b *bundle) {
		t.Helper()
		b.AddContact(intercomtest.Contact{ID: "new", MessageableAt: time.Now().Add(time.Hour)})
		b.AddContact(intercomtest.Contact{ID: "lead", Role: "lead"})
		b.AddContact(intercomtest.Contact{ID: "old"})
		b.AddContact(intercomtest.Contact{ID: "other"})
		require.NoError(t, b.MergeContact(t.Context(), "old", "other"))
		require.NoError(t, b.ledger.Deleted(t.Context(), "deleted"))
		b.AddContact(intercomtest.Contact{ID: "deleted", MessageableAt: time.Now().Add(time.Hour)})
		b.fail("admin", intercomtest.Fault{
			Status: 404, Body: `{"type":"error.list","request_id":"r","errors":[{"code":"not_found","message":"Resource Not Found"}]}`,
		})
		b.run()
		for _, contact := range []string{"new", "lead", "old", "deleted", "never-1"} {
			b.enqueue(contact)
		}
		m := inApp("admin")
		m.From = intercom.FromAdmin(4711)
		b.enqueueMessage("admin", m)

		explained := func(key string, s ledger.State, code, text string) {
			t.Helper()
			require.EventuallyWithT(t, func(c *assert.CollectT) {
				r, err := b.producer.Get(t.Context(), key)
				if assert.NoError(c, err) && assert.NotNil(c, r.LastError) {
					assert.Equal(c, s, r.State)
					assert.Equal(c, code, r.LastError.Code)
					assert.Contains(c, r.LastError.Message, text)
				}
			}, patience, 20*time.Millisecond, key)
		}
		explained("deleted", ledger.Failed, "contact_deleted", "the contact was deleted")
		explained("old", ledger.Failed, "contact_merged", "merged into other")
		explained("admin", ledger.Failed, "admin_not_found", "no admin 4711")
		explained("new", ledger.Waiting, "not_found", "exists, and is not messageable yet")
		explained("lead", ledger.Waiting, "not_found", "is a lead, and the message is addressed to a user")
		explained("never-1", ledger.Waiting, "not_found", "no such contact")
		require.LessOrEqual(t, b.missing("old"), 3)

		// What is known of a contact is not asked again.
		n := len(b.requests("old"))
		b.enqueueMessage("again", inApp("old"))
		explained("again", ledger.Failed, "contact_merged", "merged into other")
		require.Len(t, b.requests("old"), n)
	})
}
