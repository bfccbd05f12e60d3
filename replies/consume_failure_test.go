package replies_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/intercom-dispatch/intercom-dispatch/internal/redistest"
	"github.com/intercom-dispatch/intercom-dispatch/ledger"
	"github.com/intercom-dispatch/intercom-dispatch/replies"
)

var errBroken = errors.New("the database of the backend is away")

// failing is a handler that fails for one key and notes when.
type failing struct {
	inbox

	key string
	how func() error
	mu  sync.Mutex
	at  []time.Time
}

func (f *failing) handle(ctx context.Context, e replies.Event) error {
	if e.Key != f.key {
		return f.add(ctx, e)
	}
	f.mu.Lock()
	f.at = append(f.at, time.Now())
	f.mu.Unlock()
	return f.how()
}

func (f *failing) times() []time.Time {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.at
}

func TestAnEventThatFailsComesAgainEverLaterAndEndsAsADeadEvent(t *testing.T) {
	t.Parallel()
	onEachRedis(t, func(t *testing.T, c *consuming) {
		t.Helper()
		began := time.Now()
		long := fmt.Errorf("%w: %s", errBroken, strings.Repeat("ü", 300))
		f := &failing{key: "k-1", how: func() error { return long }}
		keys := c.publish(20)
		c.start("orders", f.handle, func(cfg *replies.ConsumeConfig) {
			cfg.MaxDeliveries, cfg.RetryDelay, cfg.MaxRetryDelay = 4, 100*time.Millisecond, 300*time.Millisecond
		})
		c.eventually("it is dead", func() bool { return len(c.dead("orders")) == 1 })
		c.awaitDone()
		times := f.times()
		require.Len(t, times, 4)
		for i, least := range []time.Duration{100, 300, 300} {
			// Redis' clock has whole milliseconds.
			require.GreaterOrEqual(t, times[i+1].Sub(times[i]), least-5*time.Millisecond)
		}
		require.Equal(t, append(keys[:1:1], keys[2:]...), f.all(), "the others go on, in order")

		d := c.dead("")[0]
		require.NotEmpty(t, d.ID)
		require.Equal(t, "orders", d.Group)
		require.Equal(t, "k-1", d.Event.Key)
		require.Equal(t, 4, d.Deliveries)
		require.Len(t, d.Error, 499, "cut to 500 bytes, and to whole characters")
		require.True(t, strings.HasPrefix(d.Error, errBroken.Error()+": üü"), d.Error)
		require.WithinRange(t, d.Time, began.Add(-time.Second), time.Now().Add(time.Second))
		c.awaitCounted("failed", 3)
		c.awaitCounted("dead", 1)
		require.Empty(t, c.dead("mails"))
		require.Equal(t, keys, tail(t, c.rdb, replies.TailOptions{FromStart: true, NoFollow: true}))
	})
}

func TestAFailureThatPassesIsHandledInTheEnd(t *testing.T) {
	t.Parallel()
	onEachRedis(t, func(t *testing.T, c *consuming) {
		t.Helper()
		c.publish(1)
		f := &failing{key: "k-0"}
		f.how = func() error {
			if len(f.times()) < 3 {
				return errBroken
			}
			return nil
		}
		c.start("orders", f.handle)
		c.awaitCounted("handled", 1)
		c.awaitDone()
		require.Len(t, f.times(), 3)
		require.Empty(t, c.dead(""))
	})
}

func TestAHandlerThatPanicsHasFailed(t *testing.T) {
	t.Parallel()
	for name, how := range map[string]func() error{
		"panic":  func() error { panic(confidential) },
		"goexit": func() error { runtime.Goexit(); return nil },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			onEachRedis(t, func(t *testing.T, c *consuming) {
				t.Helper()
				c.publish(3)
				f := &failing{key: "k-1", how: how}
				c.start("orders", f.handle, func(cfg *replies.ConsumeConfig) { cfg.MaxDeliveries = 2 })
				c.eventually("it is dead", func() bool { return len(c.dead("orders")) == 1 })
				c.eventually("the others are handled", func() bool { return f.len() == 2 })
				require.Len(t, f.times(), 2)
				require.Contains(t, c.dead("orders")[0].Error, "handler")
				require.NotContains(t, c.logged()+c.dead("orders")[0].Error, confidential)
			})
		})
	}
}

func TestAHandlerCanGiveAnEventUpAtOnce(t *testing.T) {
	t.Parallel()
	onEachRedis(t, func(t *testing.T, c *consuming) {
		t.Helper()
		c.publish(2)
		f := &failing{key: "k-0", how: func() error { return fmt.Errorf("there is no such order: %w", replies.ErrDead) }}
		c.start("orders", f.handle)
		c.eventually("it is dead", func() bool { return len(c.dead("orders")) == 1 && f.len() == 1 })
		require.Len(t, f.times(), 1)
		require.Equal(t, 1, c.dead("orders")[0].Deliveries)
		require.Contains(t, c.dead("orders")[0].Error, "there is no such order")
		c.awaitDone()
	})
}

