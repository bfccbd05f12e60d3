package wake_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"github.com/intercom-dispatch/intercom-dispatch/internal/redistest"
	"github.com/intercom-dispatch/intercom-dispatch/internal/wake"
)

const (
	patience = 30 * time.Second
	queue    = "q"
)

// bench is a queue whose tasks end as their handlers are told.
type bench struct {
	t         *testing.T
	rdb       redis.UniversalClient
	client    *asynq.Client
	inspector *asynq.Inspector
	waker     *wake.Waker
	// began gets the id of each task that is run, and end tells its handler what to
	// return.
	began chan string
	end   chan error
}

func onEach(t *testing.T, run func(*testing.T, *bench)) {
	t.Helper()
	redistest.Each(t, func(t *testing.T, s *redistest.Server) {
		t.Helper()
		rdb := s.Client(t)
		b := &bench{
			t: t, rdb: rdb, client: asynq.NewClientFromRedisClient(rdb), inspector: asynq.NewInspectorFromRedisClient(rdb),
			waker: wake.New(rdb, zap.NewNop(), time.Now), began: make(chan string, 100), end: make(chan error, 100),
		}
		ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
		done := make(chan error, 1)
		go func() { done <- b.waker.Run(ctx) }()
		t.Cleanup(func() {
			stop()
			require.NoError(t, <-done)
		})
		run(t, b)
	})
}

// serve runs tasks until the test ends, or the server it returns is shut down.
func (b *bench) serve() (stop func()) {
	srv := asynq.NewServerFromRedisClient(b.rdb, asynq.Config{
		Concurrency: 1, Queues: map[string]int{queue: 1}, TaskCheckInterval: 2 * time.Millisecond,
		RetryDelayFunc: func(int, error, *asynq.Task) time.Duration { return time.Hour },
		LogLevel:       asynq.FatalLevel,
	})
	require.NoError(b.t, srv.Start(asynq.HandlerFunc(func(ctx context.Context, _ *asynq.Task) error {
		id, _ := asynq.GetTaskID(ctx)
		b.began <- id
		return <-b.end
	})))
	return srv.Shutdown
}

func (b *bench) enqueue(id string, opts ...asynq.Option) {
	b.t.Helper()
	_, err := b.client.Enqueue(asynq.NewTask("t", nil), append(opts, asynq.Queue(queue), asynq.TaskID(id))...)
	require.NoError(b.t, err)
}

func (b *bench) state(id string) asynq.TaskState {
	b.t.Helper()
	info, err := b.inspector.GetTaskInfo(queue, id)
	require.NoError(b.t, err)
	return info.State
}

func (b *bench) waitState(id string, want asynq.TaskState) {
	b.t.Helper()
	require.Eventually(b.t, func() bool { return b.state(id) == want }, patience, time.Millisecond)
}

var errAgain = errors.New("again")

// putOff leaves a task waiting for a retry.
func (b *bench) putOff(ids ...string) {
	b.t.Helper()
	stop := b.serve()
	defer stop()
	for _, id := range ids {
		b.end <- errAgain
		b.enqueue(id)
		require.Equal(b.t, id, <-b.began)
		b.waitState(id, asynq.TaskStateRetry)
	}
}

func TestWokenTasksAreTheNextToRunInTheirOrder(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, b *bench) {
		t.Helper()
		b.putOff("1", "2", "3")
		b.enqueue("backlog")
		n, err := b.waker.Wake(t.Context(), wake.Task{Queue: queue, ID: "1"}, wake.Task{Queue: queue, ID: "3"}, wake.Task{Queue: queue, ID: "2"})
		require.NoError(t, err)
		require.Equal(t, 3, n)
		require.Equal(t, asynq.TaskStatePending, b.state("2"))
		stop := b.serve()
		defer stop()
		for _, id := range []string{"1", "3", "2", "backlog"} {
			require.Equal(t, id, <-b.began)
			b.end <- nil
		}
	})
}

func TestOnlyWhatWaitsForARetryIsWoken(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, b *bench) {
		t.Helper()
		b.putOff("retry", "archived")
		require.NoError(t, b.inspector.ArchiveTask(queue, "archived"))
		b.enqueue("scheduled", asynq.ProcessIn(time.Hour))
		b.enqueue("pending")
		var tasks []wake.Task
		for _, id := range []string{"retry", "archived", "scheduled", "pending", "none"} {
			tasks = append(tasks, wake.Task{Queue: queue, ID: id})
		}
		n, err := b.waker.Wake(t.Context(), tasks...)
		require.NoError(t, err)
		require.Equal(t, 1, n)
		n, err = b.waker.Wake(t.Context(), tasks...)
		require.NoError(t, err)
		require.Zero(t, n, "a repeat does nothing")
		require.Equal(t, asynq.TaskStatePending, b.state("retry"))
		require.Equal(t, asynq.TaskStateArchived, b.state("archived"))
		require.Equal(t, asynq.TaskStateScheduled, b.state("scheduled"))
		pending, err := b.rdb.LRange(t.Context(), "asynq:{q}:pending", 0, -1).Result()
		require.NoError(t, err)
		require.Equal(t, []string{"pending", "retry"}, pending)
	})
}

func TestATaskInHandIsWokenOnceItIsPutOff(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, b *bench) {
		t.Helper()
		stop := b.serve()
		defer stop()
		b.enqueue("1")
		require.Equal(t, "1", <-b.began)
		n, err := b.waker.Wake(t.Context(), wake.Task{Queue: queue, ID: "1"})
		require.NoError(t, err)
		require.Zero(t, n)
		b.end <- errAgain // It would come back in an hour.
		select {
		case id := <-b.began:
			require.Equal(t, "1", id)
		case <-time.After(patience):
			t.Fatal("it was not woken")
		}
		b.end <- nil
	})
}
