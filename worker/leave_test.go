package worker

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/intercom-dispatch/intercom-dispatch/internal/onhold"
	"github.com/intercom-dispatch/intercom-dispatch/ledger"
	"github.com/intercom-dispatch/intercom-dispatch/ratelimit"
)

// failing lets n requests leave that Intercom fails.
func failing(t *testing.T, w *Worker, n int) {
	t.Helper()
	for range n {
		c, err := w.leave(t.Context(), ratelimit.Normal)
		require.NoError(t, err)
		c.answered(t.Context(), outcome{kind: KindUncertain, err: ledger.Error{Code: "http_500"}}, nil, time.Now())
	}
}

func TestWhenIntercomFailsOneRequestAtATimeProbes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := bare(t)
		failing(t, w, tripInARow)
		start := time.Now()
		probe, err := w.leave(t.Context(), ratelimit.Normal)
		require.NoError(t, err)
		require.InDelta(t, breakerWait.Seconds(), time.Since(start).Seconds(), 0.5)

		// Others wait until it is known what became of the probe.
		others := make(chan error, 3)
		for range 3 {
			go func() {
				c, err := w.leave(t.Context(), ratelimit.Normal)
				c.cancel(t.Context())
				others <- err
			}()
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		require.Empty(t, others)
		probe.answered(t.Context(), outcome{kind: KindContactMissing}, nil, time.Now())
		for range 3 {
			require.NoError(t, <-others)
		}
	})
}

func TestAProbeThatFailsOrIsNotMadeLeavesTheBreakerOpen(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := bare(t)
		failing(t, w, tripInARow)
		notMade, err := w.leave(t.Context(), ratelimit.Normal)
		require.NoError(t, err)
		notMade.cancel(t.Context())
		failing(t, w, 1)
		start := time.Now()
		c, err := w.leave(t.Context(), ratelimit.Normal)
		require.NoError(t, err)
		c.cancel(t.Context())
		require.InDelta(t, breakerWait.Seconds(), time.Since(start).Seconds(), 0.5)
	})
}

func TestSomeFailuresAndAllRefusalsLeaveTheBreakerClosed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w, start := bare(t), time.Now()
		for i := range 1000 {
			o := outcome{kind: KindRefused}
			if i%3 == 0 {
				o = outcome{kind: KindNotSent}
			}
			c, err := w.leave(t.Context(), ratelimit.Normal)
			require.NoError(t, err)
			c.answered(t.Context(), o, nil, time.Now())
		}
		require.Zero(t, time.Since(start))
	})
}

func TestWhoWaitsForIntercomLeavesWhenTheWorkerStops(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := bare(t)
		failing(t, w, tripInARow)
		time.AfterFunc(time.Second, func() { w.stop() })
		_, err := w.leave(t.Context(), ratelimit.Normal)
		_, ok := errors.AsType[*snoozeError](err)
		require.True(t, ok)
	})
}

// guarded is a guard that refuses until it is free.
type guarded struct {
	phase   onhold.Phase
	freed   chan struct{}
	entered int
}

func (g *guarded) Enter(context.Context) (*onhold.Pass, error) {
	g.entered++
	select {
	case <-g.freed:
		return &onhold.Pass{}, nil
	default:
		return nil, &onhold.HeldError{State: onhold.State{Phase: g.phase}}
	}
}

func (g *guarded) Changed() <-chan struct{} { return g.freed }

func TestAMessageOfAWorkspaceOnHoldGoesBack(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := bare(t)
		w.guard = &guarded{phase: onhold.Held}
		d := &delivery{}
		err := w.permit(t.Context(), d)
		snooze, ok := errors.AsType[*snoozeError](err)
		require.True(t, ok)
		require.Equal(t, time.Now().Add(heldWait), snooze.until)
		d.leave.cancel(t.Context()) // As the end of the delivery does.
	})
}

func TestDuringATrialMessagesWaitInHand(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := bare(t)
		g := &guarded{phase: onhold.Trial, freed: make(chan struct{})}
		w.guard = g
		time.AfterFunc(300*time.Millisecond, func() { close(g.freed) })
		start := time.Now()
		require.NoError(t, w.permit(t.Context(), &delivery{}))
		require.Equal(t, 300*time.Millisecond, time.Since(start))
		require.Equal(t, 2, g.entered)
	})
}
