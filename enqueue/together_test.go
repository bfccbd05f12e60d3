package enqueue_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/intercom-dispatch/intercom-dispatch/enqueue"
	"github.com/intercom-dispatch/intercom-dispatch/internal/redistest"
)

// gate is a hook that stops the first pipelines, until it is opened, and then
// fails those that fail says.
type gate struct {
	redis.Hook

	arrived chan int // the length of a pipeline that has come
	open    chan struct{}
	passed  atomic.Int32
	fail    func(n int32) error
}

func newGate() *gate {
	return &gate{arrived: make(chan int, 1000), open: make(chan struct{}), fail: func(int32) error { return nil }}
}

func (g *gate) DialHook(next redis.DialHook) redis.DialHook          { return next }
func (g *gate) ProcessHook(next redis.ProcessHook) redis.ProcessHook { return next }

func (g *gate) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		g.arrived <- len(cmds)
		select {
		case <-g.open:
		case <-ctx.Done():
			for _, cmd := range cmds {
				cmd.SetErr(ctx.Err())
			}
			return ctx.Err()
		}
		err := g.fail(g.passed.Add(1))
		if err == nil {
			return next(ctx, cmds)
		}
		for _, cmd := range cmds {
			cmd.SetErr(err)
		}
		return err
	}
}

// await waits for a pipeline and returns its length.
func (g *gate) await(t *testing.T) int {
	t.Helper()
	select {
	case n := <-g.arrived:
		return n
	case <-time.After(patience):
		require.FailNow(t, "no pipeline comes")
		return 0
	}
}

// gated is a bundle whose client has its pipelines stopped at a gate.
func gated(t *testing.T, s *redistest.Server) (*bundle, *gate) {
	t.Helper()
	b := newBundle(t, s)
	b.enqueue(message("hi"), enqueue.Key("first")) // so that asynq's list of queues and the script are there
	rdb := s.Client(t)
	client, err := enqueue.New(rdb, enqueue.Config{})
	require.NoError(t, err)
	client.OnePipeline()
	b.Client = client
	b.enqueue(message("hi"), enqueue.Key("first"))
	g := newGate()
	rdb.AddHook(g)
	return b, g
}

// call is an Enqueue in a goroutine.
type call struct {
	result enqueue.Result
	err    error
	done   chan struct{}
}

func (b *bundle) start(ctx context.Context, key string) *call {
	c := &call{done: make(chan struct{})}
	go func() {
		defer close(c.done)
		c.result, c.err = b.Enqueue(ctx, message("hi"), enqueue.Key(key))
	}()
	return c
}

func (c *call) wait(t *testing.T) *call {
	t.Helper()
	select {
	case <-c.done:
	case <-time.After(patience):
		require.FailNow(t, "Enqueue does not return")
	}
	return c
}

// startWaiting starts calls that find a pipeline under way.
func (b *bundle) startWaiting(n int) []*call {
	b.t.Helper()
	before := b.Waiting()
	calls := make([]*call, n)
	for i := range calls {
		calls[i] = b.start(b.t.Context(), fmt.Sprint("waiting-", i))
	}
	b.awaitWaiting(before + n)
	return calls
}

func (b *bundle) awaitWaiting(n int) {
	b.t.Helper()
	require.Eventually(b.t, func() bool { return b.Waiting() == n }, patience, time.Millisecond)
}

func TestCallsAtTheSameTimeShareAPipeline(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, s *redistest.Server) {
		b, g := gated(t, s)
		alone := b.start(t.Context(), "alone")
		require.Equal(t, 1, g.await(t), "a lone caller is sent at once")
		calls := b.startWaiting(50)
		close(g.open)
		for _, c := range append(calls, alone) {
			require.NoError(t, c.wait(t).err)
			require.Equal(t, enqueue.Enqueued, c.result.Status)
		}
		require.Equal(t, 50, g.await(t))
		require.Empty(t, g.arrived)
		require.Equal(t, 52, b.queued("normal"))
	})
}

