package enqueue_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/hibiken/asynq"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"github.com/intercom-dispatch/intercom-dispatch/enqueue"
	"github.com/intercom-dispatch/intercom-dispatch/internal/redistest"
	"github.com/intercom-dispatch/intercom-dispatch/internal/roster"
	"github.com/intercom-dispatch/intercom-dispatch/internal/task"
	"github.com/intercom-dispatch/intercom-dispatch/ledger"
)

const normalQueue = "intercom-main-normal"

// patience is far more than anything here takes, for machines under load.
const patience = 30 * time.Second

func (b *bundle) commit(key string, o ledger.Outcome) *ledger.Attempt {
	b.t.Helper()
	a := b.begin(key)
	require.NoError(b.t, b.ledger.Commit(b.t.Context(), a, o))
	return a
}

// endings bring a message that is queued into each state that can be retried.
func endings() map[ledger.State]func(*bundle, string) {
	refused := ledger.Error{Code: "parameter_invalid", Status: 422}
	uncertain := ledger.Outcome{State: ledger.Uncertain, Error: ledger.Error{Code: "no_answer"}}
	return map[ledger.State]func(*bundle, string){
		ledger.Failed:    func(b *bundle, key string) { b.commit(key, ledger.Outcome{State: ledger.Failed, Error: refused}) },
		ledger.Uncertain: func(b *bundle, key string) { b.commit(key, uncertain) },
		ledger.Held: func(b *bundle, key string) {
			require.NoError(b.t, b.ledger.Hold(b.t.Context(), b.commit(key, uncertain)))
		},
		ledger.Expired: func(b *bundle, key string) {
			past := time.Now().Add(-time.Hour)
			a, err := b.ledger.Begin(b.t.Context(), b.task(key), ledger.BeginOptions{Lease: time.Minute, ExpiresAt: past})
			require.NoError(b.t, err)
			require.Equal(b.t, ledger.Expired, a.State)
		},
		ledger.Cancelled: func(b *bundle, key string) {
			b.commit(key, ledger.Outcome{State: ledger.Failed, Error: refused})
			require.NoError(b.t, b.Drop(b.t.Context(), key))
		},
	}
}

// task is what a worker would make of a message's task.
func (b *bundle) task(key string) ledger.Task {
	b.t.Helper()
	info, err := b.inspector.GetTaskInfo(normalQueue, key)
	require.NoError(b.t, err)
	e, err := task.Decode(info.Payload)
	require.NoError(b.t, err)
	return e.LedgerTask(key, info.Payload)
}

func (b *bundle) state(key string) ledger.State {
	b.t.Helper()
	r, err := b.Get(b.t.Context(), key)
	require.NoError(b.t, err)
	return r.State
}

// taskState is the state of a message's task, 0 if there is none.
func (b *bundle) taskState(key string) asynq.TaskState {
	b.t.Helper()
	info, err := b.inspector.GetTaskInfo(normalQueue, key)
	if errors.Is(err, asynq.ErrTaskNotFound) {
		return 0
	}
	require.NoError(b.t, err)
	return info.State
}

func (b *bundle) requireNotRetryable(key string, s ledger.State) {
	b.t.Helper()
	for _, err := range []error{b.Retry(b.t.Context(), key), b.CheckRetry(b.t.Context(), key)} {
		var refused *enqueue.NotRetryableError
		require.ErrorAs(b.t, err, &refused)
		require.Equal(b.t, &enqueue.NotRetryableError{Key: key, State: s}, refused)
	}
}

