package fetch_test

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"github.com/intercom-dispatch/intercom-dispatch/internal/redistest"
	"github.com/intercom-dispatch/intercom-dispatch/internal/roster"
	"github.com/intercom-dispatch/intercom-dispatch/internal/task"
)

const patience = 30 * time.Second

// The queues of most tests, and their weights.
const (
	high   = "high"
	normal = "normal"
	bulk   = "bulk"
)

func weights() map[string]int { return map[string]int{high: 20, normal: 5, bulk: 1} }

// bundle is what a test needs to run servers.
type bundle struct {
	t      *testing.T
	server *redistest.Server
	rdb    redis.UniversalClient
}

func onEach(t *testing.T, run func(b *bundle)) {
	t.Helper()
	redistest.EachAndCluster(t, func(t *testing.T, s *redistest.Server) {
		t.Helper()
		run(setup(t, s))
	})
}

func setup(t *testing.T, s *redistest.Server) *bundle {
	t.Helper()
	return &bundle{t: t, server: s, rdb: s.Client(t)}
}

// running is a task.Server that runs.
type running struct {
	t    *testing.T
	stop context.CancelFunc
	done chan error
	once sync.Once
}

// serve runs a server on a connection of its own, until the test ends if not
// before.
func (b *bundle) serve(concurrency int, h asynq.HandlerFunc, changes ...func(*task.Server)) *running {
	b.t.Helper()
	s := task.Server{
		Redis: b.server.Client(b.t), Handler: h, First: high,
		Asynq: asynq.Config{
			Concurrency: concurrency, Queues: weights(), ShutdownTimeout: patience,
			RetryDelayFunc: func(int, error, *asynq.Task) time.Duration { return time.Second },
		},
	}
	for _, change := range changes {
		change(&s)
	}
	if s.Roster == nil {
		var err error
		s.Roster, err = roster.New(roster.Config{Redis: s.Redis, Queues: []string{high, normal, bulk}, Log: zap.NewNop()})
		require.NoError(b.t, err)
	}
	ctx, stop := context.WithCancel(context.WithoutCancel(b.t.Context()))
	r := &running{t: b.t, stop: stop, done: make(chan error, 1)}
	go func() { r.done <- s.Serve(ctx) }()
	b.t.Cleanup(r.end)
	return r
}

// end stops the server and waits until it has ended.
func (r *running) end() {
	r.once.Do(func() {
		r.stop()
		select {
		case err := <-r.done:
			require.NoError(r.t, err)
		case <-time.After(patience):
			r.t.Error("the server does not end")
		}
	})
}

func (b *bundle) enqueue(queue, id string, opts ...asynq.Option) {
	b.t.Helper()
	opts = append([]asynq.Option{asynq.TaskID(id), asynq.Queue(queue), asynq.MaxRetry(25)}, opts...)
	_, err := asynq.NewClientFromRedisClient(b.rdb).Enqueue(asynq.NewTask("t", []byte("payload of "+id)), opts...)
	require.NoError(b.t, err)
}

// fill enqueues n tasks, with the ids "0" and so on after the prefix.
func (b *bundle) fill(queue, prefix string, n int) []string {
	b.t.Helper()
	ids := make([]string, n)
	for i := range ids {
		ids[i] = prefix + strconv.Itoa(i)
		b.enqueue(queue, ids[i])
	}
	return ids
}

// key is one of asynq's for a queue.
func key(queue, what string) string { return fmt.Sprintf("asynq:{%s}:%s", queue, what) }

// pending are the ids that wait in a queue, the next to be taken first.
func (b *bundle) pending(queue string) []string {
	b.t.Helper()
	ids, err := b.rdb.LRange(b.t.Context(), key(queue, "pending"), 0, -1).Result()
	require.NoError(b.t, err)
	for i, j := 0, len(ids)-1; i < j; i, j = i+1, j-1 {
		ids[i], ids[j] = ids[j], ids[i]
	}
	return ids
}

func (b *bundle) pause(queue string) {
	b.t.Helper()
	require.NoError(b.t, asynq.NewInspectorFromRedisClient(b.rdb).PauseQueue(queue))
}

func (b *bundle) unpause(queue string) {
	b.t.Helper()
	require.NoError(b.t, asynq.NewInspectorFromRedisClient(b.rdb).UnpauseQueue(queue))
}

// ran are the ids of tasks in the order in which they ran.
type ran struct {
	mu  sync.Mutex
	ids []string
}

func (r *ran) add(ctx context.Context) {
	id, _ := asynq.GetTaskID(ctx)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ids = append(r.ids, id)
}

func (r *ran) all() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]string(nil), r.ids...)
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	require.Eventually(t, ok, patience, 5*time.Millisecond, what)
}

func await[T any](t *testing.T, c <-chan T, what string) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(patience):
		require.FailNow(t, "waited in vain", what)
	}
	panic("not reached")
}

// commands counts those that Redis runs in that time, also within scripts.
func (b *bundle) commands(in time.Duration) int {
	b.t.Helper()
	before := processed(b.t, b.rdb)
	time.Sleep(in)
	return processed(b.t, b.rdb) - before
}

// processed is how many commands Redis has run, also within scripts.
func processed(tb testing.TB, rdb redis.UniversalClient) int {
	tb.Helper()
	stats, err := rdb.Info(tb.Context(), "stats").Result()
	require.NoError(tb, err)
	_, after, _ := strings.Cut(stats, "total_commands_processed:")
	number, _, _ := strings.Cut(after, "\r")
	n, err := strconv.Atoi(number)
	require.NoError(tb, err)
	return n
}

// handled is a handler that tells the ids of the tasks that it ran.
func handled(ran chan<- string) asynq.HandlerFunc {
	return func(ctx context.Context, _ *asynq.Task) error {
		id, _ := asynq.GetTaskID(ctx)
		ran <- id
		return nil
	}
}
