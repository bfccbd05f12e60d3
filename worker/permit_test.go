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
	"github.com/intercom-dispatch/intercom-dispatch/internal/task"
	"github.com/intercom-dispatch/intercom-dispatch/ledger"
	"github.com/intercom-dispatch/intercom-dispatch/ratelimit"
)

// bare is a worker for what needs neither Redis nor Intercom.
func bare(t *testing.T) *Worker {
	t.Helper()
	m, err := newMetrics(nil)
	require.NoError(t, err)
	w := &Worker{
		cfg: Config{CommitTimeout: 10 * time.Second}, metrics: m, log: zap.NewNop(),
		now: time.Now, guard: free{}, limiter: unlimited{},
	}
	w.stopCtx, w.stop = context.WithCancel(t.Context())
	w.breaker = w.newBreaker()
	return w
}

// free is the guard of a workspace that is not on hold.
type free struct{}

func (free) Enter(context.Context) (*onhold.Pass, error) { return &onhold.Pass{}, nil }
func (free) Changed() <-chan struct{}                    { return nil }

// unlimited is the limiter of those who need not wait.
type unlimited struct{}

func (unlimited) TryAcquire(ratelimit.Class) *ratelimit.Permit { return &ratelimit.Permit{} }
func (unlimited) Acquire(context.Context, ratelimit.Class) (*ratelimit.Permit, error) {
	return &ratelimit.Permit{}, nil
}

// usedUp is the limiter that has no permit for anybody.
type usedUp struct{ asked chan ratelimit.Class }

func (usedUp) TryAcquire(ratelimit.Class) *ratelimit.Permit { return nil }
func (u usedUp) Acquire(ctx context.Context, c ratelimit.Class) (*ratelimit.Permit, error) {
	if u.asked != nil {
		u.asked <- c
	}
	<-ctx.Done()
	return nil, ctx.Err()
}

func TestWhereThereArePermitsMessagesLeaveAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w, start := bare(t), time.Now()
		require.NoError(t, w.permit(t.Context(), &delivery{}))
		require.Zero(t, time.Since(start))
	})
}

func TestHighMessagesAreUrgent(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		for priority, class := range map[string]ratelimit.Class{
			task.High: ratelimit.Urgent, task.Normal: ratelimit.Normal, task.Bulk: ratelimit.Normal,
		} {
			w := bare(t)
			u := usedUp{asked: make(chan ratelimit.Class, 1)}
			w.limiter = u
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			require.Error(t, w.permit(ctx, &delivery{task: ledger.Task{Priority: priority}}))
			cancel()
			require.Equal(t, class, <-u.asked, priority)
		}
	})
}

func TestWhoWaitsForAPermitLeavesWhenTheWorkerStops(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w, start := bare(t), time.Now()
		w.limiter = usedUp{}
		time.AfterFunc(time.Second, w.stop)
		err := w.permit(t.Context(), &delivery{})
		snooze, ok := errors.AsType[*snoozeError](err)
		require.True(t, ok, "the task would count as done, or wait: %v", err)
		require.Equal(t, time.Now(), snooze.until)
		require.Equal(t, time.Second, time.Since(start))
	})
}

func TestWhoWaitsForAPermitLeavesWithTheTask(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := bare(t)
		w.limiter = usedUp{}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		require.ErrorIs(t, w.permit(ctx, &delivery{}), context.DeadlineExceeded)
	})
}
