package enqueue_test

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/intercom-dispatch/intercom-dispatch/enqueue"
	"github.com/intercom-dispatch/intercom-dispatch/internal/redistest"
	"github.com/intercom-dispatch/intercom-dispatch/ledger"
)

// order returns the keys of an order, the first to be sent first.
func (b *bundle) order(orderKey string) []string {
	b.t.Helper()
	keys, err := b.rdb.ZRange(b.t.Context(), ledger.OrderKey("main", orderKey), 0, -1).Result()
	require.NoError(b.t, err)
	return keys
}

// places returns the same with the scores.
func (b *bundle) places(orderKey string) []redis.Z {
	b.t.Helper()
	places, err := b.rdb.ZRangeWithScores(b.t.Context(), ledger.OrderKey("main", orderKey), 0, -1).Result()
	require.NoError(b.t, err)
	return places
}

func TestAnOrderTellsWhenItsMessagesWereEnqueued(t *testing.T) {
	t.Parallel()
	onEach(t, func(b *bundle) {
		began := time.Now().Add(-time.Second)
		keys := make([]string, 50)
		for i := range keys {
			keys[i] = fmt.Sprintf("k%d", 50-i) // Neither the order of the alphabet nor its reverse.
			b.enqueue(message("hi"), enqueue.Key(keys[i]), enqueue.OrderKey("contact {7}"))
		}
		require.Equal(b.t, keys, b.order("contact {7}"))
		last := float64(began.UnixMilli())
		for _, p := range b.places("contact {7}") {
			require.Greater(b.t, p.Score, last)
			require.InDelta(b.t, p.Score, float64(int64(p.Score)), 0, "whole milliseconds")
			last = p.Score
		}
		require.Less(b.t, last, float64(time.Now().Add(time.Second).UnixMilli()))
	})
}

// orderModel is what the orders should be.
type orderModel struct {
	orders map[string][]string
	known  map[string]string // key -> text of its message
}

// take notes a request and returns what should become of it.
func (m *orderModel) take(r enqueue.Request) string {
	text, known := m.known[r.Key]
	switch {
	case r.Priority == "urgent":
		return "invalid"
	case known && text == r.Message.Body:
		return string(enqueue.Duplicate)
	case known:
		return "conflict"
	}
	m.known[r.Key] = r.Message.Body
	if r.OrderKey != "" {
		m.orders[r.OrderKey] = append(m.orders[r.OrderKey], r.Key)
	}
	return string(enqueue.Enqueued)
}

// drawRequest draws a request. On a cluster a batch may have the same key twice at
// the same priority only: otherwise both are enqueued.
func drawRequest(t *rapid.T, run int, cluster bool) enqueue.Request {
	r := enqueue.Request{
		Key:      fmt.Sprintf("%d-%d", run, rapid.IntRange(0, 60).Draw(t, "key")),
		Message:  message(rapid.SampledFrom([]string{"hi", "hi", "hi", "bye"}).Draw(t, "text")),
		Priority: rapid.SampledFrom([]enqueue.Priority{"", enqueue.High, enqueue.Bulk, "urgent"}).Draw(t, "priority"),
	}
	if cluster && r.Priority != "urgent" {
		r.Priority = enqueue.Normal
	}
	if n := rapid.IntRange(0, 3).Draw(t, "order"); n > 0 {
		r.OrderKey = fmt.Sprintf("%d-%d", run, n)
		r.IfHeld = rapid.SampledFrom([]enqueue.OrderPolicy{"", enqueue.Block, enqueue.Pass}).Draw(t, "policy")
	}
	if rapid.Bool().Draw(t, "later") {
		r.At = time.Now().Add(time.Hour)
	}
	return r
}

// TestAnOrderIsThatOfTheRequests enqueues any requests in batches of any length,
// and alone, with duplicates, conflicts and refused ones among them.
func TestAnOrderIsThatOfTheRequests(t *testing.T) {
	t.Parallel()
	onEach(t, func(b *bundle) {
		// Where Redis has only one of asynq's scripts, the second of two messages
		// under one key may win.
		b.enqueue(message("hi"))
		b.enqueue(message("hi"), enqueue.In(time.Hour))
		run := 0
		_, cluster := b.rdb.(*redis.ClusterClient)
		rapid.Check(b.t, func(t *rapid.T) {
			run++
			m := &orderModel{orders: map[string][]string{}, known: map[string]string{}}
			for range rapid.IntRange(1, 4).Draw(t, "batches") {
				requests := make([]enqueue.Request, rapid.SampledFrom([]int{1, 2, 10, 30}).Draw(t, "length"))
				want := make([]string, len(requests))
				for i := range requests {
					requests[i] = drawRequest(t, run, cluster)
					want[i] = m.take(requests[i])
				}
				results, _ := b.EnqueueBatch(b.t.Context(), requests)
				for i, r := range results {
					if want[i] == string(enqueue.Enqueued) || want[i] == string(enqueue.Duplicate) {
						require.NoError(t, r.Err)
					}
					require.Equal(t, string(r.Status) == want[i], r.Err == nil, "%s %v, wanted %s", r.Status, r.Err, want[i])
				}
			}
			for n := range 4 {
				orderKey := fmt.Sprintf("%d-%d", run, n)
				require.Equal(t, append([]string{}, m.orders[orderKey]...), b.order(orderKey))
			}
		})
	})
}

