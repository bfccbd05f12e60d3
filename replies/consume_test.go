package replies_test

import (
	"context"
	"fmt"
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

func TestConsumersOfAGroupShareItsEventsEachHandledOnce(t *testing.T) {
	t.Parallel()
	redistest.EachAndCluster(t, func(t *testing.T, s *redistest.Server) {
		t.Helper()
		c := newConsuming(t, s)
		var first, second inbox
		four := func(cfg *replies.ConsumeConfig) { cfg.Concurrency = 4 }
		var begun sync.WaitGroup
		begun.Add(2)
		// Neither goes on before the other has got something.
		sharing := func(i *inbox) handler {
			begin := sync.OnceFunc(begun.Done)
			return func(ctx context.Context, e replies.Event) error {
				begin()
				begun.Wait()
				return i.add(ctx, e)
			}
		}
		want := c.publish(200)
		stopFirst := c.start("orders", sharing(&first), four)
		stopSecond := c.start("orders", sharing(&second), four)
		c.eventually("all are handled", func() bool { return first.len()+second.len() >= len(want) })
		c.awaitDone()
		stopFirst()
		stopSecond()
		require.ElementsMatch(t, want, append(first.all(), second.all()...))
		c.awaitCounted("handled", len(want))
		require.Empty(t, c.dead(""))
	})
}

func TestEveryGroupGetsEveryEvent(t *testing.T) {
	t.Parallel()
	onEachRedis(t, func(t *testing.T, c *consuming) {
		t.Helper()
		var orders, mails inbox
		c.start("orders", orders.add)
		c.start("mails", mails.add)
		want := c.publish(30)
		c.eventually("both have all", func() bool { return orders.len() == 30 && mails.len() == 30 })
		require.Equal(t, want, orders.all(), "the order of the stream")
		require.Equal(t, want, mails.all(), "the order of the stream")
		// The stream is whole for whoever only looks.
		require.Equal(t, want, tail(t, c.rdb, replies.TailOptions{FromStart: true, NoFollow: true}))
	})
}

func TestAnEventIsAcknowledgedAfterItsHandlerAndTheNextOneWaitsForIt(t *testing.T) {
	t.Parallel()
	onEachRedis(t, func(t *testing.T, c *consuming) {
		t.Helper()
		c.publish(2)
		got, goOn := make(chan replies.Event), make(chan struct{})
		c.start("orders", func(_ context.Context, e replies.Event) error {
			got <- e
			<-goOn
			return nil
		})
		for i := range 2 {
			e := await(t, got)
			require.Equal(t, fmt.Sprintf("k-%d", i), e.Key)
			require.NotEmpty(t, e.ID)
			require.EqualValues(t, 1, c.pending())
			goOn <- struct{}{}
		}
		c.awaitDone()
	})
}

func TestAConsumerThatStartsAgainGoesOnWhereItWas(t *testing.T) {
	t.Parallel()
	onEachRedis(t, func(t *testing.T, c *consuming) {
		t.Helper()
		var before, after inbox
		want := c.publish(10) // Before there is a group.
		var stop func()
		third := make(chan struct{})
		stop = c.start("orders", func(ctx context.Context, e replies.Event) error {
			if before.len() == 2 {
				close(third)
				<-ctx.Done() // Told to stop, it still finishes this one.
				return before.add(ctx, e)
			}
			return before.add(ctx, e)
		}, func(cfg *replies.ConsumeConfig) { cfg.ShutdownTimeout = 50 * time.Millisecond })
		await(t, third)
		stop()
		require.Equal(t, want[:3], before.all())
		c.awaitDone()
		c.start("orders", after.add)
		c.eventually("the rest is handled", func() bool { return after.len() == 7 })
		require.Equal(t, want[3:], after.all())
	})
}

func TestAnEventWhoseHandlerIsStoppedComesAgainAtOnceAndUncounted(t *testing.T) {
	t.Parallel()
	onEachRedis(t, func(t *testing.T, c *consuming) {
		t.Helper()
		c.publish(1)
		hour := func(cfg *replies.ConsumeConfig) {
			cfg.MaxDeliveries, cfg.RedeliverAfter, cfg.RetryDelay, cfg.MaxRetryDelay = 1, time.Hour, time.Hour, time.Hour
			cfg.ShutdownTimeout = time.Millisecond
		}
		for range 3 { // More often than it may fail.
			started := make(chan struct{})
			stop := c.start("orders", func(ctx context.Context, _ replies.Event) error {
				close(started)
				<-ctx.Done()
				return ctx.Err()
			}, hour)
			await(t, started)
			stop()
			require.Empty(t, c.dead("orders"))
		}
		var last inbox
		c.start("orders", last.add, hour)
		c.eventually("it is handled", func() bool { return last.len() == 1 })
		c.awaitDone()
	})
}

func TestANewGroupBeginsWithTheOldestEventOrFromNow(t *testing.T) {
	t.Parallel()
	onEachRedis(t, func(t *testing.T, c *consuming) {
		t.Helper()
		var all, fresh inbox
		publish(t, c.rdb, "old")
		c.start("all", all.add)
		c.start("fresh", fresh.add, func(cfg *replies.ConsumeConfig) { cfg.FromNow = true })
		c.eventually("the group is there", func() bool {
			groups, err := c.rdb.XInfoGroups(t.Context(), ledger.ReplyStreamKey("main")).Result()
			return err == nil && len(groups) == 2
		})
		publish(t, c.rdb, "new")
		c.eventually("all are handled", func() bool { return all.len() == 2 && fresh.len() == 1 })
		require.Equal(t, []string{"old", "new"}, all.all())
		require.Equal(t, []string{"new"}, fresh.all())
	})
}

func TestConsumeRefusesWhatCannotWork(t *testing.T) {
	t.Parallel()
	rdb := redis.NewClient(&redis.Options{Addr: "127.0.0.1:1"})
	t.Cleanup(func() { _ = rdb.Close() })
	none := func(context.Context, replies.Event) error { return nil }
	tests := []struct {
		name    string
		cfg     replies.ConsumeConfig
		group   string
		handler handler
		says    string
	}{
		{"no Redis", replies.ConsumeConfig{}, "g", none, "Redis is required"},
		{"no group", replies.ConsumeConfig{Redis: rdb}, "", none, "group"},
		{"a group with a colon", replies.ConsumeConfig{Redis: rdb}, "a:b", none, `group "a:b"`},
		{"a long group", replies.ConsumeConfig{Redis: rdb}, strings.Repeat("g", 65), none, "64 characters"},
		{"no handler", replies.ConsumeConfig{Redis: rdb}, "g", nil, "handler"},
		{"a bad workspace", replies.ConsumeConfig{Redis: rdb, Workspace: "A B"}, "g", none, "workspace"},
		{"too many at a time", replies.ConsumeConfig{Redis: rdb, Concurrency: 1001}, "g", none, "Concurrency"},
		{"no deliveries", replies.ConsumeConfig{Redis: rdb, MaxDeliveries: -1}, "g", none, "MaxDeliveries"},
		{"a negative delay", replies.ConsumeConfig{Redis: rdb, RetryDelay: -1}, "g", none, "RetryDelay"},
		{"no time to be heard of", replies.ConsumeConfig{Redis: rdb, RedeliverAfter: time.Millisecond}, "g", none, "RedeliverAfter"},
		{"a negative timeout", replies.ConsumeConfig{Redis: rdb, ShutdownTimeout: -1}, "g", none, "ShutdownTimeout"},
		{"a short TTL", replies.ConsumeConfig{Redis: rdb, RecordTTL: time.Second}, "g", none, "RecordTTL"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			require.ErrorContains(t, replies.Consume(t.Context(), tt.cfg, tt.group, tt.handler), tt.says)
		})
	}
}
