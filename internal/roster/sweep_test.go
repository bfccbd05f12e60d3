package roster

import (
	"context"
	"errors"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/intercom-dispatch/intercom-dispatch/internal/redistest"
)

const patience = 30 * time.Second

// newTestSweeper returns one whose turns are long and whose waits are short.
func newTestSweeper(t *testing.T, rdb redis.UniversalClient) (*sweeper, *observer.ObservedLogs) {
	t.Helper()
	core, logs := observer.New(zap.InfoLevel)
	r, err := New(Config{Redis: rdb, Queues: []string{"q"}, Log: zap.New(core), SweepEvery: time.Hour})
	require.NoError(t, err)
	s := newSweeper(r)
	s.pause, s.again = 0, time.Millisecond
	return s, logs
}

func (s *sweeper) passNow(t *testing.T) {
	t.Helper()
	require.NoError(t, s.cfg.Redis.Del(t.Context(), s.sweepKey("q", "sweep")).Err())
	require.NoError(t, s.sweep(t.Context(), "q"))
}

// scans counts the SCAN commands of a client.
type scans struct{ n atomic.Int64 }

func (s *scans) DialHook(next redis.DialHook) redis.DialHook { return next }

func (s *scans) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

func (s *scans) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		if cmd.Name() == "scan" {
			s.n.Add(1)
		}
		return next(ctx, cmd)
	}
}

func TestAPassIsBoundedAndTheNextOneGoesOnFromThere(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t, redistest.Options{})
	rdb := server.Client(t)
	st := &store{t: t, rdb: rdb}
	for i := range 400 {
		st.hash("p"+strconv.Itoa(i), "pending")
	}
	st.hash("lost", "active")
	count := &scans{}
	rdb.AddHook(count)
	first, _ := newTestSweeper(t, rdb)
	second, _ := newTestSweeper(t, rdb)
	for _, s := range []*sweeper{first, second} {
		s.step, s.steps = 10, 5
	}
	passes := 0
	for st.rdb.LLen(t.Context(), pendingKey("q")).Val() == 0 {
		before := count.n.Load()
		[]*sweeper{first, second}[passes%2].passNow(t)
		require.LessOrEqual(t, count.n.Load()-before, int64(5))
		passes++
		require.Less(t, passes, 100, "it has to come by once")
	}
	require.Equal(t, []string{"lost"}, st.list(pendingKey("q")))
	for range 20 { // Round again.
		first.passNow(t)
	}
	require.Equal(t, []string{"lost"}, st.list(pendingKey("q")))
}

func TestAPassEndsWhereEnoughWasFound(t *testing.T) {
	t.Parallel()
	rdb := redistest.Start(t, redistest.Options{}).Client(t)
	st := &store{t: t, rdb: rdb}
	for i := range 200 {
		st.hash(strconv.Itoa(i), "active")
	}
	s, logs := newTestSweeper(t, rdb)
	s.step, s.most = 10, 20
	s.passNow(t)
	n := logs.FilterMessage("task is pending again").Len()
	require.GreaterOrEqual(t, n, 20)
	require.Less(t, n, 100)
	for range 20 {
		s.passNow(t)
	}
	require.Equal(t, int64(200), rdb.LLen(t.Context(), pendingKey("q")).Val())
}

func TestOneMemberTakesTheTurn(t *testing.T) {
	t.Parallel()
	eachStore(t, func(s *store) {
		ctx := s.t.Context()
		first, _ := newTestSweeper(s.t, s.rdb)
		second, _ := newTestSweeper(s.t, s.rdb)
		require.NoError(s.t, first.sweep(ctx, "q"))
		s.hash("lost", "active")
		require.NoError(s.t, second.sweep(ctx, "q"))
		require.Empty(s.t, s.list(pendingKey("q")))
		s.must(s.rdb.PExpire(ctx, first.sweepKey("q", "sweep"), time.Millisecond).Err())
		require.Eventually(s.t, func() bool {
			return second.sweep(ctx, "q") == nil && s.rdb.LLen(ctx, pendingKey("q")).Val() == 1
		}, patience, 5*time.Millisecond)
		require.Equal(s.t, []string{"1"}, s.list(activeKey("q")))
	})
}

func TestALostTaskInSomebodysHandsWaits(t *testing.T) {
	t.Parallel()
	eachStore(t, func(s *store) {
		s.hash("lost", "active")
		looking, _ := newTestSweeper(s.t, s.rdb)
		holder, _ := newTestSweeper(s.t, s.rdb)
		for _, r := range []*Roster{looking.Roster, holder.Roster} {
			release := r.Hold("q", "lost")
			s.must(holder.Announce(s.t.Context()))
			looking.passNow(s.t)
			require.Empty(s.t, s.list(pendingKey("q")))
			release()
		}
		s.must(holder.Announce(s.t.Context()))
		looking.passNow(s.t)
		require.Equal(s.t, []string{"lost"}, s.list(pendingKey("q")))
	})
}

