package worker

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/intercom-dispatch/intercom-dispatch/ledger"
)

// bare is a worker for what needs neither Redis nor Intercom.
func bare(t *testing.T) *Worker {
	t.Helper()
	m, err := newMetrics(nil)
	require.NoError(t, err)
	return &Worker{
		cfg: Config{CommitTimeout: 10 * time.Second}, metrics: m,
		now: time.Now, stopping: make(chan struct{}),
	}
}

func TestAnOpenGateLetsPassAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w, start := bare(t), time.Now()
		require.NoError(t, w.permit(t.Context(), nil))
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
		require.NoError(t, w.permit(t.Context(), nil))
		require.Equal(t, 9*time.Second, time.Since(start))
	})
}

func TestWhoWaitsAtTheGateLeavesWhenTheWorkerStops(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w, start := bare(t), time.Now()
		w.gate.close(start.Add(time.Minute))
		time.AfterFunc(time.Second, func() { close(w.stopping) })
		err := w.permit(t.Context(), nil)
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
		require.ErrorIs(t, w.permit(ctx, nil), context.DeadlineExceeded)
	})
}

var errAway = errors.New("redis is away")

func TestPersistTriesAgainAlsoAfterTheTaskHasEnded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w, start := bare(t), time.Now()
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		err := w.persist(ctx, func(ctx context.Context) error {
			require.NoError(t, ctx.Err())
			if time.Since(start) < 5*time.Second {
				return errAway
			}
			return nil
		})
		require.NoError(t, err)
		require.Less(t, time.Since(start), 6*time.Second, "it waited for long after Redis was back")
	})
}

func TestPersistGivesUpAfterTheCommitTimeout(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w, start := bare(t), time.Now()
		err := w.persist(t.Context(), func(context.Context) error { return errAway })
		require.ErrorIs(t, err, errAway)
		require.ErrorContains(t, err, "not committed within 10s")
		require.Equal(t, 10*time.Second, time.Since(start))
	})
}

func TestPersistDoesNotArgueWithTheLedger(t *testing.T) {
	t.Parallel()
	tries := 0
	err := bare(t).persist(t.Context(), func(context.Context) error {
		tries++
		return &ledger.FencedError{State: ledger.Sent}
	})
	_, fenced := errors.AsType[*ledger.FencedError](err)
	require.True(t, fenced)
	require.Equal(t, 1, tries)
}
