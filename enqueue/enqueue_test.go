package enqueue_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/intercom-dispatch/intercom-dispatch/enqueue"
	"github.com/intercom-dispatch/intercom-dispatch/intercom"
	"github.com/intercom-dispatch/intercom-dispatch/internal/redistest"
	"github.com/intercom-dispatch/intercom-dispatch/ledger"
)

type bundle struct {
	*enqueue.Client

	t         *testing.T
	rdb       redis.UniversalClient
	ledger    *ledger.Ledger
	inspector *asynq.Inspector
	real      bool
}

func onEach(t *testing.T, run func(*bundle)) {
	t.Helper()
	redistest.EachAndCluster(t, func(t *testing.T, s *redistest.Server) {
		t.Helper()
		run(newBundle(t, s))
	})
}

func newBundle(t *testing.T, s *redistest.Server) *bundle {
	t.Helper()
	rdb := s.Client(t)
	c, err := enqueue.New(rdb, enqueue.Config{})
	require.NoError(t, err)
	l, err := ledger.New(rdb, "main", 0)
	require.NoError(t, err)
	return &bundle{Client: c, t: t, rdb: rdb, ledger: l, inspector: asynq.NewInspectorFromRedisClient(rdb), real: s.Real()}
}

func message(body string) *intercom.Message {
	return &intercom.Message{
		MessageType: intercom.InApp, Body: body, From: intercom.FromAdmin(1), To: intercom.ToUser("c1"),
	}
}

func (b *bundle) enqueue(m *intercom.Message, opts ...enqueue.Option) enqueue.Result {
	b.t.Helper()
	r, err := b.Enqueue(b.t.Context(), m, opts...)
	require.NoError(b.t, err)
	return r
}

// queued counts the tasks that wait in a queue, now or later.
func (b *bundle) queued(priority string) int {
	b.t.Helper()
	q, err := b.inspector.GetQueueInfo("intercom-main-" + priority)
	if errors.Is(err, asynq.ErrQueueNotFound) {
		return 0
	}
	require.NoError(b.t, err)
	return q.Pending + q.Scheduled
}

// begin takes a task as a worker would, by the enqueueing that its payload
// names.
func (b *bundle) begin(key string) *ledger.Attempt {
	b.t.Helper()
	info, err := b.inspector.GetTaskInfo("intercom-main-normal", key)
	require.NoError(b.t, err)
	_, token, ok := strings.Cut(string(info.Payload), `"token":"`)
	require.True(b.t, ok)
	_, digest, ok := strings.Cut(string(info.Payload), `"digest":"`)
	require.True(b.t, ok)
	token, _, _ = strings.Cut(token, `"`)
	digest, _, _ = strings.Cut(digest, `"`)
	a, err := b.ledger.Begin(b.t.Context(), ledger.Task{Key: key, Enqueued: token, Digest: digest, Priority: "normal", Payload: info.Payload},
		ledger.BeginOptions{Lease: time.Minute})
	require.NoError(b.t, err)
	require.Equal(b.t, ledger.Begun, a.Verdict)
	return a
}

func TestEnqueuedMessageIsQueuedWithEverything(t *testing.T) {
	t.Parallel()
	onEach(t, func(b *bundle) {
		at := time.Now().Add(time.Hour).UTC().Truncate(time.Millisecond)
		r := b.enqueue(message("hi"), enqueue.Key("k"), enqueue.At(at), enqueue.WithPriority(enqueue.High),
			enqueue.Metadata(map[string]string{"order": "1042"}), enqueue.ContactWait(time.Minute),
			enqueue.IfUncertain(enqueue.Hold), enqueue.ExpiresAt(at.Add(time.Hour)),
			enqueue.OrderKey(`the "first"`), enqueue.IfHeld(enqueue.Pass))
		require.Equal(b.t, enqueue.Result{Key: "k", Status: enqueue.Enqueued}, r)
		require.Equal(b.t, 1, b.queued("high"))

		got, err := b.Get(b.t.Context(), "k")
		require.NoError(b.t, err)
		require.WithinDuration(b.t, time.Now(), got.QueuedAt, time.Minute)
		got.QueuedAt = time.Time{}
		require.Equal(b.t, &ledger.Record{
			Key: "k", Workspace: "main", State: ledger.Queued, ContactIDs: []string{"c1"},
			NextAttemptAt: at, Metadata: map[string]string{"order": "1042"}, Priority: "high",
			OrderKey: `the "first"`, PassHeld: true,
		}, got)
		_, err = b.Get(b.t.Context(), "other")
		require.ErrorIs(b.t, err, enqueue.ErrNotFound)
		_, err = b.ByMessageID(b.t.Context(), "19")
		require.ErrorIs(b.t, err, enqueue.ErrNotFound)
	})
}