func TestACallerWhoseContextEndsWaitsNoLonger(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, s *redistest.Server) {
		b, g := gated(t, s)
		alone := b.start(t.Context(), "alone")
		g.await(t)
		ctx, cancel := context.WithCancel(t.Context())
		leaves := b.start(ctx, "leaves")
		b.awaitWaiting(1)
		calls := b.startWaiting(3)
		cancel()
		require.ErrorIs(t, leaves.wait(t).err, context.Canceled)
		require.Equal(t, "leaves", leaves.result.Key)
		close(g.open)
		for _, c := range append(calls, alone) {
			require.NoError(t, c.wait(t).err)
		}
		require.Equal(t, 3, g.await(t), "what nobody waits for is not sent")
	})
}

// TestALeaderWhoseContextEndsTakesNobodyWithIt ends the context of the caller
// who sends for the others, and of one of them.
func TestALeaderWhoseContextEndsTakesNobodyWithIt(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, s *redistest.Server) {
		b, g := gated(t, s)
		var release sync.Once
		defer release.Do(func() { close(g.open) })
		first, endFirst := context.WithCancel(t.Context())
		leads, endLeads := context.WithCancel(t.Context())
		leaves, endLeaves := context.WithCancel(t.Context())
		alone := b.start(first, "alone")
		require.Equal(t, 1, g.await(t))
		leader := b.start(leads, "leader")
		b.awaitWaiting(1)
		gone := b.start(leaves, "gone")
		b.awaitWaiting(2)
		calls := b.startWaiting(3)

		endFirst()
		require.ErrorIs(t, alone.wait(t).err, context.Canceled)
		require.Equal(t, 5, g.await(t))
		endLeaves()
		require.ErrorIs(t, gone.wait(t).err, context.Canceled)
		require.ErrorContains(t, gone.err, "may be enqueued, try again under the same key")
		endLeads()
		require.ErrorIs(t, leader.wait(t).err, context.Canceled)
		require.Equal(t, 3, g.await(t))
		release.Do(func() { close(g.open) })
		for _, c := range calls {
			require.NoError(t, c.wait(t).err)
			require.Equal(t, enqueue.Enqueued, c.result.Status)
		}
		require.Equal(t, 4, b.queued("normal"))
	})
}

func TestAFailedPipelineFailsItsCallersOnly(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, s *redistest.Server) {
		b, g := gated(t, s)
		broken := errors.New("broken")
		g.fail = func(n int32) error {
			if n == 1 {
				return broken
			}
			return nil
		}
		alone := b.start(t.Context(), "alone")
		g.await(t)
		calls := b.startWaiting(20)
		close(g.open)
		require.ErrorIs(t, alone.wait(t).err, broken)
		require.ErrorContains(t, alone.err, `"alone"`)
		for _, c := range calls {
			require.NoError(t, c.wait(t).err)
		}
	})
}

func TestWhatFollowsALostPipelineOfABatchDoesNotOvertakeIt(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, s *redistest.Server) {
		b, g := gated(t, s)
		close(g.open)
		g.fail = func(n int32) error {
			if n == 2 {
				return &net.OpError{Op: "read", Err: errors.New("connection reset")}
			}
			return nil
		}
		requests := make([]enqueue.Request, 700)
		for i := range requests {
			requests[i] = enqueue.Request{Key: fmt.Sprint("k", i), Message: message("hi")}
		}
		results, err := b.EnqueueBatch(t.Context(), requests)
		var failed *enqueue.BatchError
		require.ErrorAs(t, err, &failed)
		taken := 700 - failed.Failed
		require.Positive(t, taken)
		require.Positive(t, failed.Failed)
		for i, r := range results {
			require.Equal(t, i >= taken, r.Err != nil, i)
			require.Equal(t, requests[i].Key, r.Key)
		}
		_, err = b.EnqueueBatch(t.Context(), requests)
		require.NoError(t, err)
		b.requireOrder(requests)
	})
}

// requireOrder looks at asynq's list: it is taken from its right end.
func (b *bundle) requireOrder(requests []enqueue.Request) {
	b.t.Helper()
	list, err := b.rdb.LRange(b.t.Context(), "asynq:{intercom-main-normal}:pending", 0, -1).Result()
	require.NoError(b.t, err)
	require.Len(b.t, list, len(requests)+1) // and "first"
	for i, r := range requests {
		require.Equal(b.t, r.Key, list[len(list)-2-i])
	}
}

