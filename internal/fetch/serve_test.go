package fetch_test

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/hibiken/asynq"
	"github.com/stretchr/testify/require"

	"github.com/intercom-dispatch/intercom-dispatch/internal/task"
)

func TestServersRunEachTaskOnce(t *testing.T) {
	t.Parallel()
	for _, servers := range []int{1, 3} {
		for _, concurrency := range []int{1, 2, 64} {
			t.Run(fmt.Sprintf("%d servers of %d", servers, concurrency), func(t *testing.T) {
				t.Parallel()
				onEach(t, func(b *bundle) {
					var r ran
					// Some wait already, the others come while the servers run.
					ids := b.fill(bulk, "early", 60)
					for range servers {
						b.serve(concurrency, func(ctx context.Context, _ *asynq.Task) error {
							r.add(ctx)
							return nil
						})
					}
					for _, queue := range []string{high, normal, bulk} {
						ids = append(ids, b.fill(queue, queue, 20)...)
					}
					eventually(b.t, "all run", func() bool { return len(r.all()) >= len(ids) })
					require.ElementsMatch(b.t, ids, r.all())
				})
			})
		}
	}
}

func TestTasksOfTheFirstQueueComeBeforeAllOthers(t *testing.T) {
	t.Parallel()
	onEach(t, func(b *bundle) {
		b.fill(bulk, "bulk", 40)
		b.fill(normal, "normal", 40)
		first := b.fill(high, "high", 40)
		var r ran
		b.serve(1, func(ctx context.Context, _ *asynq.Task) error {
			r.add(ctx)
			return nil
		})
		eventually(b.t, "all run", func() bool { return len(r.all()) == 120 })
		require.Equal(b.t, first, r.all()[:40], "and in the order in which they were enqueued")
	})
}

func TestQueuesShareByTheirWeights(t *testing.T) {
	t.Parallel()
	for _, concurrency := range []int{1, 8} {
		t.Run(fmt.Sprint(concurrency), func(t *testing.T) {
			t.Parallel()
			onEach(t, func(b *bundle) {
				b.fill(normal, "normal", 120)
				b.fill(bulk, "bulk", 120)
				var r ran
				b.serve(concurrency, func(ctx context.Context, _ *asynq.Task) error {
					r.add(ctx)
					time.Sleep(time.Millisecond)
					return nil
				})
				eventually(b.t, "enough run", func() bool { return len(r.all()) >= 120 })
				n := 0
				for _, id := range r.all()[:120] {
					if id[0] == 'b' {
						n++
					}
				}
				require.InDelta(b.t, 20, n, 8, "the weights are 5 and 1")
			})
		})
	}
}

func TestTheFirstQueueOvertakesABacklogWhoseTasksWait(t *testing.T) {
	t.Parallel()
	for _, concurrency := range []int{2, 16} {
		t.Run(fmt.Sprint(concurrency), func(t *testing.T) {
			t.Parallel()
			onEach(t, func(b *bundle) {
				b.fill(bulk, "bulk", 1000)
				release, urgent := make(chan struct{}), make(chan string, 10)
				b.t.Cleanup(func() { close(release) })
				var waiting ran
				b.serve(concurrency, func(ctx context.Context, _ *asynq.Task) error {
					if queue, _ := asynq.GetQueueName(ctx); queue == high {
						id, _ := asynq.GetTaskID(ctx)
						urgent <- id
						return nil
					}
					waiting.add(ctx)
					select {
					case <-release:
					case <-ctx.Done():
					}
					return nil
				}, func(s *task.Server) { s.Asynq.ShutdownTimeout = time.Second })
				eventually(b.t, "all slots but the reserve wait", func() bool { return len(waiting.all()) == concurrency })
				for i := range 5 {
					began := time.Now()
					b.enqueue(high, fmt.Sprint("high", i))
					require.Equal(b.t, fmt.Sprint("high", i), await(b.t, urgent, "an urgent task"))
					b.t.Logf("after %s", time.Since(began))
				}
				require.Len(b.t, waiting.all(), concurrency, "the reserve is not theirs")
			})
		})
	}
}

