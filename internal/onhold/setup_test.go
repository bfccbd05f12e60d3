package onhold_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/intercom-dispatch/intercom-dispatch/internal/onhold"
	"github.com/intercom-dispatch/intercom-dispatch/internal/redistest"
	"github.com/intercom-dispatch/intercom-dispatch/internal/task"
	"github.com/intercom-dispatch/intercom-dispatch/ledger"
)

const (
	patience = 30 * time.Second
	tick     = 5 * time.Millisecond
)

var (
	refused = ledger.Error{Code: "unauthorized", Message: "Access Token Invalid", Status: 401, RequestID: "r1"}
	noPlan  = ledger.Error{Code: "api_plan_restricted", Message: "Active subscription needed.", Status: 403, RequestID: "r2"}
	queues  = []string{task.Queue("main", task.High), task.Queue("main", task.Normal)}
)

// bundle is a workspace on a server of the test's own.
type bundle struct {
	t      *testing.T
	ctx    context.Context //nolint:containedctx // the test's
	server *redistest.Server
	rdb    redis.UniversalClient
	hook   redis.Hook

	// good tells whether the probe succeeds.
	good   atomic.Bool
	probes atomic.Int32
}

// onEach runs a test on every kind of Redis, and on one to which each script of
// the guards is sent twice.
func onEach(t *testing.T, run func(*bundle)) {
	t.Helper()
	redistest.EachAndCluster(t, func(t *testing.T, s *redistest.Server) {
		t.Helper()
		run(newBundle(t, s))
	})
	t.Run("repeated", func(t *testing.T) {
		t.Parallel()
		b := newBundle(t, redistest.Start(t, redistest.Options{}))
		b.hook = redistest.Twice{}
		run(b)
	})
}

func newBundle(t *testing.T, s *redistest.Server) *bundle {
	t.Helper()
	return &bundle{t: t, ctx: t.Context(), server: s, rdb: s.Client(t)}
}

// process is a guard with a connection of its own.
type process struct {
	*onhold.Guard

	b    *bundle
	rdb  redis.UniversalClient
	logs *observer.ObservedLogs
}

func (b *bundle) process(change ...func(*onhold.Config)) *process {
	b.t.Helper()
	core, logs := observer.New(zap.InfoLevel)
	p := &process{b: b, rdb: b.server.Client(b.t), logs: logs}
	if b.hook != nil {
		p.rdb.AddHook(b.hook)
	}
	cfg := onhold.Config{
		Redis: p.rdb, Workspace: "main", Queues: queues, Probe: b.probe, Log: zap.New(core),
		Interval: 20 * time.Millisecond, Waits: []time.Duration{50 * time.Millisecond, 100 * time.Millisecond},
	}
	for _, c := range change {
		c(&cfg)
	}
	var err error
	p.Guard, err = onhold.New(cfg)
	require.NoError(b.t, err)
	require.NoError(b.t, p.Load(b.ctx))
	return p
}

// running starts a process that also runs until the returned function, or the
// end of the test.
func (b *bundle) running(change ...func(*onhold.Config)) *process {
	b.t.Helper()
	p := b.process(change...)
	p.run()
	return p
}

func (p *process) run() (stop func()) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(p.b.ctx))
	var wg sync.WaitGroup
	wg.Go(func() { _ = p.Run(ctx) })
	stop = func() {
		cancel()
		wg.Wait()
	}
	p.b.t.Cleanup(stop)
	return stop
}

func (b *bundle) probe(context.Context) error {
	b.probes.Add(1)
	if b.good.Load() {
		return nil
	}
	return errors.New("refused")
}

// slowly makes the first probe later than any test lasts.
func slowly(c *onhold.Config) { c.Waits = []time.Duration{time.Hour} }

func (p *process) enter() *onhold.Pass {
	p.b.t.Helper()
	pass, err := p.Enter(p.b.ctx)
	require.NoError(p.b.t, err)
	return pass
}

func (p *process) requireHeld() onhold.State {
	p.b.t.Helper()
	_, err := p.Enter(p.b.ctx)
	var held *onhold.HeldError
	require.ErrorAs(p.b.t, err, &held)
	return held.State
}

func (p *process) blocked() {
	p.b.t.Helper()
	require.NoError(p.b.t, p.enter().Blocked(p.b.ctx, refused))
}

// reach waits until the process knows the workspace to be in the phase.
func (p *process) reach(phase onhold.Phase) {
	p.b.t.Helper()
	timeout := time.After(patience)
	for {
		changed := p.Changed()
		if p.State().Phase == phase {
			return
		}
		select {
		case <-changed:
		case <-timeout:
			p.b.t.Fatalf("not %q but %q", phase, p.State().Phase)
		}
	}
}

// trial puts the workspace on trial.
func (b *bundle) trial(ps ...*process) {
	b.t.Helper()
	b.good.Store(true)
	ps[0].blocked()
	for _, p := range ps {
		p.reach(onhold.Trial)
	}
}

func (b *bundle) read() onhold.State {
	b.t.Helper()
	s, err := onhold.Read(b.ctx, b.rdb, "main")
	require.NoError(b.t, err)
	return s
}

func (b *bundle) field(name string) string {
	b.t.Helper()
	v, err := b.rdb.HGet(b.ctx, ledger.HoldKey("main"), name).Result()
	require.NoError(b.t, err)
	return v
}

func pauseKey(queue string) string { return "asynq:{" + queue + "}:paused" }

func (b *bundle) paused(queue string) bool {
	n, err := b.rdb.Exists(b.ctx, pauseKey(queue)).Result()
	return err == nil && n == 1
}

func (b *bundle) allPaused() bool { return b.paused(queues[0]) && b.paused(queues[1]) }

func (b *bundle) nonePaused() bool { return !b.paused(queues[0]) && !b.paused(queues[1]) }

func (b *bundle) eventually(is func() bool) {
	b.t.Helper()
	require.Eventually(b.t, is, patience, tick)
}

// ticks waits until running guards have looked at the state a few times.
func (b *bundle) ticks() { time.Sleep(200 * time.Millisecond) }

func (b *bundle) inspector() *asynq.Inspector { return asynq.NewInspectorFromRedisClient(b.rdb) }

// beforeQueues runs before each script that touches asynq's queues. Its error
// stands for a process that ended before it could.
type beforeQueues struct {
	redis.Hook

	do func() error
}

func noQueues() beforeQueues {
	return beforeQueues{do: func() error { return errors.New("the process has ended") }}
}

func (beforeQueues) DialHook(next redis.DialHook) redis.DialHook { return next }

func (beforeQueues) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

func (h beforeQueues) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		for _, arg := range cmd.Args() {
			if s, ok := arg.(string); ok && strings.HasPrefix(s, "asynq:") {
				if err := h.do(); err != nil {
					cmd.SetErr(err)
					return err
				}
			}
		}
		return next(ctx, cmd)
	}
}

// cut is the connection of a process that ends once something has happened.
type cut struct {
	redis.Hook

	after chan struct{}
	gone  atomic.Bool
}

func (*cut) DialHook(next redis.DialHook) redis.DialHook { return next }

func (*cut) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

func (c *cut) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		select {
		case <-c.after:
			c.gone.Store(true)
		default:
		}
		if c.gone.Load() {
			cmd.SetErr(errors.New("the process has ended"))
			return cmd.Err()
		}
		return next(ctx, cmd)
	}
}