func TestScheduledMessagesAreThereInTime(t *testing.T) {
	t.Parallel()
	onEach(t, func(b *bundle) {
		at := time.Now().Add(time.Hour).Truncate(time.Second).Add(time.Millisecond)
		b.enqueue(message("hi"), enqueue.Key("k"), enqueue.At(at))
		info, err := b.inspector.GetTaskInfo("intercom-main-normal", "k")
		require.NoError(b.t, err)
		require.Equal(b.t, at.Truncate(time.Second).Unix(), info.NextProcessAt.Unix(), "the worker waits for the rest")

		b.enqueue(message("hi"), enqueue.Key("in"), enqueue.In(time.Hour))
		info, err = b.inspector.GetTaskInfo("intercom-main-normal", "in")
		require.NoError(b.t, err)
		require.WithinDuration(b.t, time.Now().Add(time.Hour), info.NextProcessAt, time.Minute)
	})
}

func TestKeysAreGeneratedAndReturned(t *testing.T) {
	t.Parallel()
	onEach(t, func(b *bundle) {
		first, second := b.enqueue(message("hi")), b.enqueue(message("hi"))
		require.Len(b.t, first.Key, 36)
		require.NotEqual(b.t, first.Key, second.Key)
		require.Equal(b.t, 2, b.queued("normal"))
	})
}

func TestSameMessageAgainIsADuplicate(t *testing.T) {
	t.Parallel()
	onEach(t, func(b *bundle) {
		b.enqueue(message("hi"), enqueue.Key("k"))
		again := b.enqueue(message("hi"), enqueue.Key("k"))
		require.Equal(b.t, enqueue.Result{Key: "k", Status: enqueue.Duplicate, State: ledger.Queued}, again)
		// asynq alone would take it: its task ids are per queue.
		again = b.enqueue(message("hi"), enqueue.Key("k"), enqueue.WithPriority(enqueue.High))
		require.Equal(b.t, enqueue.Duplicate, again.Status)
		again = b.enqueue(message("hi"), enqueue.Key("k"), enqueue.In(time.Hour))
		require.Equal(b.t, enqueue.Duplicate, again.Status)

		// Also when it was sent and asynq has forgotten it.
		a := b.begin("k")
		require.NoError(b.t, b.ledger.CommitSent(b.t.Context(), a, ledger.SentOutcome{MessageID: "19"}))
		require.NoError(b.t, b.inspector.DeleteTask("intercom-main-normal", "k"))
		for _, p := range []enqueue.Priority{enqueue.Normal, enqueue.Bulk} {
			again = b.enqueue(message("hi"), enqueue.Key("k"), enqueue.WithPriority(p))
			require.Equal(b.t, enqueue.Result{Key: "k", Status: enqueue.Duplicate, State: ledger.Sent}, again)
		}
		require.Zero(b.t, b.queued("high")+b.queued("normal")+b.queued("bulk"), "a duplicate is not queued")

		got, err := b.ByMessageID(b.t.Context(), "19")
		require.NoError(b.t, err)
		require.Equal(b.t, "k", got.Key)
	})
}

func TestAnotherMessageUnderAKeyIsAConflict(t *testing.T) {
	t.Parallel()
	onEach(t, func(b *bundle) {
		b.enqueue(message("hi"), enqueue.Key("k"))
		conflict := func(p enqueue.Priority, s ledger.State) {
			b.t.Helper()
			r, err := b.Enqueue(b.t.Context(), message("bye"), enqueue.Key("k"), enqueue.WithPriority(p))
			var c *enqueue.ConflictError
			require.ErrorAs(b.t, err, &c)
			require.Equal(b.t, enqueue.ConflictError{Key: "k", State: s}, *c)
			require.Equal(b.t, "k", r.Key)
			require.Empty(b.t, r.Status)
		}
		conflict(enqueue.Normal, ledger.Queued)
		conflict(enqueue.Bulk, ledger.Queued)
		a := b.begin("k")
		conflict(enqueue.Normal, ledger.Sending)
		require.NoError(b.t, b.ledger.CommitSent(b.t.Context(), a, ledger.SentOutcome{MessageID: "19"}))
		require.NoError(b.t, b.inspector.DeleteTask("intercom-main-normal", "k"))
		conflict(enqueue.High, ledger.Sent)
		require.Zero(b.t, b.queued("high")+b.queued("normal")+b.queued("bulk"))
	})
}

