package fetch_test

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/intercom-dispatch/intercom-dispatch/internal/roster"
)

// hands are the tasks that the member says it has, by their ids.
func (d *direct) hands() []string {
	d.t.Helper()
	require.NoError(d.t, d.member.Announce(d.t.Context()))
	members, err := roster.Members(d.t.Context(), d.rdb, "main")
	require.NoError(d.t, err)
	require.Len(d.t, members, 1)
	slices.Sort(members[0].Hands)
	return members[0].Hands
}

func TestWhatIsFetchedIsInHandAndGoesBackInOrder(t *testing.T) {
	t.Parallel()
	onDirect(t, 8, func(d *direct) {
		ids := d.fill(bulk, "b", 20)
		d.requireDequeue("b0")
		d.requireDequeue("b1")
		d.requireDequeue("b2") // The first of a batch of 4.
		require.Len(d.t, d.active(), 6)
		require.Equal(d.t, []string{"bulk/b0", "bulk/b1", "bulk/b2", "bulk/b3", "bulk/b4", "bulk/b5"}, d.hands())
		d.stop()
		_, err := d.dequeue()
		require.ErrorIs(d.t, err, redis.Nil, "a client that has stopped gives nothing")
		require.NoError(d.t, d.PutBack(d.t.Context()))
		require.ElementsMatch(d.t, ids[:3], d.active())
		require.Equal(d.t, ids[3:], d.pending(bulk))
		require.Equal(d.t, []string{"bulk/b0", "bulk/b1", "bulk/b2"}, d.hands())
	})
}

func TestNoMoreIsFetchedThanHandlersCanStart(t *testing.T) {
	t.Parallel()
	onDirect(t, 2, func(d *direct) {
		d.fill(bulk, "b", 20)
		d.requireDequeue("b0")
		d.requireDequeue("b1")
		require.Len(d.t, d.active(), 2, "the third slot is for the first queue")
		began := time.Now()
		_, err := d.dequeue()
		require.ErrorIs(d.t, err, redis.Nil)
		require.Greater(d.t, time.Since(began), time.Second/2, "it waits for a slot")
		d.enqueue(high, "urgent")
		d.requireDequeue("urgent")
		require.Len(d.t, d.active(), 2)
	})
}

func TestATaskThatWaitedTooLongGoesBack(t *testing.T) {
	t.Parallel()
	source := recordDequeue(t)
	onEach(t, func(b *bundle) {
		var skip time.Duration
		d := newDirect(b, 8, source)
		d.now = func() time.Time { return time.Now().Add(skip) }
		d.fill(bulk, "b", 2)
		d.requireDequeue("b0")
		before, err := d.rdb.ZScore(d.t.Context(), key(bulk, "lease"), "b1").Result()
		require.NoError(d.t, err)
		skip = 11 * time.Second
		d.requireDequeue("b1")
		after, err := d.rdb.ZScore(d.t.Context(), key(bulk, "lease"), "b1").Result()
		require.NoError(d.t, err)
		require.GreaterOrEqual(d.t, after-before, 11.0, "it was fetched anew")
		require.Equal(d.t, []string{"bulk/b1"}, d.hands(), "no handler has begun with the other")
	})
}

func TestTheLeaseIsCountedFromTheFetch(t *testing.T) {
	t.Parallel()
	source := recordDequeue(t)
	onEach(t, func(b *bundle) {
		var skip time.Duration
		d := newDirect(b, 8, source)
		// Each look at the clock is a second later than the one before.
		d.now = func() time.Time { skip += time.Second; return time.Now().Add(skip) }
		d.enqueue(bulk, "b")
		asked := time.Now().Add(30 * time.Second).Unix()
		d.requireDequeue("b")
		lease, err := d.rdb.ZScore(d.t.Context(), key(bulk, "lease"), "b").Result()
		require.NoError(d.t, err)
		require.Greater(d.t, lease, float64(asked)+2)
	})
}

