package onhold_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"github.com/intercom-dispatch/intercom-dispatch/internal/onhold"
	"github.com/intercom-dispatch/intercom-dispatch/internal/redistest"
	"github.com/intercom-dispatch/intercom-dispatch/ledger"
)

func TestARefusedAnswerStopsAllProcesses(t *testing.T) {
	t.Parallel()
	onEach(t, func(b *bundle) {
		metrics := prometheus.NewRegistry()
		a := b.running(slowly, func(c *onhold.Config) { c.Metrics = metrics })
		other := b.running(slowly)

		a.blocked()
		require.True(b.t, b.allPaused(), "before anything else is dequeued")
		s := a.requireHeld()
		require.Equal(b.t, refused, s.Reason)
		require.WithinDuration(b.t, time.Now(), s.Since, time.Minute)
		other.reach(onhold.Held)
		require.Equal(b.t, refused, other.requireHeld().Reason)
		require.Equal(b.t, refused, b.read().Reason)
		families, err := metrics.Gather()
		require.NoError(b.t, err)
		require.Equal(b.t, "dispatch_workspace_on_hold", families[0].GetName())
		require.InDelta(b.t, 1, families[0].GetMetric()[0].GetGauge().GetValue(), 0)

		for _, p := range []*process{a, other} {
			lines := p.logs.FilterLevelExact(zap.ErrorLevel).All()
			require.Len(b.t, lines, 1)
			fields := lines[0].ContextMap()
			require.Equal(b.t, "unauthorized", fields["code"])
			require.EqualValues(b.t, 401, fields["status"])
			require.Equal(b.t, "r1", fields["request_id"])
			require.Equal(b.t, "Access Token Invalid", fields["reason"])
		}
	})
}

func TestManyRefusedAnswersMakeOneHold(t *testing.T) {
	t.Parallel()
	onEach(t, func(b *bundle) {
		ps := []*process{b.running(slowly), b.running(slowly)}
		var passes []*onhold.Pass
		for i := range 20 {
			passes = append(passes, ps[i%2].enter())
		}
		var wg sync.WaitGroup
		for _, pass := range passes {
			wg.Go(func() { _ = pass.Blocked(b.ctx, refused) })
		}
		wg.Wait()
		s := b.read()
		require.Equal(b.t, onhold.Held, s.Phase)
		require.Equal(b.t, "1", b.field("round"))
		for _, p := range ps {
			b.eventually(func() bool { return p.State().ID == s.ID })
			require.Equal(b.t, 1, p.logs.Len(), p.logs.All())
		}
	})
}

func TestNothingIsSentBeforeTheStateIsKnown(t *testing.T) {
	t.Parallel()
	onEach(t, func(b *bundle) {
		b.process(slowly).blocked()
		g, err := onhold.New(onhold.Config{Redis: b.rdb, Workspace: "main", Queues: queues, Probe: b.probe})
		require.NoError(b.t, err)
		_, err = g.Enter(b.ctx)
		require.ErrorIs(b.t, err, onhold.ErrUnknown)
		require.NoError(b.t, g.Load(b.ctx))
		_, err = g.Enter(b.ctx)
		var held *onhold.HeldError
		require.ErrorAs(b.t, err, &held)
	})
}

func TestItGoesOnByItself(t *testing.T) {
	t.Parallel()
	onEach(t, func(b *bundle) {
		a, other := b.running(), b.running()
		a.blocked()
		b.eventually(func() bool { return b.probes.Load() >= 3 })
		require.True(b.t, b.allPaused())
		b.good.Store(true)
		other.reach(onhold.Trial)
		b.eventually(b.nonePaused)
		require.NoError(b.t, other.enter().Answered(b.ctx))
		require.Equal(b.t, onhold.State{}, b.read())
		for _, p := range []*process{other, a} {
			p.reach(onhold.Free)
			require.False(b.t, p.enter().Trial())
			lines := p.logs.FilterMessage("workspace goes on").All()
			require.Len(b.t, lines, 1)
			require.Positive(b.t, lines[0].ContextMap()["lasted"])
		}
		require.True(b.t, b.nonePaused())
	})
}

func TestOneProcessAsksOncePerWait(t *testing.T) {
	t.Parallel()
	onEach(t, func(b *bundle) {
		waits := []time.Duration{100 * time.Millisecond, 200 * time.Millisecond, 400 * time.Millisecond}
		var mu sync.Mutex
		var ended []time.Time
		var gaps []time.Duration
		var asking atomic.Int32
		probe := func(context.Context) error {
			if asking.Add(1) != 1 {
				b.t.Error("two probes at a time")
			}
			defer asking.Add(-1)
			mu.Lock()
			defer mu.Unlock()
			if len(ended) > 0 {
				gaps = append(gaps, time.Since(ended[len(ended)-1]))
			}
			time.Sleep(50 * time.Millisecond)
			ended = append(ended, time.Now())
			return errors.New("refused")
		}
		var ps []*process
		for range 5 {
			ps = append(ps, b.running(func(c *onhold.Config) { c.Probe, c.Waits = probe, waits }))
		}
		ps[0].blocked()
		count := func() int {
			mu.Lock()
			defer mu.Unlock()
			return len(gaps)
		}
		b.eventually(func() bool { return count() >= 4 })
		mu.Lock()
		defer mu.Unlock()
		for i, least := range []time.Duration{waits[1], waits[2], waits[2], waits[2]} {
			require.Greater(b.t, gaps[i], least-5*time.Millisecond, "%d: %v", i, gaps)
		}
		require.LessOrEqual(b.t, b.read().Probes, len(gaps)+2)
	})
}