func TestBatchKeepsOrderAndPartialResults(t *testing.T) {
	t.Parallel()
	onEach(t, func(b *bundle) {
		n := 2500 // more than a pipeline
		if !b.real {
			n = 200 // miniredis takes milliseconds for a script
		}
		requests := make([]enqueue.Request, n)
		for i := range requests {
			requests[i] = enqueue.Request{Key: fmt.Sprint("k", i), Message: message("hi")}
		}
		requests[7].Message = message(" ")
		requests[8].Key = "k3"                                      // the same message: a duplicate
		requests[9].Key, requests[9].Message = "k3", message("bye") // a conflict
		requests[150].Priority = "urgent"
		requests[160].Key = ""
		results, err := b.EnqueueBatch(b.t.Context(), requests)
		var failed *enqueue.BatchError
		require.ErrorAs(b.t, err, &failed)
		require.Equal(b.t, 3, failed.Failed)
		require.Equal(b.t, n, failed.Total)
		require.Len(b.t, results, n)
		for i, r := range results {
			var invalid *intercom.ValidationError
			var conflict *enqueue.ConflictError
			switch i {
			case 7:
				require.ErrorAs(b.t, r.Err, &invalid)
				require.Equal(b.t, "message.body", invalid.Field)
			case 8:
				require.Equal(b.t, enqueue.Duplicate, r.Status)
			case 9:
				require.ErrorAs(b.t, r.Err, &conflict)
			case 150:
				require.ErrorAs(b.t, r.Err, &invalid)
				require.Equal(b.t, "priority", invalid.Field)
			case 160:
				require.Equal(b.t, enqueue.Enqueued, r.Status)
				require.NotEmpty(b.t, r.Key)
			default:
				require.NoError(b.t, r.Err)
				require.Equal(b.t, enqueue.Result{Key: requests[i].Key, Status: enqueue.Enqueued}, r)
			}
		}
		require.Equal(b.t, n-4, b.queued("normal"))

		results, err = b.EnqueueBatch(b.t.Context(), nil)
		require.NoError(b.t, err)
		require.Empty(b.t, results)
	})
}

func TestScriptsAreLoadedAgainWhenRedisForgotThem(t *testing.T) {
	t.Parallel()
	onEach(t, func(b *bundle) {
		for i := range 3 {
			require.NoError(b.t, b.rdb.ScriptFlush(b.t.Context()).Err())
			requests := []enqueue.Request{
				{Key: fmt.Sprint("a", i), Message: message("hi")},
				{Key: fmt.Sprint("b", i), Message: message("hi"), At: time.Now().Add(time.Hour)},
				{Key: fmt.Sprint("c", i), Message: message("hi")},
			}
			_, err := b.EnqueueBatch(b.t.Context(), requests)
			require.NoError(b.t, err)
		}
		require.Equal(b.t, 9, b.queued("normal"))
	})
}

func TestErrorsOfRedisLeaveTheKeyToTryAgainWith(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t, redistest.Options{})
	b := newBundle(t, s)
	s.Kill()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	r, err := b.Enqueue(ctx, message("hi"))
	require.Error(t, err)
	require.NotEmpty(t, r.Key)
	s.Restart()
	again := b.enqueue(message("hi"), enqueue.Key(r.Key))
	require.Equal(t, enqueue.Enqueued, again.Status)
}

func TestCancelTakesBackAQueuedMessage(t *testing.T) {
	t.Parallel()
	onEach(t, func(b *bundle) {
		b.enqueue(message("hi"), enqueue.Key("k"), enqueue.WithPriority(enqueue.Bulk))
		b.enqueue(message("hi"), enqueue.Key("later"), enqueue.In(time.Hour))
		for _, key := range []string{"k", "later", "k"} {
			require.NoError(b.t, b.Cancel(b.t.Context(), key))
			got, err := b.Get(b.t.Context(), key)
			require.NoError(b.t, err)
			require.Equal(b.t, ledger.Cancelled, got.State)
			require.Equal(b.t, []string{"c1"}, got.ContactIDs)
		}
		require.Zero(b.t, b.queued("bulk")+b.queued("normal"))
		again := b.enqueue(message("hi"), enqueue.Key("k"))
		require.Equal(b.t, enqueue.Result{Key: "k", Status: enqueue.Duplicate, State: ledger.Cancelled}, again)

		require.ErrorIs(b.t, b.Cancel(b.t.Context(), "unknown"), enqueue.ErrNotFound)
		b.enqueue(message("hi"), enqueue.Key("sending"))
		b.begin("sending")
		var no *enqueue.NotCancellableError
		require.ErrorAs(b.t, b.Cancel(b.t.Context(), "sending"), &no)
		require.Equal(b.t, ledger.Sending, no.State)
	})
}