func TestAServerThatForgetsScriptsIsTaughtAgain(t *testing.T) {
	t.Parallel()
	onDirect(t, 100, func(d *direct) {
		d.fill(bulk, "b", 30)
		for i := range 30 {
			if i%7 == 0 {
				require.NoError(d.t, d.rdb.ScriptFlush(d.t.Context()).Err())
			}
			d.requireDequeue(fmt.Sprint("b", i))
		}
	})
}

func TestWhereRedisRefusesToPeekTheQueueIsPolled(t *testing.T) {
	t.Parallel()
	source := recordDequeue(t)
	for _, refusal := range []string{
		"NOPERM this user has no permissions to run the 'blmove' command",
		"ERR unknown command 'BLMOVE'",
	} {
		t.Run(refusal[:6], func(t *testing.T) {
			t.Parallel()
			onEach(t, func(b *bundle) {
				d := newDirectOn(b, b.dialed(refuse("blmove", refusal)), 8, source)
				for i := range 5 {
					id := fmt.Sprint(i)
					go func() {
						time.Sleep(50 * time.Millisecond)
						d.enqueue(bulk, id)
					}()
					d.requireDequeue(id)
				}
				require.Len(d.t, d.log.lines(), 3, "once for each queue")
				require.Contains(d.t, d.log.lines()[0], "polled")
			})
		})
	}
}

func TestARealServerThatRefusesToPeek(t *testing.T) {
	t.Parallel()
	onEach(t, func(b *bundle) {
		if !b.server.Real() {
			b.t.Skip("miniredis knows no commands that a user may not send")
		}
		require.NoError(b.t, b.rdb.Do(b.t.Context(), "ACL", "SETUSER", "default", "-blmove").Err())
		ran := make(chan string, 10)
		b.serve(2, handled(ran))
		for i := range 3 {
			b.enqueue(normal, fmt.Sprint(i))
			require.Equal(b.t, fmt.Sprint(i), await(b.t, ran, "the task"))
		}
	})
}

func TestPeekingLeavesTheOrderAlone(t *testing.T) {
	t.Parallel()
	onEach(t, func(b *bundle) {
		ctx, cancel := context.WithCancel(b.t.Context())
		defer cancel()
		peeked := make(chan struct{}, 1)
		for range 6 {
			rdb := b.server.Client(b.t)
			go func() {
				for ctx.Err() == nil {
					if err := rdb.Do(ctx, "blmove", "{l}", "{l}", "right", "right", 0.1).Err(); err == nil {
						select {
						case peeked <- struct{}{}:
						default:
						}
					}
				}
			}()
		}
		const n = 1000
		var want, got []string
		go func() {
			for i := range n {
				b.rdb.LPush(ctx, "{l}", i)
			}
		}()
		for i := range n {
			want = append(want, fmt.Sprint(i))
			var id string
			eventually(b.t, "an element", func() bool {
				var err error
				id, err = b.rdb.RPopLPush(ctx, "{l}", "{l}taken").Result()
				return err == nil
			})
			got = append(got, id)
		}
		await(b.t, peeked, "a peek")
		require.Equal(b.t, want, got)
		require.Zero(b.t, b.rdb.LLen(ctx, "{l}").Val())
	})
}

func TestACallThatWaitsReturnsAtTheEnd(t *testing.T) {
	t.Parallel()
	source := recordDequeue(t)
	onEach(t, func(b *bundle) {
		quickest := time.Hour
		for range 5 { // A busy machine may be slow once.
			d := newDirect(b, 8, source)
			began, done := make(chan struct{}), make(chan error)
			go func() {
				_, _ = d.dequeue() // Finds all queues empty.
				close(began)
				_, err := d.dequeue()
				done <- err
			}()
			await(b.t, began, "the first call")
			time.Sleep(50 * time.Millisecond)
			stopped := time.Now()
			d.stop()
			require.ErrorIs(b.t, await(b.t, done, "the call"), redis.Nil)
			quickest = min(quickest, time.Since(stopped))
		}
		require.Less(b.t, quickest, 300*time.Millisecond, "a call waits for 1 s, and so does a peek")
	})
}