func TestAnotherProcessAsksWhenTheProberIsGone(t *testing.T) {
	t.Parallel()
	onEach(t, func(b *bundle) {
		asked := make(chan struct{}, 1)
		stuck := b.process(func(c *onhold.Config) {
			c.ProbeTimeout = 100 * time.Millisecond
			c.Probe = func(context.Context) error {
				asked <- struct{}{}
				return errors.New("refused")
			}
		})
		stuck.rdb.AddHook(&cut{after: asked})
		stuck.blocked()
		stuck.run()
		b.eventually(func() bool { return b.read().Probes == 1 })
		b.good.Store(true)
		other := b.running()
		other.reach(onhold.Trial)
	})
}

func TestRedisAwayWhenItIsRefused(t *testing.T) {
	t.Parallel()
	onEach(t, func(b *bundle) {
		a := b.running(slowly)
		pass := a.enter()
		second := a.enter()
		b.server.Kill()
		done := make(chan error, 1)
		go func() { done <- pass.Blocked(b.ctx, refused) }()
		a.reach(onhold.Held)
		require.Equal(b.t, refused, a.requireHeld().Reason, "for this process at once")
		require.Error(b.t, <-done)
		require.Error(b.t, second.Blocked(b.ctx, refused))
		b.server.Restart()
		b.eventually(func() bool {
			s, err := onhold.Read(b.ctx, b.rdb, "main")
			return err == nil && s.Phase == onhold.Held && b.allPaused()
		})
		require.Equal(b.t, onhold.Held, a.State().Phase)
		require.Equal(b.t, 1, a.logs.FilterLevelExact(zap.ErrorLevel).Len())
	})
}

func TestTheLastKnownStateCountsWhileRedisIsAway(t *testing.T) {
	t.Parallel()
	b := newBundle(t, redistest.Mini(t))
	a := b.running(slowly)
	b.server.Kill()
	b.eventually(func() bool { return a.logs.FilterLevelExact(zap.WarnLevel).Len() == 1 })
	a.enter()
	b.server.Restart()
	b.eventually(func() bool { return a.logs.FilterMessageSnippet("can look again").Len() == 1 })

	a.blocked()
	b.server.Kill()
	b.eventually(func() bool { return a.logs.FilterLevelExact(zap.WarnLevel).Len() == 2 })
	a.requireHeld()
}

func TestConfigIsChecked(t *testing.T) {
	t.Parallel()
	rdb := redistest.Mini(t).Client(t)
	for field, breakIt := range map[string]func(*onhold.Config){
		"Redis":        func(c *onhold.Config) { c.Redis = nil },
		"Workspace":    func(c *onhold.Config) { c.Workspace = "{}" },
		"Queues":       func(c *onhold.Config) { c.Queues = nil },
		"Probe":        func(c *onhold.Config) { c.Probe = nil },
		"ProbeTimeout": func(c *onhold.Config) { c.ProbeTimeout = -1 },
		"TrialLease":   func(c *onhold.Config) { c.TrialLease = 1 },
		"Interval":     func(c *onhold.Config) { c.Interval = -time.Second },
		"MaxWait":      func(c *onhold.Config) { c.MaxWait = -1 },
		"Waits":        func(c *onhold.Config) { c.Waits = []time.Duration{time.Second, time.Second} },
	} {
		cfg := onhold.Config{Redis: rdb, Workspace: "main", Queues: queues, Probe: func(context.Context) error { return nil }}
		_, err := onhold.New(cfg)
		require.NoError(t, err)
		breakIt(&cfg)
		_, err = onhold.New(cfg)
		require.ErrorContains(t, err, "field "+field)
	}
}

func TestStateTellsPeopleWhatToDo(t *testing.T) {
	t.Parallel()
	since := time.Date(2026, 11, 22, 15, 0, 0, 0, time.UTC)
	for want, s := range map[string]onhold.State{
		"the workspace is not on hold": {},
		"the workspace is on hold since 2026-11-22T15:00:00Z: Intercom refuses the access token (401 unauthorized: Access Token Invalid, request r1); " +
			"give the workers a valid access token; no message is lost, and the workspace goes on by itself": {Phase: onhold.Held, Since: since, Reason: refused},
		"the workspace is on hold since 2026-11-22T15:00:00Z: Intercom's plan or the permissions of the access token do not allow messages " +
			"(403 api_plan_restricted: Active subscription needed., request r2); a probe of Intercom succeeded, so one message at a time is tried, " +
			"and all go on once one gets through": {Phase: onhold.Trial, Since: since, Reason: noPlan},
		"the workspace is on hold since 2026-11-22T15:00:00Z: what answers is not Intercom's API, or refuses every message (404 http_404); " +
			"check the configured base URL, the region and any proxy; no message is lost, and the workspace goes on by itself": {Phase: onhold.Held, Since: since, Reason: ledger.Error{Code: "http_404", Status: 404}},
		"the workspace is on hold since 2026-11-22T15:00:00Z: requests to Intercom cannot be made (no_token); " +
			"check the configured access token and base URL; no message is lost, and the workspace goes on by itself": {Phase: onhold.Held, Since: since, Reason: ledger.Error{Code: "no_token"}},
	} {
		require.Equal(t, want, s.String())
		require.Equal(t, want, (&onhold.HeldError{State: s}).Error())
	}
}