// fate is the state in which the task of a number ends, zero where it is done,
// and how often it runs.
func fate(n int) (end asynq.TaskState, runs int64) {
	switch n % 8 {
	case 0:
		return asynq.TaskStateScheduled, 0
	case 1:
		return asynq.TaskStateArchived, 1
	case 2:
		return asynq.TaskStateCompleted, 1
	case 3:
		return 0, 2 // Done after a retry.
	case 4:
		return asynq.TaskStateRetry, 1
	}
	return 0, 1 // Done.
}

func TestTasksInOrdinaryStatesAreLeftAloneUnderLoad(t *testing.T) {
	t.Parallel()
	redistest.EachAndCluster(t, func(t *testing.T, server *redistest.Server) {
		tasks := 3000
		if !server.Real() {
			tasks = 300 // Miniredis sorts all keys for each SCAN.
		}
		l := &load{t: t, rdb: server.Client(t), runs: make([]atomic.Int64, tasks)}
		for i := range l.runs {
			l.enqueue(i)
		}
		l.serve()
		// Nobody says what is in hand, so nothing but the looks protects a task.
		s, logs := newTestSweeper(t, server.Client(t))
		deadline, passes := time.Now().Add(2*patience), 0
		for ; !l.finished(); passes++ {
			s.passNow(t)
			require.True(t, time.Now().Before(deadline), "it takes too long")
		}
		s.passNow(t)
		require.Greater(t, passes, 3)
		require.Zero(t, logs.Len())
		inspector := asynq.NewInspectorFromRedisClient(l.rdb)
		for i := range l.runs {
			end, runs := fate(i)
			require.Equal(t, runs, l.runs[i].Load(), i)
			info, err := inspector.GetTaskInfo("q", strconv.Itoa(i))
			if end == 0 {
				require.ErrorIs(t, err, asynq.ErrTaskNotFound)
				continue
			}
			require.NoError(t, err)
			require.Equal(t, end, info.State)
		}
	})
}

// load is a queue of tasks with all fates.
type load struct {
	t    *testing.T
	rdb  redis.UniversalClient
	runs []atomic.Int64
}

func (l *load) enqueue(n int) {
	l.t.Helper()
	opts := []asynq.Option{asynq.TaskID(strconv.Itoa(n)), asynq.Queue("q")}
	end, _ := fate(n)
	if end == asynq.TaskStateScheduled {
		opts = append(opts, asynq.ProcessIn(time.Hour))
	}
	if end == asynq.TaskStateCompleted {
		opts = append(opts, asynq.Retention(time.Hour))
	}
	_, err := asynq.NewClientFromRedisClient(l.rdb).Enqueue(asynq.NewTask("t", nil), opts...)
	require.NoError(l.t, err)
}

var errLater, errAgain = errors.New("in an hour"), errors.New("once more")

func (l *load) handle(ctx context.Context, _ *asynq.Task) error {
	id, _ := asynq.GetTaskID(ctx)
	n, err := strconv.Atoi(id)
	if err != nil {
		return err
	}
	run := l.runs[n].Add(1)
	end, runs := fate(n)
	switch {
	case end == asynq.TaskStateArchived:
		return asynq.SkipRetry
	case end == asynq.TaskStateRetry:
		return errLater
	case run < runs:
		return errAgain
	}
	return nil
}

func (l *load) serve() {
	l.t.Helper()
	srv := asynq.NewServerFromRedisClient(l.rdb, asynq.Config{
		Concurrency: 10, Queues: map[string]int{"q": 1}, LogLevel: asynq.FatalLevel,
		TaskCheckInterval: 10 * time.Millisecond, DelayedTaskCheckInterval: 50 * time.Millisecond,
		RetryDelayFunc: func(_ int, err error, _ *asynq.Task) time.Duration {
			if errors.Is(err, errLater) {
				return time.Hour
			}
			return 0
		},
	})
	require.NoError(l.t, srv.Start(asynq.HandlerFunc(l.handle)))
	l.t.Cleanup(srv.Shutdown)
}

func (l *load) finished() bool {
	for i := range l.runs {
		if _, runs := fate(i); l.runs[i].Load() < runs {
			return false
		}
	}
	return l.rdb.LLen(l.t.Context(), activeKey("q")).Val() == 0
}