func TestEveryMessageThatEndedUnsentIsSentOnceMore(t *testing.T) {
	t.Parallel()
	onEach(t, func(b *bundle) {
		for state, end := range endings() {
			for _, forgotten := range []bool{false, true} {
				key := fmt.Sprintf("%s-%v", state, forgotten)
				b.enqueue(message(key), enqueue.Key(key))
				queued := b.task(key)
				end(b, key)
				require.Equal(b.t, state, b.state(key))
				if forgotten {
					require.NoError(b.t, b.inspector.DeleteTask(normalQueue, key))
				} else {
					require.NoError(b.t, b.inspector.ArchiveTask(normalQueue, key))
				}
				before := b.taskState(key)
				require.NoError(b.t, b.CheckRetry(b.t.Context(), key))
				require.Equal(b.t, state, b.state(key), "a check changes nothing")
				require.Equal(b.t, before, b.taskState(key))

				require.NoError(b.t, b.Retry(b.t.Context(), key), key)
				require.NoError(b.t, b.Retry(b.t.Context(), key), "a second time is the same as once")
				require.Equal(b.t, ledger.Waiting, b.state(key))
				require.Equal(b.t, asynq.TaskStatePending, b.taskState(key), key)
				require.Equal(b.t, queued, b.task(key), "the task as it was queued")
				r, err := b.Get(b.t.Context(), key)
				require.NoError(b.t, err)
				require.Equal(b.t, state == ledger.Held || state == ledger.Uncertain, r.PossibleDuplicate, key)

				a := b.begin(key)
				b.requireNotRetryable(key, ledger.Sending)
				require.NoError(b.t, b.ledger.CommitSent(b.t.Context(), a, ledger.SentOutcome{MessageID: "id-" + key}))
				b.requireNotRetryable(key, ledger.Sent)
			}
		}
		require.ErrorIs(b.t, b.Retry(b.t.Context(), "unknown"), enqueue.ErrNotFound)
	})
}

func TestAMessageThatWaitsIsAttemptedNow(t *testing.T) {
	t.Parallel()
	onEach(t, func(b *bundle) {
		later := ledger.Outcome{State: ledger.Waiting, NextAttemptAt: time.Now().Add(time.Hour)}
		for _, key := range []string{"there", "gone"} {
			b.enqueue(message(key), enqueue.Key(key))
			b.commit(key, later)
		}
		require.NoError(b.t, b.inspector.ArchiveTask(normalQueue, "there"))
		require.NoError(b.t, b.Retry(b.t.Context(), "there"))
		require.Equal(b.t, asynq.TaskStatePending, b.taskState("there"))
		r, err := b.Get(b.t.Context(), "there")
		require.NoError(b.t, err)
		require.WithinDuration(b.t, time.Now(), r.NextAttemptAt, patience)

		require.NoError(b.t, b.inspector.DeleteTask(normalQueue, "gone"))
		require.NoError(b.t, b.CheckRetry(b.t.Context(), "gone"))
		require.NoError(b.t, b.Retry(b.t.Context(), "gone"))
		require.Equal(b.t, asynq.TaskStatePending, b.taskState("gone"))
	})
}

func TestAQueuedMessageIsRunNow(t *testing.T) {
	t.Parallel()
	onEach(t, func(b *bundle) {
		b.enqueue(message("scheduled"), enqueue.Key("scheduled"), enqueue.In(time.Hour))
		b.enqueue(message("archived"), enqueue.Key("archived"))
		require.NoError(b.t, b.inspector.ArchiveTask(normalQueue, "archived"))
		b.enqueue(message("pending"), enqueue.Key("pending"))
		b.enqueue(message("cancelled"), enqueue.Key("cancelled"))
		for _, key := range []string{"scheduled", "archived", "pending"} {
			require.NoError(b.t, b.Retry(b.t.Context(), key))
			require.Equal(b.t, asynq.TaskStatePending, b.taskState(key), key)
			require.Equal(b.t, ledger.Queued, b.state(key))
		}
		require.NoError(b.t, b.Cancel(b.t.Context(), "cancelled"))
		require.ErrorIs(b.t, b.Retry(b.t.Context(), "cancelled"), enqueue.ErrNoPayload)
		require.Equal(b.t, ledger.Cancelled, b.state("cancelled"))
	})
}

func TestARetryThatWasCutShortIsMendedByTheNext(t *testing.T) {
	t.Parallel()
	onEach(t, func(b *bundle) {
		b.enqueue(message("k"), enqueue.Key("k"))
		endings()[ledger.Failed](b, "k")
		require.NoError(b.t, b.inspector.DeleteTask(normalQueue, "k"))
		r, err := b.Get(b.t.Context(), "k")
		require.NoError(b.t, err)
		require.NoError(b.t, b.ledger.Reopen(b.t.Context(), r)) // and the producer is killed

		require.NoError(b.t, b.Retry(b.t.Context(), "k"))
		require.Equal(b.t, asynq.TaskStatePending, b.taskState("k"))
	})
}

