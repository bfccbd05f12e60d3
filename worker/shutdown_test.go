package worker_test

import (
	"bytes"
	"context"
	"fmt"
	"runtime/pprof"
	"strings"
	"testing"
	"time"

	"github.com/hibiken/asynq"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/intercom-dispatch/intercom-dispatch/intercom/intercomtest"
	"github.com/intercom-dispatch/intercom-dispatch/internal/task"
	"github.com/intercom-dispatch/intercom-dispatch/ledger"
	"github.com/intercom-dispatch/intercom-dispatch/worker"
)

// labelled runs f in a goroutine whose label all goroutines take over that it
// starts, which tells them from those of other tests.
func labelled(name string, f func()) {
	go pprof.Do(context.Background(), pprof.Labels("test", name), func(context.Context) { f() })
}

// goroutines returns the stacks of the goroutines of labelled.
func goroutines(t *testing.T, name string) []string {
	t.Helper()
	var out bytes.Buffer
	require.NoError(t, pprof.Lookup("goroutine").WriteTo(&out, 1))
	var found []string
	for stack := range strings.SplitSeq(out.String(), "\n\n") {
		// The connection pool is the caller's, and so is its goroutine that tries to
		// reach a Redis that is away.
		if strings.Contains(stack, `"test":"`+name+`"`) && !strings.Contains(stack, "(*ConnPool).tryDial") {
			found = append(found, stack)
		}
	}
	return found
}

// requireNoGoroutines waits until all goroutines of labelled have ended.
func requireNoGoroutines(t *testing.T, name string) {
	t.Helper()
	if !assert.Eventually(t, func() bool { return len(goroutines(t, name)) == 0 }, patience, 50*time.Millisecond) {
		t.Fatal("goroutines are left:\n", strings.Join(goroutines(t, name), "\n\n"))
	}
}

// start is run for a worker whose goroutines are looked for afterwards.
func (b *bundle) start(changes ...func(*worker.Config)) (stop context.CancelFunc, done <-chan error) {
	b.t.Helper()
	cfg := b.config()
	for _, change := range changes {
		change(&cfg)
	}
	w, err := worker.New(cfg)
	require.NoError(b.t, err)
	ctx, cancel := context.WithCancel(context.WithoutCancel(b.t.Context()))
	ended := make(chan error, 1)
	labelled(b.t.Name(), func() { ended <- w.Run(ctx) })
	b.t.Cleanup(cancel)
	return cancel, ended
}

// requireEnd waits for Run to return, for at most limit.
func requireEnd(t *testing.T, done <-chan error, limit time.Duration) {
	t.Helper()
	select {
	case err := <-done:
		require.NoError(t, err)
	case <-time.After(limit):
		t.Fatalf("the worker has not stopped within %s", limit)
	}
}

func TestShutdownFinishesWhatIsUnderWayAndBeginsNothing(t *testing.T) {
	t.Parallel()
	const concurrency, messages = 4, 10
	onEach(t, func(t *testing.T, b *bundle) {
		t.Helper()
		b.InjectFault(intercomtest.Fault{Latency: time.Second})
		for i := range messages {
			b.enqueue(fmt.Sprintf("m-%d", i))
		}
		stop, done := b.start(func(c *worker.Config) { c.Concurrency = concurrency })
		b.waitFor("requests under way", func(l intercomtest.Log) bool { return l.Arrived == concurrency })
		require.Empty(t, b.Created())
		stop()
		requireEnd(t, done, 10*time.Second)

		require.Len(t, b.Created(), concurrency)
		require.Len(t, b.Requests(), concurrency, "a request was begun or cut")
		states := map[ledger.State]int{}
		for i := range messages {
			r, err := b.producer.Get(t.Context(), fmt.Sprintf("m-%d", i))
			require.NoError(t, err)
			states[r.State]++
		}
		require.Equal(t, map[ledger.State]int{ledger.Sent: concurrency, ledger.Queued: messages - concurrency}, states)
		info, err := b.inspector.GetQueueInfo(task.Queue("main", task.Normal))
		require.NoError(t, err)
		require.Equal(t, messages-concurrency, info.Pending)
		require.Zero(t, info.Active)
		b.client.Close()
		requireNoGoroutines(t, t.Name())

		b.ClearFaults()
		b.run()
		b.waitFor("the rest", func(l intercomtest.Log) bool { return len(l.Requests) == messages })
		require.Len(t, b.Created(), messages)
	})
}

func TestAnIdleWorkerStopsAtOnce(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, b *bundle) {
		t.Helper()
		stop, done := b.start()
		b.enqueue("ada")
		b.waitState("ada", ledger.Sent)
		require.NotEmpty(t, goroutines(t, t.Name()), "they cannot be told apart")
		stop()
		requireEnd(t, done, 3*time.Second)
		b.client.Close()
		requireNoGoroutines(t, t.Name())
	})
}

// TestShutdownGivesBackWhatWaitsForTheRateLimit must not wait for the reset.
func TestShutdownGivesBackWhatWaitsForTheRateLimit(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, b *bundle) {
		t.Helper()
		b.fail("first", throttled(time.Now().Add(15*time.Second)))
		stop, done := b.start()
		b.enqueue("first")
		b.waitState("first", ledger.Waiting)
		b.enqueue("second")
		b.waitTask("second", asynq.TaskStateActive)
		stop()
		requireEnd(t, done, 5*time.Second)
		require.Len(t, b.Requests(), 1)
		r, err := b.producer.Get(t.Context(), "second")
		require.NoError(t, err)
		require.Equal(t, ledger.Queued, r.State, "an attempt was begun")
		b.client.Close()
		requireNoGoroutines(t, t.Name())

		b.run()
		b.waitState("second", ledger.Sent)
	})
}

func TestAWorkerStopsAlsoWhileRedisIsAway(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, b *bundle) {
		t.Helper()
		stop, done := b.start()
		b.enqueue("ada")
		b.waitState("ada", ledger.Sent)
		b.redis.Kill()
		stop()
		requireEnd(t, done, 15*time.Second)
		b.client.Close()
		requireNoGoroutines(t, t.Name())
	})
}

// TestRunWaitsForRedis covers a worker that is up before its Redis.
func TestRunWaitsForRedis(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, b *bundle) {
		t.Helper()
		b.redis.Kill()
		failed := make(chan struct{}, 1)
		b.run(func(c *worker.Config) { c.AsynqLog = signal{c.AsynqLog, failed} })
		<-failed
		b.redis.Restart()
		b.enqueue("ada")
		b.waitState("ada", ledger.Sent)
	})
}

// signal is a logger that tells of errors.
type signal struct {
	asynq.Logger
	failed chan struct{}
}

func (s signal) Error(args ...any) {
	select {
	case s.failed <- struct{}{}:
	default:
	}
	s.Logger.Error(args...)
}
