package fetch_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"github.com/intercom-dispatch/intercom-dispatch/internal/fetch"
	"github.com/intercom-dispatch/intercom-dispatch/internal/redistest"
	"github.com/intercom-dispatch/intercom-dispatch/internal/roster"
)

// direct is a client that the test calls as asynq's processor does.
type direct struct {
	*bundle
	*fetch.Client
	member *roster.Roster
	log    *lines
	now    func() time.Time
	script *redis.Script
	stop   func()
}

// onDirect runs a test on each Redis.
func onDirect(t *testing.T, concurrency int, run func(d *direct)) {
	t.Helper()
	source := recordDequeue(t)
	redistest.EachAndCluster(t, func(t *testing.T, s *redistest.Server) {
		t.Helper()
		run(newDirect(setup(t, s), concurrency, source))
	})
}

func newDirect(b *bundle, concurrency int, source string) *direct {
	b.t.Helper()
	return newDirectOn(b, b.server.Client(b.t), concurrency, source)
}

func newDirectOn(b *bundle, rdb redis.UniversalClient, concurrency int, source string) *direct {
	b.t.Helper()
	d := &direct{bundle: b, log: &lines{}, now: time.Now, script: redis.NewScript(source)}
	var err error
	d.member, err = roster.New(roster.Config{Redis: b.rdb, Queues: []string{high, normal, bulk}, Log: zap.NewNop()})
	require.NoError(b.t, err)
	d.Client, err = fetch.New(fetch.Config{
		Redis: rdb, Queues: weights(), First: high, Concurrency: concurrency, Member: d.member, Log: d.log,
		Now: func() time.Time { return d.now() },
	})
	require.NoError(b.t, err)
	ctx, cancel := context.WithCancel(context.WithoutCancel(b.t.Context()))
	var running sync.WaitGroup
	running.Go(func() { d.Run(ctx) })
	d.stop = sync.OnceFunc(func() {
		cancel()
		running.Wait()
	})
	b.t.Cleanup(d.stop)
	return d
}

// dequeue calls the script as asynq does. It returns the message, which holds
// the task's payload.
func (d *direct) dequeue() (string, error) {
	d.t.Helper()
	prefix := "asynq:{" + bulk + "}:"
	lease := d.now().Add(30 * time.Second).Unix()
	return d.script.Run(d.t.Context(), d.Client, []string{prefix + "pending", prefix + "paused", prefix + "active", prefix + "lease"},
		lease, prefix+"t:").Text()
}

func (d *direct) requireDequeue(id string) {
	d.t.Helper()
	msg, err := d.dequeue()
	require.NoError(d.t, err)
	require.Contains(d.t, msg, "payload of "+id)
}

func (d *direct) active() []string {
	d.t.Helper()
	ids, err := d.rdb.LRange(d.t.Context(), key(bulk, "active"), 0, -1).Result()
	require.NoError(d.t, err)
	return ids
}

// recordDequeue returns the script with which an asynq server dequeues.
func recordDequeue(t *testing.T) string {
	t.Helper()
	s := redistest.Mini(t)
	rdb := s.Client(t)
	found := make(recorder, 1)
	rdb.AddHook(found)
	srv := asynq.NewServerFromRedisClient(rdb, asynq.Config{
		Concurrency: 1, Queues: map[string]int{bulk: 1}, Logger: &lines{}, TaskCheckInterval: time.Millisecond,
	})
	require.NoError(t, srv.Start(asynq.HandlerFunc(func(context.Context, *asynq.Task) error { return nil })))
	defer srv.Shutdown()
	return await(t, (<-chan string)(found), "asynq's script")
}

// recorder is a hook that keeps the source of the script that dequeues.
type recorder chan string

func (recorder) DialHook(next redis.DialHook) redis.DialHook { return next }

func (recorder) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

func (r recorder) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		if args := cmd.Args(); cmd.Name() == "eval" && args[3] == key(bulk, "pending") {
			select {
			case r <- args[1].(string):
			default:
			}
		}
		return next(ctx, cmd)
	}
}

// lines is a log.
type lines struct {
	mu  sync.Mutex
	all []string
}

func (l *lines) add(args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all = append(l.all, fmt.Sprint(args...))
}

func (l *lines) lines() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]string(nil), l.all...)
}

func (l *lines) Debug(...any)      {}
func (l *lines) Info(...any)       {}
func (l *lines) Warn(args ...any)  { l.add(args...) }
func (l *lines) Error(args ...any) { l.add(args...) }
func (l *lines) Fatal(args ...any) { l.add(args...) }
