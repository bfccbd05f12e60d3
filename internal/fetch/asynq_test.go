package fetch_test

import (
	"bytes"
	"context"
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/intercom-dispatch/intercom-dispatch/internal/fetch"
	"github.com/intercom-dispatch/intercom-dispatch/internal/redistest"
	"github.com/intercom-dispatch/intercom-dispatch/internal/task"
)

// dequeues counts the calls of the dequeue script that asynq sends by itself,
// and those that are sent in pipelines.
type dequeues struct{ single, piped atomic.Int64 }

func isDequeue(cmd redis.Cmder) bool {
	args := cmd.Args()
	return (cmd.Name() == "evalsha" || cmd.Name() == "eval") && len(args) > 4 && args[3] == key(bulk, "pending") && args[4] == key(bulk, "paused")
}

func (*dequeues) DialHook(next redis.DialHook) redis.DialHook { return next }

func (d *dequeues) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		if isDequeue(cmd) {
			d.single.Add(1)
		}
		return next(ctx, cmd)
	}
}

func (d *dequeues) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		for _, cmd := range cmds {
			if isDequeue(cmd) {
				d.piped.Add(1)
			}
		}
		return next(ctx, cmds)
	}
}

// TestAsynqIsRecognised fails with an asynq that dequeues in another way than
// v0.26.0: all would be right then, and slow. Look at its rdb.Dequeue.
func TestAsynqIsRecognised(t *testing.T) {
	t.Parallel()
	onEach(t, func(b *bundle) {
		counts := &dequeues{}
		var r ran
		ids := b.fill(bulk, "b", 100)
		b.serve(64, func(ctx context.Context, _ *asynq.Task) error {
			r.add(ctx)
			return nil
		}, func(s *task.Server) { s.Redis.AddHook(counts) })
		eventually(b.t, "all run", func() bool { return len(r.all()) == len(ids) })
		require.Zero(b.t, counts.single.Load(), "asynq's calls do not come through")
		require.GreaterOrEqual(b.t, counts.piped.Load(), int64(len(ids)))
	})
}

func TestAPlainServerFetchesAsAsynqDoes(t *testing.T) {
	t.Parallel()
	onEach(t, func(b *bundle) {
		counts := &dequeues{}
		var r ran
		ids := b.fill(bulk, "b", 20)
		b.serve(8, func(ctx context.Context, _ *asynq.Task) error {
			r.add(ctx)
			return nil
		}, func(s *task.Server) { s.Plain = true; s.Redis.AddHook(counts) })
		eventually(b.t, "all run", func() bool { return len(r.all()) == len(ids) })
		require.Zero(b.t, counts.piped.Load())
	})
}

// TestHeartbeatsHoldNoPayloads waits for one of asynq's, which come every 5 s.
func TestHeartbeatsHoldNoPayloads(t *testing.T) {
	t.Parallel()
	onEach(t, func(b *bundle) {
		begun, finish := make(chan struct{}, 10), make(chan struct{})
		b.enqueue(bulk, "large")
		b.enqueue(bulk, "larger")
		b.serve(8, func(context.Context, *asynq.Task) error {
			begun <- struct{}{}
			<-finish
			return nil
		})
		b.t.Cleanup(func() { close(finish) })
		await(b.t, begun, "a task")
		await(b.t, begun, "a task")
		inspector := asynq.NewInspectorFromRedisClient(b.rdb)
		var workers []*asynq.WorkerInfo
		eventually(b.t, "a heartbeat", func() bool {
			servers, err := inspector.Servers()
			require.NoError(b.t, err)
			if len(servers) == 1 {
				workers = servers[0].ActiveWorkers
			}
			return len(workers) == 2
		})
		for _, w := range workers {
			require.Contains(b.t, []string{"large", "larger"}, w.TaskID)
			require.Equal(b.t, bulk, w.Queue)
			require.Equal(b.t, "t", w.TaskType)
			require.False(b.t, w.Started.IsZero())
			require.False(b.t, w.Deadline.IsZero())
			require.Empty(b.t, w.TaskPayload)
		}
	})
}