func TestALongBatchKeepsItsOrders(t *testing.T) {
	t.Parallel()
	onEach(t, func(b *bundle) {
		n := 5000
		if !b.real {
			n = 600 // miniredis takes milliseconds for a script
		}
		requests := make([]enqueue.Request, n)
		want := map[string][]string{}
		for i := range requests {
			r := enqueue.Request{Key: fmt.Sprint("k", i), Message: message("hi"), OrderKey: fmt.Sprint("o", i%7)}
			if i%3 == 0 {
				r.At, r.Priority = time.Now().Add(time.Hour), enqueue.Bulk
			}
			requests[i], want[r.OrderKey] = r, append(want[r.OrderKey], r.Key)
		}
		for range 2 {
			_, err := b.EnqueueBatch(b.t.Context(), requests)
			require.NoError(b.t, err)
			for orderKey, keys := range want {
				require.Equal(b.t, keys, b.order(orderKey))
			}
		}
	})
}

// TestWhatOneCallerEnqueuesKeepsItsOrder has many callers at the same time, whose
// messages come in any order among each other.
func TestWhatOneCallerEnqueuesKeepsItsOrder(t *testing.T) {
	t.Parallel()
	onEach(t, func(b *bundle) {
		const callers, each = 10, 20
		var running sync.WaitGroup
		for c := range callers {
			running.Go(func() {
				for i := range each {
					_, err := b.Enqueue(b.t.Context(), message("hi"), enqueue.Key(fmt.Sprintf("%d-%d", c, i)), enqueue.OrderKey("o"))
					if err != nil {
						b.t.Error(err)
					}
				}
			})
		}
		running.Wait()
		next := make([]int, callers)
		for _, key := range b.order("o") {
			var c, i int
			_, err := fmt.Sscanf(key, "%d-%d", &c, &i)
			require.NoError(b.t, err)
			require.Equal(b.t, next[c], i)
			next[c]++
		}
		require.Len(b.t, b.order("o"), callers*each)
	})
}

func TestDuplicatesAndConflictsChangeNoOrder(t *testing.T) {
	t.Parallel()
	onEach(t, func(b *bundle) {
		for _, key := range []string{"a", "b", "c"} {
			b.enqueue(message("hi"), enqueue.Key(key), enqueue.OrderKey("o"))
		}
		b.enqueue(message("hi"), enqueue.Key("none"))
		before := b.places("o")
		again := func(key string, opts ...enqueue.Option) {
			r := b.enqueue(message("hi"), append(opts, enqueue.Key(key))...)
			require.Equal(b.t, enqueue.Duplicate, r.Status)
			_, err := b.Enqueue(b.t.Context(), message("bye"), append(opts, enqueue.Key(key))...)
			var conflict *enqueue.ConflictError
			require.ErrorAs(b.t, err, &conflict)
		}
		check := func() {
			again("a", enqueue.OrderKey("o"))
			again("b", enqueue.OrderKey("o"), enqueue.WithPriority(enqueue.High))
			again("c", enqueue.OrderKey("other"), enqueue.In(time.Hour))
			again("b")
			again("none", enqueue.OrderKey("o"))
			require.Equal(b.t, before, b.places("o"))
			require.Empty(b.t, b.order("other"))
			require.Empty(b.t, b.order(""))
		}
		check()
		// Also when the message is done, and out of its order.
		b.sent("a")
		require.NoError(b.t, b.rdb.ZRem(b.t.Context(), ledger.OrderKey("main", "o"), "a").Err())
		before = before[1:]
		check()
	})
}

func (b *bundle) sent(key string) {
	b.t.Helper()
	a := b.begin(key)
	require.NoError(b.t, b.ledger.CommitSent(b.t.Context(), a, ledger.SentOutcome{MessageID: "id-" + key}))
	require.NoError(b.t, b.inspector.DeleteTask(normalQueue, key))
}

func TestAnOrderOutlivesWhatWaitsInIt(t *testing.T) {
	t.Parallel()
	redistest.EachAndCluster(t, func(t *testing.T, s *redistest.Server) {
		t.Helper()
		b := newBundle(t, s)
		client, err := enqueue.New(b.rdb, enqueue.Config{RecordTTL: 2 * time.Hour})
		require.NoError(t, err)
		requireTTL := func(want time.Duration) {
			t.Helper()
			ttl, err := b.rdb.PTTL(t.Context(), ledger.OrderKey("main", "o")).Result()
			require.NoError(t, err)
			require.InDelta(t, want, ttl, float64(time.Minute))
		}
		add := func(key string, opts ...enqueue.Option) {
			t.Helper()
			_, err := client.Enqueue(t.Context(), message("hi"), append(opts, enqueue.Key(key), enqueue.OrderKey("o"))...)
			require.NoError(t, err)
		}
		add("now")
		requireTTL(2 * time.Hour)
		add("later", enqueue.In(24*time.Hour))
		requireTTL(26 * time.Hour)
		add("past", enqueue.At(time.Now().Add(-time.Hour)))
		requireTTL(26 * time.Hour)
		b.enqueue(message("hi"), enqueue.Key("default"), enqueue.OrderKey("o"))
		requireTTL(ledger.DefaultTTL)
		add("shorter")
		requireTTL(ledger.DefaultTTL)
	})
}

