package worker

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"github.com/intercom-dispatch/intercom-dispatch/internal/onhold"
)

// bare is a worker for what needs neither Redis nor Intercom.
func bare(t *testing.T) *Worker {
	t.Helper()
	m, err := newMetrics(nil)
	require.NoError(t, err)
	w := &Worker{
		cfg: Config{CommitTimeout: 10 * time.Second}, metrics: m, log: zap.NewNop(),
		now: time.Now, stopping: make(chan struct{}), guard: free{},
	}
	w.breaker = w.newBreaker()
	return w
}

// free is the guard of a workspace that is not on hold.
type free struct{}

func (free) Enter(context.Context) (*onhold.Pass, error) { return &onhold.Pass{}, nil }
func (free) Changed() <-chan struct{}                    { return nil }

func TestAnOpenGateLetsPassAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w, start := bare(t), time.Now()
		require.NoError(t, w.permit(t.Context(), &delivery{}))
		require.Zero(t, time.Since(start))
	})
}

func TestTheGateOpensAtItsLatestTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w, start := bare(t), time.Now()
		w.gate.close(start.Add(5 * time.Second))
		w.gate.close(start.Add(2 * time.Second)) // Another answer said less.
		time.AfterFunc(4*time.Second, func() { w.gate.close(start.Add(9 * time.Second)) })
		require.NoError(t, w.permit(t.Context(), &delivery{}))
		require.Equal(t, 9*time.Second, time.Since(start))
	})
}

func TestWhoWaitsAtTheGateLeavesWhenTheWorkerStops(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w, start := bare(t), time.Now()
		w.gate.close(start.Add(time.Minute))
		time.AfterFunc(time.Second, func() { close(w.stopping) })
		err := w.permit(t.Context(), &delivery{})
		snooze, ok := errors.AsType[*snoozeError](err)
		require.True(t, ok, "the task would count as done, or wait: %v", err)
		require.Equal(t, time.Now(), snooze.until)
		require.Equal(t, time.Second, time.Since(start))
	})
}

func TestWhoWaitsAtTheGateLeavesWithTheTask(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := bare(t)
		w.gate.close(time.Now().Add(time.Minute))
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		require.ErrorIs(t, w.permit(ctx, &delivery{}), context.DeadlineExceeded)
	})
}
