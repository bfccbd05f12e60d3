package roster_test

import (
	"context"
	"errors"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/intercom-dispatch/intercom-dispatch/internal/redistest"
	"github.com/intercom-dispatch/intercom-dispatch/internal/roster"
	"github.com/intercom-dispatch/intercom-dispatch/internal/task"
)

// serve runs an asynq server as the member until the test ends.
func (b *bench) serve(r *roster.Roster, h asynq.HandlerFunc) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(b.t.Context()))
	done := make(chan error, 1)
	go func() {
		done <- task.Server{
			Redis: b.rdb, Handler: h, Roster: r,
			Asynq: asynq.Config{
				Concurrency: 4, Queues: map[string]int{"q": 1}, ShutdownTimeout: time.Second,
				RetryDelayFunc: func(int, error, *asynq.Task) time.Duration { return 0 },
			},
		}.Serve(ctx)
	}()
	b.t.Cleanup(func() {
		cancel()
		require.NoError(b.t, <-done)
	})
}

// runs counts the runs of tasks.
type runs struct {
	mu sync.Mutex
	of map[string]int
}

func (r *runs) add(ctx context.Context) int {
	id, _ := asynq.GetTaskID(ctx)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.of[id]++
	return r.of[id]
}

func (r *runs) count(id string) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.of[id]
}

func TestAServerRunsEachTaskOfAMemberThatVanished(t *testing.T) {
	t.Parallel()
	redistest.EachAndCluster(t, func(t *testing.T, s *redistest.Server) {
		b := setup(t, s)
		const tasks = 10
		victim, other := b.member(), b.member()
		for i := 1; i <= tasks; i++ {
			id := strconv.Itoa(i)
			if i > 1 {
				b.enqueue(id)
			}
			b.dequeue(id)
			if i%3 != 0 { // It had no time to say that it has the third.
				victim.Hold("q", id)
			}
		}
		require.NoError(t, victim.Announce(t.Context()))
		ran := &runs{of: map[string]int{}}
		b.serve(other, func(ctx context.Context, _ *asynq.Task) error {
			ran.add(ctx)
			return nil
		})
		require.Eventually(t, func() bool {
			return b.rdb.Exists(t.Context(), activeKey, leaseKey, "asynq:{q}:pending").Val() == 0
		}, patience, interval)
		for i := 1; i <= tasks; i++ {
			require.Equal(t, 1, ran.count(strconv.Itoa(i)), i)
		}
		require.Equal(t, []string{other.ID()}, b.ids())
	})
}

// TestATaskThatAsynqHasLostIsRunAgain loses it as asynq does: the lease entry
// is gone when the run ends.
func TestATaskThatAsynqHasLostIsRunAgain(t *testing.T) {
	t.Parallel()
	redistest.EachAndCluster(t, func(t *testing.T, s *redistest.Server) {
		b := setup(t, s)
		r, err := roster.New(roster.Config{
			Redis: b.rdb, Queues: []string{"other", "q"}, Log: b.log,
			Interval: interval, DeadAfter: deadAfter, SweepEvery: 4 * interval,
		})
		require.NoError(t, err)
		done := make(chan struct{})
		b.serve(r, func(ctx context.Context, _ *asynq.Task) error {
			if b.logged("task is pending again") > 0 {
				close(done)
				return nil
			}
			// The member may restore it before the end: then the task comes by again.
			return errors.Join(b.rdb.Del(ctx, leaseKey).Err(), errors.New("again"))
		})
		select {
		case <-done:
		case <-time.After(patience):
			t.Fatal("it is not run again")
		}
		fields := b.logs.FilterMessage("task is pending again").All()[0].ContextMap()
		require.Equal(t, "1", fields["key"])
		require.Equal(t, "asynq had it in none of its lists", fields["reason"])
		require.Eventually(t, func() bool { return b.rdb.Exists(t.Context(), "asynq:{q}:t:1", activeKey).Val() == 0 },
			patience, interval)
		require.Zero(t, b.logged("cannot look for tasks that asynq has lost"))
	})
}

// hanging never gets an answer to scripts.
type hanging struct{}

func (hanging) DialHook(next redis.DialHook) redis.DialHook { return next }

func (hanging) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

func (hanging) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		if cmd.Name() != "evalsha" {
			return next(ctx, cmd)
		}
		<-ctx.Done()
		return ctx.Err()
	}
}

func TestAMemberWhoseScriptsHangGoesOnSpeaking(t *testing.T) {
	t.Parallel()
	b := setup(t, redistest.Mini(t))
	b.rdb.AddHook(hanging{})
	r := b.member()
	b.dequeue("1")
	b.run(r)
	require.Eventually(t, func() bool { return b.logged("the workers' roster cannot be kept") == 1 }, patience, interval)
	b.rounds(r, 10)
}