func TestManyCallersSomeOfWhomLeave(t *testing.T) {
	t.Parallel()
	redistest.EachAndCluster(t, func(t *testing.T, s *redistest.Server) {
		b := newBundle(t, s)
		const callers, each = 20, 20
		var running sync.WaitGroup
		for c := range callers {
			running.Go(func() {
				for i := range each {
					key := fmt.Sprintf("k-%d-%d", c, i)
					ctx, cancel := context.WithTimeout(t.Context(), time.Duration(i)*time.Millisecond)
					_, _ = b.Enqueue(ctx, message("hi"), enqueue.Key(key)) // Whatever comes of it.
					cancel()
					r, err := b.Enqueue(t.Context(), message("hi"), enqueue.Key(key))
					if err != nil || r.Status == "" {
						t.Errorf("%s: %q %v", key, r.Status, err)
					}
				}
			})
		}
		running.Wait()
		require.Equal(t, callers*each, b.queued("normal"))
		require.Zero(t, b.Waiting())
	})
}

// twice sends each pipeline twice, as go-redis does when a connection breaks
// before the answers.
type twice struct{ redistest.Twice }

func (twice) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		first := make([]redis.Cmder, len(cmds))
		for i, cmd := range cmds {
			first[i] = redis.NewCmd(ctx, cmd.Args()...)
		}
		_ = next(ctx, first)
		return next(ctx, cmds)
	}
}

func TestAPipelineThatIsSentTwiceEnqueuesOnce(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, s *redistest.Server) {
		b := newBundle(t, s)
		b.rdb.AddHook(twice{})
		b.enqueue(message("hi"), enqueue.Key("k"))
		again := b.enqueue(message("hi"), enqueue.Key("k"))
		require.Equal(t, enqueue.Duplicate, again.Status)
		_, err := b.Enqueue(t.Context(), message("bye"), enqueue.Key("k"))
		var conflict *enqueue.ConflictError
		require.ErrorAs(t, err, &conflict)
		results, err := b.EnqueueBatch(t.Context(), []enqueue.Request{
			{Key: "b", Message: message("hi"), OrderKey: "o"},
			{Key: "c", Message: message("hi")},
			{Key: "a", Message: message("hi"), OrderKey: "o", At: time.Now().Add(time.Hour)},
		})
		require.NoError(t, err)
		for _, r := range results {
			require.Equal(t, enqueue.Enqueued, r.Status)
		}
		require.Equal(t, 4, b.queued("normal"))
		require.Equal(t, []string{"b", "a"}, b.order("o"))
	})
}

func TestLostConnectionsAreNotNoticed(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t, redistest.Options{})
	b := newBundle(t, s)
	b.enqueue(message("hi"), enqueue.Key("first"))
	const callers, each = 20, 50
	var running sync.WaitGroup
	var done atomic.Int32
	for c := range callers {
		running.Go(func() {
			for i := range each {
				key, orderKey := fmt.Sprintf("k-%d-%d", c, i), fmt.Sprint("o", c)
				if c%2 > 0 {
					orderKey = ""
				}
				r, err := b.Enqueue(t.Context(), message("hi"), enqueue.Key(key), enqueue.OrderKey(orderKey))
				if err != nil || r.Status != enqueue.Enqueued {
					t.Errorf("%q %v", r.Status, err)
				}
				done.Add(1)
			}
		})
	}
	cutter := s.Client(t)
	for quarter := int32(1); quarter < 4; quarter++ {
		require.Eventually(t, func() bool { return done.Load() > quarter*callers*each/4 }, patience, time.Millisecond)
		require.NoError(t, cutter.ClientKillByFilter(t.Context(), "TYPE", "normal", "SKIPME", "yes").Err())
	}
	running.Wait()
	require.Equal(t, callers*each+1, b.queued("normal"))
	for c := 0; c < callers; c += 2 {
		want := make([]string, each)
		for i := range want {
			want[i] = fmt.Sprintf("k-%d-%d", c, i)
		}
		require.Equal(t, want, b.order(fmt.Sprint("o", c)))
	}
}
