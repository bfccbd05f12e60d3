package worker_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/intercom-dispatch/intercom-dispatch/enqueue"
	"github.com/intercom-dispatch/intercom-dispatch/intercom/intercomtest"
	"github.com/intercom-dispatch/intercom-dispatch/ledger"
)

func TestAMessageWhoseTimeIsOverIsNotSent(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, b *bundle) {
		t.Helper()
		b.fail("waiting", intercomtest.Fault{Status: 503, Times: 1})
		over := time.Now().Add(500 * time.Millisecond)
		b.enqueue("queued", enqueue.ExpiresAt(over))
		time.Sleep(time.Until(over)) // The worker comes too late for it.
		b.run()
		// These have their first attempt, and are over before the second.
		b.enqueue("waiting", enqueue.ExpiresAt(time.Now().Add(500*time.Millisecond)))
		b.enqueue("in-time", enqueue.ExpiresAt(time.Now().Add(time.Hour)))

		for key, attempts := range map[string]int{"queued": 0, "waiting": 1} {
			r := b.waitState(key, ledger.Expired)
			require.Equal(t, attempts, r.Attempts, key)
			require.NotEmpty(t, r.Payload, key)
			require.Zero(t, r.NextAttemptAt, key)
			b.waitGone(key)
			require.Len(t, b.requests(key), attempts, key)
		}
		b.waitState("in-time", ledger.Sent)
		require.Len(t, b.Created(), 1)
		expired, err := b.ledger.List(t.Context(), ledger.Query{State: ledger.Expired, Limit: 10})
		require.NoError(t, err)
		require.Len(t, expired, 2)
	})
}

func TestACancelledMessageIsNotSent(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, b *bundle) {
		t.Helper()
		b.fail("sending", intercomtest.Fault{Latency: 4 * time.Second})
		b.run()
		b.enqueue("queued", enqueue.In(time.Second))
		b.enqueue("never-there")
		b.enqueue("sending")
		b.waitState("never-there", ledger.Waiting)
		for _, key := range []string{"queued", "never-there"} {
			require.NoError(t, b.producer.Cancel(t.Context(), key))
			b.waitGone(key)
		}
		b.waitState("sending", ledger.Sending)
		var late *enqueue.NotCancellableError
		require.ErrorAs(t, b.producer.Cancel(t.Context(), "sending"), &late)
		require.Equal(t, ledger.Sending, late.State)
		b.waitState("sending", ledger.Sent)
		// This one is due after the others would have been.
		b.enqueue("last", enqueue.In(time.Second))
		b.waitState("last", ledger.Sent)
		b.waitState("queued", ledger.Cancelled)
		b.waitState("never-there", ledger.Cancelled)
		require.Empty(t, b.requests("queued"))
		require.Len(t, b.requests("never-there"), 1)
	})
}

func TestAScheduledMessageIsNeverEarlyAndHardlyLate(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, b *bundle) {
		t.Helper()
		b.run()
		// asynq knows whole seconds only, so these are up to a second late.
		at := time.Now().Truncate(time.Second).Add(2 * time.Second)
		due := map[string]time.Time{
			"whole": at, "early": at.Add(300 * time.Millisecond), "late": at.Add(990 * time.Millisecond),
		}
		for key, at := range due {
			b.enqueue(key, enqueue.At(at))
		}
		for key, at := range due {
			b.waitState(key, ledger.Sent)
			sent := b.requests(key)[0].At
			require.False(t, sent.Before(at), "%s is %s early", key, at.Sub(sent))
			require.Less(t, sent.Sub(at), 1500*time.Millisecond, key)
		}
	})
}
