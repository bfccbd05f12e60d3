package roster_test

import (
	"context"
	"testing"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/intercom-dispatch/intercom-dispatch/internal/redistest"
	"github.com/intercom-dispatch/intercom-dispatch/internal/roster"
)

const (
	patience = 30 * time.Second
	interval = 100 * time.Millisecond
	// deadAfter leaves room for a machine that is busy with other tests.
	deadAfter = 2 * time.Second

	activeKey, leaseKey = "asynq:{q}:active", "asynq:{q}:lease"
)

// bench is a Redis with one task in the queue "q".
type bench struct {
	t    *testing.T
	rdb  redis.UniversalClient
	logs *observer.ObservedLogs
	log  *zap.Logger
}

func setup(t *testing.T, s *redistest.Server) *bench {
	t.Helper()
	core, logs := observer.New(zapcore.InfoLevel)
	b := &bench{t: t, rdb: s.Client(t), logs: logs, log: zap.New(core)}
	b.enqueue("1")
	return b
}

func (b *bench) enqueue(id string) {
	b.t.Helper()
	_, err := asynq.NewClientFromRedisClient(b.rdb).Enqueue(asynq.NewTask("t", []byte("payload")), asynq.TaskID(id), asynq.Queue("q"))
	require.NoError(b.t, err)
}

// dequeue does what asynq's dequeueing does, for nobody.
func (b *bench) dequeue(id string) {
	b.t.Helper()
	ctx := b.t.Context()
	require.Equal(b.t, id, b.rdb.RPopLPush(ctx, "asynq:{q}:pending", activeKey).Val())
	require.NoError(b.t, b.rdb.HSet(ctx, "asynq:{q}:t:"+id, "state", "active").Err())
	require.NoError(b.t, b.rdb.HDel(ctx, "asynq:{q}:t:"+id, "pending_since").Err())
	require.NoError(b.t, b.rdb.ZAdd(ctx, leaseKey, redis.Z{Member: id, Score: float64(time.Now().Add(30 * time.Second).Unix())}).Err())
}

func (b *bench) member() *roster.Roster {
	b.t.Helper()
	r, err := roster.New(roster.Config{
		Redis: b.rdb, Queues: []string{"q"}, Log: b.log, Interval: interval, DeadAfter: deadAfter,
	})
	require.NoError(b.t, err)
	require.NoError(b.t, r.Announce(b.t.Context()))
	return r
}

// run runs a member until the test ends. One that is not run, or not any more,
// is as if its process was killed.
func (b *bench) run(r *roster.Roster) {
	ctx, cancel := context.WithCancel(b.t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		r.Run(ctx)
	}()
	b.t.Cleanup(func() {
		cancel()
		<-done
	})
}

func (b *bench) state(id string) asynq.TaskState {
	b.t.Helper()
	info, err := asynq.NewInspectorFromRedisClient(b.rdb).GetTaskInfo("q", id)
	require.NoError(b.t, err)
	return info.State
}

func (b *bench) becomesPending(id string) {
	b.t.Helper()
	require.Eventually(b.t, func() bool { return b.state(id) == asynq.TaskStatePending }, patience, interval)
}

// rounds waits until the member has announced itself so often.
func (b *bench) rounds(r *roster.Roster, n int64) {
	b.t.Helper()
	seq := b.seq(r.ID())
	require.Eventually(b.t, func() bool { return b.seq(r.ID()) >= seq+n }, patience, interval)
}

func (b *bench) seq(id string) int64 {
	members, _ := roster.Members(b.t.Context(), b.rdb, "main")
	for _, m := range members {
		if m.ID == id {
			return m.Seq
		}
	}
	return 0
}

func (b *bench) ids() []string {
	b.t.Helper()
	members, err := roster.Members(b.t.Context(), b.rdb, "main")
	require.NoError(b.t, err)
	ids := []string{}
	for _, m := range members {
		ids = append(ids, m.ID)
	}
	return ids
}

func (b *bench) logged(message string) int { return b.logs.FilterMessage(message).Len() }