func TestAServerThatIsStoppedLosesNothing(t *testing.T) {
	t.Parallel()
	onEach(t, func(b *bundle) {
		ids := b.fill(bulk, "bulk", 300)
		var r ran
		handler := func(ctx context.Context, _ *asynq.Task) error {
			r.add(ctx)
			time.Sleep(time.Millisecond)
			return nil
		}
		for n := 50; n <= 250; n += 50 {
			s := b.serve(16, handler)
			eventually(b.t, "some run", func() bool { return len(r.all()) >= n })
			s.end()
			active, err := b.rdb.LLen(b.t.Context(), key(bulk, "active")).Result()
			require.NoError(b.t, err)
			require.Zero(b.t, active)
			require.Equal(b.t, ids[len(r.all()):], b.pending(bulk), "what is left is in order")
		}
		b.serve(16, handler)
		eventually(b.t, "all run", func() bool { return len(r.all()) >= len(ids) })
		require.ElementsMatch(b.t, ids, r.all())
	})
}

func TestAPausedQueueIsLeftAloneUntilItIsResumed(t *testing.T) {
	t.Parallel()
	onEach(t, func(b *bundle) {
		b.pause(normal)
		ran := make(chan string, 100)
		b.serve(1, handled(ran))
		b.enqueue(bulk, "other")
		require.Equal(b.t, "other", await(b.t, ran, "the server runs"))
		ids := b.fill(normal, "paused", 20)
		b.enqueue(high, "urgent")
		require.Equal(b.t, "urgent", await(b.t, ran, "the other queues go on"))
		if b.server.Real() {
			require.Less(b.t, b.commands(2*time.Second), 2*300, "it is not looked at all the time")
		}
		require.Empty(b.t, ran)
		b.unpause(normal)
		for _, id := range ids {
			require.Equal(b.t, id, await(b.t, ran, "the queue is resumed"), "in order")
		}
	})
}

func TestScheduledTasksWakeTheServer(t *testing.T) {
	t.Parallel()
	onEach(t, func(b *bundle) {
		ran := make(chan time.Time, 10)
		b.serve(4, func(context.Context, *asynq.Task) error {
			ran <- time.Now()
			return nil
		})
		due := time.Now().Truncate(time.Second).Add(3 * time.Second)
		b.enqueue(bulk, "later", asynq.ProcessAt(due))
		at := await(b.t, ran, "the task")
		require.False(b.t, at.Before(due))
		b.t.Logf("%s late", at.Sub(due))
		require.Less(b.t, at.Sub(due), 5*time.Second)
	})
}

func TestAnIdleServerIsQuickOffTheMarkAndCheap(t *testing.T) {
	t.Parallel()
	onEach(t, func(b *bundle) {
		ran := make(chan time.Time, 10)
		s := b.serve(16, func(context.Context, *asynq.Task) error {
			ran <- time.Now()
			return nil
		})
		b.enqueue(bulk, "first")
		await(b.t, ran, "the server runs")
		var took []time.Duration
		for i := range 100 {
			queue := []string{high, normal, bulk}[i%3]
			time.Sleep(5 * time.Millisecond)
			began := time.Now()
			b.enqueue(queue, fmt.Sprint(i))
			took = append(took, await(b.t, ran, "the task").Sub(began))
		}
		slices.Sort(took)
		b.t.Logf("p50 %s, p99 %s", took[50], took[98])
		require.Less(b.t, took[50], 50*time.Millisecond, "asynq's own interval is 1 s")
		if b.server.Real() {
			n := b.commands(3 * time.Second)
			b.t.Logf("%d commands a second", n/3)
			require.Less(b.t, n, 3*300)
		}
		began := time.Now()
		s.end()
		b.t.Logf("ended after %s", time.Since(began))
	})
}
