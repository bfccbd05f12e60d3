package onhold_test

import (
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"github.com/intercom-dispatch/intercom-dispatch/internal/onhold"
	"github.com/intercom-dispatch/intercom-dispatch/internal/redistest"
)

func TestATrialLetsOneMessageThroughInTheWholeWorkspace(t *testing.T) {
	t.Parallel()
	onEach(t, func(b *bundle) {
		ps := []*process{b.running(), b.running(), b.running()}
		b.trial(ps...)
		var mu sync.Mutex
		var passes []*onhold.Pass
		var wg sync.WaitGroup
		for i := range 30 {
			wg.Go(func() {
				if pass, err := ps[i%3].Enter(b.ctx); err == nil {
					mu.Lock()
					defer mu.Unlock()
					passes = append(passes, pass)
				}
			})
		}
		wg.Wait()
		require.Len(b.t, passes, 1)
		require.True(b.t, passes[0].Trial())

		require.NoError(b.t, passes[0].Cancel(b.ctx))
		again := ps[1].enter()
		require.Equal(b.t, onhold.Trial, ps[0].requireHeld().Phase)
		require.NoError(b.t, passes[0].Answered(b.ctx), "it was cancelled: it says nothing any more")
		require.Equal(b.t, onhold.Trial, b.read().Phase)
		require.NoError(b.t, again.Answered(b.ctx))
		for _, p := range ps {
			p.reach(onhold.Free)
		}
	})
}

func TestARefusedTrialWaitsLonger(t *testing.T) {
	t.Parallel()
	onEach(t, func(b *bundle) {
		a, other := b.running(longer), b.running(longer)
		b.trial(a, other)
		id := b.read().ID
		for _, wait := range []string{"100", "200", "300", "300"} {
			pass := other.enter()
			b.good.Store(false)
			require.NoError(b.t, pass.Blocked(b.ctx, noPlan))
			require.Equal(b.t, wait, b.field("wait"))
			require.True(b.t, b.allPaused())
			require.Equal(b.t, noPlan, other.requireHeld().Reason)
			a.reach(onhold.Held)
			asked := b.probes.Load()
			b.eventually(func() bool { return b.probes.Load() > asked })
			require.Equal(b.t, wait, b.field("wait"), "a probe waits as long")
			b.good.Store(true)
			other.reach(onhold.Trial)
			a.reach(onhold.Trial)
		}
		require.Equal(b.t, id, b.read().ID, "it is one hold")
		b.eventually(b.nonePaused)
		require.Equal(b.t, 1, other.logs.FilterMessage("workspace is on hold").Len())
		require.Equal(b.t, 4, other.logs.FilterMessage("workspace is on hold again").FilterLevelExact(zap.ErrorLevel).Len())
	})
}

func longer(c *onhold.Config) {
	c.Waits, c.MaxWait = []time.Duration{50 * time.Millisecond}, 300*time.Millisecond
}

func TestATrialWhoseProcessDiedIsGivenToAnother(t *testing.T) {
	t.Parallel()
	onEach(t, func(b *bundle) {
		short := func(c *onhold.Config) { c.TrialLease = 300 * time.Millisecond }
		a, other := b.running(short), b.running(short)
		b.trial(a, other)
		a.enter()
		other.requireHeld()
		var pass *onhold.Pass
		b.eventually(func() bool {
			var err error
			pass, err = other.Enter(b.ctx)
			return err == nil
		})
		require.NoError(b.t, pass.Answered(b.ctx))
		require.False(b.t, b.read().OnHold())
	})
}

func TestAnswersToAttemptsFromBeforeTheHoldSayNothing(t *testing.T) {
	t.Parallel()
	onEach(t, func(b *bundle) {
		a := b.running()
		good, bad := a.enter(), a.enter()
		a.blocked()
		require.NoError(b.t, good.Answered(b.ctx))
		require.Equal(b.t, onhold.Held, b.read().Phase)
		b.good.Store(true)
		a.reach(onhold.Trial)
		require.NoError(b.t, a.enter().Cancel(b.ctx))
		require.NoError(b.t, bad.Blocked(b.ctx, refused), "nor does a late refusal fail the trial")
		require.Equal(b.t, onhold.Trial, b.read().Phase)
		require.Equal(b.t, onhold.Trial, a.State().Phase)
		b.eventually(b.nonePaused)
	})
}

func TestTheAnswerOfAnEarlierTrialDoesNotEndALaterOne(t *testing.T) {
	t.Parallel()
	onEach(t, func(b *bundle) {
		a := b.running(func(c *onhold.Config) { c.TrialLease = 100 * time.Millisecond })
		b.trial(a)
		late := a.enter()
		var second *onhold.Pass
		b.eventually(func() bool {
			var err error
			second, err = a.Enter(b.ctx)
			return err == nil
		})
		require.NoError(b.t, second.Blocked(b.ctx, noPlan))
		a.reach(onhold.Trial)
		require.NoError(b.t, late.Answered(b.ctx))
		require.Equal(b.t, onhold.Trial, b.read().Phase)

		third := a.enter()
		require.NoError(b.t, third.Answered(b.ctx))
		require.False(b.t, b.read().OnHold())
		a.reach(onhold.Free)
	})
}

func TestARefusalOfATrialThatAnotherHasPassedBeginsNoHold(t *testing.T) {
	t.Parallel()
	onEach(t, func(b *bundle) {
		a := b.running(func(c *onhold.Config) { c.TrialLease = 100 * time.Millisecond })
		b.trial(a)
		late := a.enter()
		var second *onhold.Pass
		b.eventually(func() bool {
			var err error
			second, err = a.Enter(b.ctx)
			return err == nil
		})
		require.NoError(b.t, second.Answered(b.ctx))
		require.NoError(b.t, late.Blocked(b.ctx, noPlan))
		require.False(b.t, b.read().OnHold())
		require.False(b.t, a.State().OnHold())
		require.True(b.t, b.nonePaused())
	})
}

func TestRedisAwayWhenTheTrialIsRefused(t *testing.T) {
	t.Parallel()
	b := newBundle(t, redistest.Mini(t))
	a := b.running(func(c *onhold.Config) { c.Waits = []time.Duration{10 * time.Millisecond, time.Hour} })
	b.trial(a)
	pass := a.enter()
	b.eventually(b.nonePaused)
	b.good.Store(false)
	b.server.Kill()
	require.Error(t, pass.Blocked(b.ctx, noPlan))
	require.Equal(t, noPlan, a.requireHeld().Reason)
	b.server.Restart()
	b.eventually(func() bool { return b.read().Phase == onhold.Held && b.allPaused() })
	require.Equal(t, "2", b.field("round"))
}
