package worker_test

import (
	"testing"
	"time"

	"github.com/hibiken/asynq"
	"github.com/stretchr/testify/require"

	"github.com/intercom-dispatch/intercom-dispatch/enqueue"
	"github.com/intercom-dispatch/intercom-dispatch/ledger"
)

// requireGaps asserts that at least these waits are between an answer and the
// next request.
func requireGaps(t *testing.T, b *bundle, contact string, waits ...time.Duration) {
	t.Helper()
	requests := b.requests(contact)
	require.Greater(t, len(requests), len(waits), "too few requests")
	for i, wait := range waits {
		answered := requests[i].At.Add(requests[i].Duration)
		gap := requests[i+1].At.Sub(answered)
		require.GreaterOrEqual(t, gap, wait, "request %d came too early", i+2)
		// A second for asynq's whole seconds, the rest for looking for work.
		require.Less(t, gap, wait+time.Second+2*time.Second, "request %d came late", i+2)
	}
}

func TestWaitsForAContactThatAppearsLater(t *testing.T) {
	t.Parallel()
	const contact = "appears-in-2500ms-grace"
	onEach(t, func(t *testing.T, b *bundle) {
		t.Helper()
		b.run()
		b.enqueue(contact)
		waiting := b.waitState(contact, ledger.Waiting)
		require.Equal(t, 404, waiting.LastError.Status)
		require.Equal(t, "User Not Found", waiting.LastError.Message)
		require.NotEmpty(t, waiting.LastError.RequestID)
		require.NotZero(t, waiting.NextAttemptAt)
		info := b.waitTask(contact, asynq.TaskStateRetry)
		require.Zero(t, info.Retried, "asynq counts a missing contact as a failure")
		require.WithinDuration(t, waiting.NextAttemptAt, info.NextProcessAt, 50*time.Millisecond)

		sent := b.waitState(contact, ledger.Sent)
		require.Nil(t, sent.LastError)
		require.Zero(t, sent.NextAttemptAt)
		require.GreaterOrEqual(t, sent.Attempts, 3)
		require.Len(t, b.created(contact), 1)
		require.Len(t, b.requests(contact), sent.Attempts)
		requireGaps(t, b, contact, time.Second, 2*time.Second)
		b.waitGone(contact)
	})
}

func TestAContactThatNeverAppearsFailsAfterTheContactWait(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, b *bundle) {
		t.Helper()
		b.run()
		b.enqueue("never-1", enqueue.ContactWait(2*time.Second))
		b.enqueue("never-2", enqueue.ContactWait(0))

		failed := b.waitState("never-2", ledger.Failed)
		require.Equal(t, 1, failed.Attempts, "without a contact wait the first 404 is the last")

		failed = b.waitState("never-1", ledger.Failed)
		require.Equal(t, "not_found", failed.LastError.Code)
		require.Contains(t, failed.LastError.Message, "within the contact wait of 2s: User Not Found")
		require.NotEmpty(t, failed.Payload, "an operator could not run it again")
		require.Zero(t, failed.NextAttemptAt)
		info := b.waitTask("never-1", asynq.TaskStateArchived)
		require.Contains(t, info.LastErr, "404 not_found: the contact did not become messageable")
		require.Zero(t, info.Retried)

		requests := b.requests("never-1")
		require.GreaterOrEqual(t, requests[len(requests)-1].At.Sub(requests[0].At), 2*time.Second)
		require.Empty(t, b.Created())
	})
}

func TestTheWorkersContactWaitIsForMessagesThatDoNotSay(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, b *bundle) {
		t.Helper()
		b.run(noContactWait)
		b.enqueue("never-1")
		b.enqueue("never-2", enqueue.ContactWait(time.Hour))
		b.waitState("never-1", ledger.Failed)
		b.waitState("never-2", ledger.Waiting)
	})
}