func TestARetryIsNoDuplicateOfWhatIsEnqueuedAgain(t *testing.T) {
	t.Parallel()
	onEach(t, func(b *bundle) {
		again := func() {
			r := b.enqueue(message("hi"), enqueue.Key("k"), enqueue.WithPriority(enqueue.High))
			require.Equal(b.t, enqueue.Duplicate, r.Status)
		}
		b.enqueue(message("hi"), enqueue.Key("k"))
		endings()[ledger.Failed](b, "k")
		require.NoError(b.t, b.inspector.DeleteTask(normalQueue, "k"))
		again()
		require.Zero(b.t, b.queued("normal")+b.queued("high"))
		require.NoError(b.t, b.Retry(b.t.Context(), "k"))
		again()
		require.Equal(b.t, 1, b.queued("normal"))
		require.Zero(b.t, b.queued("high"))
	})
}

func TestManyRetriesAtOnceMakeOneTask(t *testing.T) {
	t.Parallel()
	onEach(t, func(b *bundle) {
		b.enqueue(message("k"), enqueue.Key("k"))
		endings()[ledger.Held](b, "k")
		require.NoError(b.t, b.inspector.DeleteTask(normalQueue, "k"))
		errs := make([]error, 16)
		var all sync.WaitGroup
		for i := range errs {
			all.Go(func() { errs[i] = b.Retry(b.t.Context(), "k") })
		}
		all.Wait()
		require.NoError(b.t, errors.Join(errs...))
		require.Equal(b.t, 1, b.queued("normal"))
	})
}

// A worker records what became of a message before it tells asynq. A retry
// between the two finds a task that is still to be archived or deleted.
func TestARetryIsNotLostToAWorkerThatIsAboutToEndTheTask(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]error{"archived": asynq.SkipRetry, "deleted": nil} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			redistest.Each(t, func(t *testing.T, s *redistest.Server) {
				t.Helper()
				b := newBundle(t, s)
				b.enqueue(message("k"), enqueue.Key("k"))
				failed, finish, ran := make(chan struct{}), make(chan struct{}), make(chan error, 1)
				first := true
				b.serve(func(context.Context, *asynq.Task) error {
					if first {
						first = false
						endings()[ledger.Failed](b, "k")
						close(failed)
						<-finish
						return end
					}
					ran <- nil
					return nil
				})
				await(t, failed)
				retried := make(chan error, 1)
				go func() { retried <- b.Retry(context.WithoutCancel(t.Context()), "k") }()
				require.Eventually(t, func() bool { return b.state("k") == ledger.Waiting }, patience, time.Millisecond)
				close(finish)
				require.NoError(t, await(t, retried))
				require.NoError(t, await(t, ran))
			})
		})
	}
}

func TestARetryTellsThatAWorkerKeepsTheTask(t *testing.T) {
	t.Parallel()
	b := newBundle(t, redistest.Mini(t))
	b.enqueue(message("k"), enqueue.Key("k"))
	failed, finish := make(chan struct{}), make(chan struct{})
	first := true
	b.serve(func(context.Context, *asynq.Task) error {
		if !first {
			return nil // The retry.
		}
		first = false
		endings()[ledger.Failed](b, "k")
		close(failed)
		<-finish
		return asynq.SkipRetry
	})
	end := sync.OnceFunc(func() { close(finish) })
	t.Cleanup(end)
	await(t, failed)
	require.ErrorIs(t, b.Retry(t.Context(), "k"), enqueue.ErrTaskActive)
	end()
	require.Eventually(t, func() bool { return b.taskState("k") == asynq.TaskStateArchived }, patience, 5*time.Millisecond)
	require.NoError(t, b.Retry(t.Context(), "k"), "as the error says")
	require.Equal(t, ledger.Waiting, b.state("k"))
}

func await[T any](t *testing.T, c <-chan T) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(patience):
		require.FailNow(t, "waited in vain")
	}
	panic("not reached")
}

// serve runs a worker of asynq's until the test ends.
func (b *bundle) serve(h asynq.HandlerFunc) {
	b.t.Helper()
	ctx, cancel := context.WithCancel(context.WithoutCancel(b.t.Context()))
	member, err := roster.New(roster.Config{Redis: b.rdb, Queues: []string{normalQueue}, Log: zap.NewNop()})
	require.NoError(b.t, err)
	done := make(chan error, 1)
	go func() {
		done <- task.Server{
			Redis: b.rdb, Handler: h, Roster: member,
			Asynq: asynq.Config{Concurrency: 1, Queues: map[string]int{normalQueue: 1}, ShutdownTimeout: patience},
		}.Serve(ctx)
	}()
	b.t.Cleanup(func() {
		cancel()
		require.NoError(b.t, await(b.t, done))
	})
}
