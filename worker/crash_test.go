package worker_test

import (
	"strings"
	"testing"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/intercom-dispatch/intercom-dispatch/enqueue"
	"github.com/intercom-dispatch/intercom-dispatch/intercom/intercomtest"
	"github.com/intercom-dispatch/intercom-dispatch/internal/redistest"
	"github.com/intercom-dispatch/intercom-dispatch/internal/task"
	"github.com/intercom-dispatch/intercom-dispatch/ledger"
	"github.com/intercom-dispatch/intercom-dispatch/worker"
)

// payload returns the task of a message as asynq holds it.
func (b *bundle) payload(key string) []byte {
	b.t.Helper()
	info, err := b.inspector.GetTaskInfo(task.Queue("main", task.Normal), key)
	require.NoError(b.t, err)
	return info.Payload
}

// dieSending leaves behind what a worker does that dies in mid-request.
func (b *bundle) dieSending(key string, lease time.Duration) {
	b.t.Helper()
	payload := b.payload(key)
	e, err := task.Decode(payload)
	require.NoError(b.t, err)
	a, err := b.ledger.Begin(b.t.Context(), e.LedgerTask(key, payload), ledger.BeginOptions{Lease: lease})
	require.NoError(b.t, err)
	require.Equal(b.t, ledger.Begun, a.Verdict)
}

// runAgain puts a task into its queue by hand, as asynq may where it has lost
// that it was done.
func (b *bundle) runAgain(key string, payload []byte) {
	b.t.Helper()
	_, err := asynq.NewClientFromRedisClient(b.rdb).Enqueue(asynq.NewTask(task.TypeMessage, payload),
		asynq.TaskID(key), asynq.Queue(task.Queue("main", task.Normal)), asynq.MaxRetry(task.MaxRetry))
	require.NoError(b.t, err)
}

func TestAfterACrashInMidRequestThePolicyDecides(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, b *bundle) {
		t.Helper()
		b.enqueue("hold", enqueue.IfUncertain(enqueue.Hold))
		b.enqueue("resend", enqueue.IfUncertain(enqueue.Resend))
		died := time.Now()
		const lease = 1500 * time.Millisecond
		b.dieSending("hold", lease)
		b.dieSending("resend", lease)
		b.run()

		sent := b.waitState("resend", ledger.Sent)
		require.True(t, sent.PossibleDuplicate)
		require.Equal(t, 2, sent.Attempts)
		requests := b.requests("resend")
		require.Len(t, requests, 1)
		require.GreaterOrEqual(t, requests[0].At.Sub(died), lease, "the other attempt may have been under way")

		held := b.waitState("hold", ledger.Held)
		require.Equal(t, "worker_lost", held.LastError.Code)
		require.NotEmpty(t, held.Payload)
		b.waitTask("hold", asynq.TaskStateArchived)
		require.Empty(t, b.requests("hold"))
	})
}

func TestATaskThatRunsAgainAfterItWasSentSendsNothing(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, b *bundle) {
		t.Helper()
		b.enqueue("ada")
		payload := b.payload("ada")
		w := b.run()
		sent := b.waitState("ada", ledger.Sent)
		b.waitGone("ada")
		for range 2 {
			b.runAgain("ada", payload)
			b.waitGone("ada")
			w.end()
			w = b.run()
		}
		require.Len(t, b.Requests(), 1)
		require.Equal(t, sent, b.waitState("ada", ledger.Sent))
	})
}

func TestATaskOfAnotherEnqueueingSendsNothing(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, b *bundle) {
		t.Helper()
		b.enqueue("never-1")
		payload := b.payload("never-1")
		b.run(noContactWait)
		b.waitState("never-1", ledger.Failed)
		b.waitTask("never-1", asynq.TaskStateArchived)
		require.NoError(t, b.inspector.DeleteTask(task.Queue("main", task.Normal), "never-1"))
		e, err := task.Decode(payload)
		require.NoError(t, err)
		other := []byte(strings.ReplaceAll(string(payload), e.Token, "ANOTHERTOKEN1"))
		b.runAgain("never-1", other)
		b.waitGone("never-1")
		b.waitState("never-1", ledger.Failed)
		require.Len(t, b.requests("never-1"), 1)
	})
}

// TestATaskOfADeadWorkerComesBack leaves in asynq's keys what a killed worker
// does, with a lease that ended long ago: to wait for it takes two minutes.
func TestATaskOfADeadWorkerComesBack(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, b *bundle) {
		t.Helper()
		b.enqueue("ada")
		queue := "asynq:{" + task.Queue("main", task.Normal) + "}:"
		ctx := t.Context()
		require.NoError(t, b.rdb.RPopLPush(ctx, queue+"pending", queue+"active").Err())
		require.NoError(t, b.rdb.HSet(ctx, queue+"t:ada", "state", "active").Err())
		require.NoError(t, b.rdb.ZAdd(ctx, queue+"lease", redis.Z{
			Score: float64(time.Now().Add(-2 * time.Minute).Unix()), Member: "ada",
		}).Err())
		require.Equal(t, asynq.TaskStateActive, b.waitTask("ada", asynq.TaskStateActive).State)
		b.run()
		b.waitState("ada", ledger.Sent)
		b.waitGone("ada")
		require.Len(t, b.created("ada"), 1)
	})
}

// TestADelayedCommitIsMadeWhenRedisIsBack has Redis away while the answer
// comes.
func TestADelayedCommitIsMadeWhenRedisIsBack(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t, redistest.Options{AppendOnly: true, Fsync: "always"})
	b := setup(t, s)
	b.fail("ada", intercomtest.Fault{Latency: time.Second})
	b.run(func(c *worker.Config) { c.CommitTimeout = 20 * time.Second })
	b.enqueue("ada", enqueue.IfUncertain(enqueue.Hold))
	b.waitFor("its request", func(l intercomtest.Log) bool { return l.Arrived == 1 })
	s.Kill()
	b.waitFor("its answer", func(l intercomtest.Log) bool { return len(l.Created) == 1 })
	time.Sleep(2 * time.Second) // How long Redis is away.
	s.Restart()
	r := b.waitState("ada", ledger.Sent)
	require.Equal(t, b.Created()[0].ID, r.MessageID)
	require.Equal(t, 1, r.Attempts)
	b.waitGone("ada")
	for _, key := range []string{"grace", "linus"} {
		b.enqueue(key)
		b.waitState(key, ledger.Sent)
	}
	require.Len(t, b.Created(), 3)
	require.Len(t, b.Requests(), 3)
}
