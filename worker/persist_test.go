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

var errAway = errors.New("redis is away")

func TestAResultIsKeptAsLongAsTheWorkerLives(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w, start := bare(t), time.Now()
		ctx, cancel := context.WithCancel(t.Context())
		cancel() // The task's own context may have ended.
		err := w.persist(ctx, &delivery{}, func(ctx context.Context) error {
			require.NoError(t, ctx.Err())
			if time.Since(start) < time.Hour {
				return errAway
			}
			return nil
		})
		require.NoError(t, err)
		require.Less(t, time.Since(start), time.Hour+2*time.Second, "it waited for long after Redis was back")
	})
}

func TestAResultIsGivenUpTheCommitTimeoutAfterTheWorkerIsToldToStop(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w, start := bare(t), time.Now()
		time.AfterFunc(time.Minute, func() { w.stop() })
		err := w.persist(t.Context(), &delivery{}, func(context.Context) error { return errAway })
		require.ErrorIs(t, err, errAway)
		require.ErrorContains(t, err, "not recorded within 10s")
		require.Equal(t, time.Minute+10*time.Second, time.Since(start))
	})
}

// TestAWorkerThatStopsDoesNotWaitForARedisThatHangs has each write take as long
// as it may.
func TestAWorkerThatStopsDoesNotWaitForARedisThatHangs(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w, start := bare(t), time.Now()
		w.stop()
		err := w.persist(t.Context(), &delivery{}, func(ctx context.Context) error {
			<-ctx.Done()
			return ctx.Err()
		})
		require.ErrorIs(t, err, context.Canceled)
		require.LessOrEqual(t, time.Since(start), w.cfg.CommitTimeout+leaseMargin)
	})
}

func TestPersistDoesNotArgueWithTheLedger(t *testing.T) {
	t.Parallel()
	for _, verdict := range []error{
		&ledger.FencedError{State: ledger.Sent}, &ledger.TakenError{}, ledger.ErrNotFound,
	} {
		tries := 0
		err := bare(t).persist(t.Context(), &delivery{}, func(context.Context) error {
			tries++
			return verdict
		})
		require.ErrorIs(t, err, verdict)
		require.Equal(t, 1, tries)
	}
}