// evals is a client that keeps the arguments of scripts instead of sending them.
type evals struct {
	redis.UniversalClient

	args []any
}

func (e *evals) Eval(_ context.Context, _ string, _ []string, args ...any) *redis.Cmd {
	e.args = args
	return redis.NewCmdResult("OK", nil)
}

func TestWhatIsNotRecognisedPassesUnchanged(t *testing.T) {
	t.Parallel()
	e := &evals{UniversalClient: redistest.Mini(t).Client(t)}
	member := newDirect(setup(t, redistest.Mini(t)), 1, "return 1").member
	c, err := fetch.New(fetch.Config{Redis: e, Queues: weights(), Concurrency: 1, Member: member, Log: &lines{}})
	require.NoError(t, err)
	pending, paused, active, lease := key(bulk, "pending"), key(bulk, "paused"), key(bulk, "active"), key(bulk, "lease")
	servers, workers := "asynq:servers:{a:1:b}", "asynq:workers:{a:1:b}"
	broken := bytes.Repeat([]byte{0xff}, 20)
	for i, tt := range []struct {
		keys []string
		args []any
	}{
		{[]string{pending, paused, active, lease}, []any{int64(1), "another prefix"}},
		{[]string{pending, paused, active, lease}, []any{1.5, "asynq:{bulk}:t:"}},
		{[]string{pending, paused, active, lease}, []any{int64(1), "asynq:{bulk}:t:", "more"}},
		{[]string{pending, paused, lease, active}, []any{int64(1), "asynq:{bulk}:t:"}},
		{[]string{pending, paused, active}, []any{int64(1), "asynq:{bulk}:t:"}},
		{[]string{key("other", "pending"), key("other", "paused"), key("other", "active"), key("other", "lease")}, []any{int64(1), "asynq:{other}:t:"}},
		{[]string{servers, workers}, []any{10, "server", "id", broken}},
		{[]string{servers, workers}, []any{10, "server", "id", "not bytes"}},
		{[]string{servers, workers}, []any{10, "server", "id"}},
		{[]string{workers, servers}, []any{10, "server", "id", []byte{6<<3 | 2, 1, 'x'}}},
	} {
		require.NoError(t, c.Eval(t.Context(), "src", tt.keys, tt.args...).Err())
		require.Equal(t, tt.args, e.args, fmt.Sprint(i))
	}
	given := []any{10, "server", "id", []byte{4<<3 | 2, 1, 'i', 6<<3 | 2, 1, 'x', 7<<3 | 2, 1, 'q'}}
	require.NoError(t, c.Eval(t.Context(), "src", []string{servers, workers}, given...).Err())
	require.Equal(t, []any{10, "server", "id", []byte{4<<3 | 2, 1, 'i', 7<<3 | 2, 1, 'q'}}, e.args)
	require.Len(t, given[3], 9, "the caller's are left alone")
}

func TestNewNamesWhatIsWrong(t *testing.T) {
	t.Parallel()
	rdb := redistest.Mini(t).Client(t)
	member := newDirect(setup(t, redistest.Mini(t)), 1, "return 1").member
	good := fetch.Config{Redis: rdb, Queues: weights(), First: high, Concurrency: 1, Member: member, Log: &lines{}}
	_, err := fetch.New(good)
	require.NoError(t, err)
	for field, spoil := range map[string]func(*fetch.Config){
		"Redis":       func(c *fetch.Config) { c.Redis = nil },
		"Queues":      func(c *fetch.Config) { c.Queues = nil },
		"Queues: the": func(c *fetch.Config) { c.Queues = map[string]int{high: 0} },
		"First":       func(c *fetch.Config) { c.First = "other" },
		"Concurrency": func(c *fetch.Config) { c.Concurrency = 0 },
		"Member":      func(c *fetch.Config) { c.Member = nil },
		"Log":         func(c *fetch.Config) { c.Log = nil },
	} {
		bad := good
		spoil(&bad)
		_, err := fetch.New(bad)
		require.ErrorContains(t, err, "the field "+field)
	}
}