// TestAPlaceThatWasLeftBehindIsTakenUpAWhile stands for a task that did not come,
// or that a person has deleted: the workers drop such a place after 30 s.
func TestAPlaceThatWasLeftBehindIsTakenUpAWhile(t *testing.T) {
	t.Parallel()
	onEach(t, func(b *bundle) {
		now := time.Now()
		for i, age := range []time.Duration{20 * time.Second, 2 * time.Second, 0} {
			at := redis.Z{Score: float64(now.Add(-age).UnixMilli()), Member: []string{"old", "young", "queued"}[i]}
			require.NoError(b.t, b.rdb.ZAdd(b.t.Context(), ledger.OrderKey("main", "o"), at).Err())
		}
		for _, key := range []string{"new", "old", "young"} {
			b.enqueue(message("hi"), enqueue.Key(key), enqueue.OrderKey("o"))
		}
		require.Equal(b.t, []string{"young", "queued", "new", "old"}, b.order("o"))
	})
}

func TestAnOrderGoesOnWhereRedisClockWasAhead(t *testing.T) {
	t.Parallel()
	onEach(t, func(b *bundle) {
		ahead := float64(time.Now().Add(time.Hour).UnixMilli())
		require.NoError(b.t, b.rdb.ZAdd(b.t.Context(), ledger.OrderKey("main", "o"), redis.Z{Score: ahead, Member: "z"}).Err())
		for _, key := range []string{"b", "a"} {
			b.enqueue(message("hi"), enqueue.Key(key), enqueue.OrderKey("o"))
		}
		require.Equal(b.t, []redis.Z{{Score: ahead, Member: "z"}, {Score: ahead + 1, Member: "b"}, {Score: ahead + 2, Member: "a"}}, b.places("o"))
	})
}

// TestScriptsThatRedisForgotDoNotChangeAnOrder is about messages of which some
// need a script that Redis has, and those before them one that it has not.
func TestScriptsThatRedisForgotDoNotChangeAnOrder(t *testing.T) {
	t.Parallel()
	onEach(t, func(b *bundle) {
		require.NoError(b.t, b.rdb.ScriptFlush(b.t.Context()).Err())
		b.enqueue(message("hi"), enqueue.Key("known"), enqueue.OrderKey("o"), enqueue.In(time.Hour))
		_, err := b.EnqueueBatch(b.t.Context(), []enqueue.Request{
			{Key: "c", OrderKey: "o", Message: message("hi")},
			{Key: "b", OrderKey: "o", Message: message("hi"), At: time.Now().Add(time.Hour)},
			{Key: "a", OrderKey: "o", Message: message("hi")},
			{Key: "none", Message: message("hi")},
		})
		require.NoError(b.t, err)
		require.Equal(b.t, []string{"known", "c", "b", "a"}, b.order("o"))
	})
}

func TestMessagesWithoutAnOrderCostNothingForIt(t *testing.T) {
	t.Parallel()
	b := newBundle(t, redistest.Start(t, redistest.Options{}))
	b.enqueue(message("hi"), enqueue.Key("k"))
	_, err := b.EnqueueBatch(t.Context(), []enqueue.Request{{Message: message("hi")}, {Message: message("hi"), Priority: enqueue.High}})
	require.NoError(t, err)
	stats, err := b.rdb.Info(t.Context(), "commandstats").Result()
	require.NoError(t, err)
	for _, command := range []string{"time", "zscore", "zadd", "pttl", "zrevrange"} {
		require.NotContains(t, stats, "cmdstat_"+command+":")
	}
	b.enqueue(message("hi"), enqueue.OrderKey("o"))
	require.Contains(t, b.rdb.Info(t.Context(), "commandstats").Val(), "cmdstat_zadd:")
}

func TestWhatRedisCannotPlaceIsNotEnqueued(t *testing.T) {
	t.Parallel()
	onEach(t, func(b *bundle) {
		require.NoError(b.t, b.rdb.Set(b.t.Context(), ledger.OrderKey("main", "o"), "no set", 0).Err())
		requests := make([]enqueue.Request, 250) // more than are sent at a time
		for i := range requests {
			requests[i] = enqueue.Request{Key: fmt.Sprint("k", i), Message: message("hi")}
		}
		requests[1].OrderKey = "o"
		results, err := b.EnqueueBatch(b.t.Context(), requests)
		require.Error(b.t, err)
		require.NoError(b.t, results[2].Err)
		require.ErrorContains(b.t, results[1].Err, "WRONGTYPE")
		require.ErrorContains(b.t, results[249].Err, "not tried", "it might be of the same order")
		_, err = b.Get(b.t.Context(), "k1")
		require.ErrorIs(b.t, err, enqueue.ErrNotFound)
	})
}