func TestAnEventThatCannotBeReadIsDeadAndBlocksNothing(t *testing.T) {
	t.Parallel()
	onEachRedis(t, func(t *testing.T, c *consuming) {
		t.Helper()
		var i inbox
		unreadable := []string{`{`, `{"version":2,"key":"k"}`, `{}`, ``, `{"version":1,"first":"no"}`}
		for _, data := range unreadable {
			require.NoError(t, c.rdb.XAdd(t.Context(), &redis.XAddArgs{
				Stream: ledger.ReplyStreamKey("main"), Values: []string{"event", data},
			}).Err())
		}
		require.NoError(t, c.rdb.XAdd(t.Context(), &redis.XAddArgs{
			Stream: ledger.ReplyStreamKey("main"), Values: []string{"other", "field"},
		}).Err())
		c.publish(1)
		c.start("orders", i.add)
		c.eventually("the last is handled", func() bool { return i.len() == 1 })
		dead := c.dead("orders")
		require.Len(t, dead, len(unreadable)+1)
		for n, data := range unreadable {
			d := dead[len(unreadable)-n] // The latest first.
			require.Nil(t, d.Event)
			require.Equal(t, data, d.Data)
			require.Equal(t, 1, d.Deliveries)
		}
		require.Contains(t, dead[len(unreadable)-1].Error, "version 2")
		c.awaitDone()
	})
}

func TestADeadEventIsDeliveredAgainToItsGroupAlone(t *testing.T) {
	t.Parallel()
	redistest.EachAndCluster(t, func(t *testing.T, s *redistest.Server) {
		t.Helper()
		c := newConsuming(t, s)
		var mails inbox
		c.publish(3)
		c.start("mails", mails.add)
		giveUp := func(context.Context, replies.Event) error { return replies.ErrDead }
		stop := c.start("orders", giveUp)
		c.eventually("all are dead", func() bool { return len(c.dead("orders")) == 3 && mails.len() == 3 })
		stop()

		var orders inbox
		dead := c.dead("orders")
		require.Equal(t, "k-2", dead[0].Event.Key, "the latest first")
		require.NoError(t, replies.DropDead(t.Context(), c.rdb, "", dead[0].ID))
		require.NoError(t, replies.RedeliverDead(t.Context(), c.rdb, "", dead[1].ID, 0))
		require.ErrorIs(t, replies.RedeliverDead(t.Context(), c.rdb, "", dead[1].ID, 0), replies.ErrNoDeadEvent)
		for _, id := range []string{dead[0].ID, "1-1", "nonsense", ""} {
			require.ErrorIs(t, replies.RedeliverDead(t.Context(), c.rdb, "", id, 0), replies.ErrNoDeadEvent)
			require.ErrorIs(t, replies.DropDead(t.Context(), c.rdb, "", id), replies.ErrNoDeadEvent)
		}
		c.start("orders", orders.add)
		c.eventually("it is handled", func() bool { return orders.len() == 1 })
		c.awaitDone()
		require.Equal(t, []string{"k-1"}, orders.all())
		require.Equal(t, 3, mails.len())
		require.Len(t, c.dead("orders"), 1)

		limited, err := replies.DeadEvents(t.Context(), c.rdb, replies.DeadQuery{Limit: 1})
		require.NoError(t, err)
		require.Equal(t, c.dead(""), limited)
		_, err = replies.DeadEvents(t.Context(), c.rdb, replies.DeadQuery{Workspace: "other"})
		require.NoError(t, err)
	})
}

func TestDeadEventsAreListedPageByPage(t *testing.T) {
	t.Parallel()
	onEachRedis(t, func(t *testing.T, c *consuming) {
		t.Helper()
		for i := range 250 {
			group := []string{"orders", "mails"}[i%2]
			require.NoError(t, c.rdb.XAdd(t.Context(), &redis.XAddArgs{Stream: ledger.DeadRepliesKey("main"), Values: []string{
				"group", group, "id", "1-1", "event", fmt.Sprintf(`{"version":1,"key":"k-%d"}`, i), "deliveries", "3", "error", "e",
			}}).Err())
		}
		require.Len(t, c.dead(""), 250)
		mails := c.dead("mails")
		require.Len(t, mails, 125)
		require.Equal(t, "k-249", mails[0].Event.Key)
		require.Equal(t, "k-1", mails[124].Event.Key)
	})
}
