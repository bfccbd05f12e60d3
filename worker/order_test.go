package worker_test

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"testing"
	"time"

	"github.com/hibiken/asynq"
	"github.com/stretchr/testify/require"

	"github.com/intercom-dispatch/intercom-dispatch/enqueue"
	"github.com/intercom-dispatch/intercom-dispatch/intercom/intercomtest"
	"github.com/intercom-dispatch/intercom-dispatch/internal/task"
	"github.com/intercom-dispatch/intercom-dispatch/ledger"
	"github.com/intercom-dispatch/intercom-dispatch/worker"
)

// enqueueOrdered hands over messages that say their number, to one contact and in
// one order.
func (b *bundle) enqueueOrdered(contact string, n int, opts ...enqueue.Option) (keys []string) {
	b.t.Helper()
	for i := range n {
		key := fmt.Sprintf("%s-%03d", contact, i)
		m := inApp(contact)
		m.Body = fmt.Sprintf("%03d", i)
		b.enqueueMessage(key, m, append([]enqueue.Option{enqueue.OrderKey(contact)}, opts...)...)
		keys = append(keys, key)
	}
	return keys
}

// requireInOrder asserts that a contact got its messages one after the other,
// none twice.
func (b *bundle) requireInOrder(contact string, n int) {
	b.t.Helper()
	var got, want []string
	for _, m := range b.created(contact) {
		got = append(got, m.Body)
	}
	for i := range n {
		want = append(want, fmt.Sprintf("%03d", i))
	}
	require.Equal(b.t, want, got, contact)
}

func TestOrderedMessagesAreSentInOrder(t *testing.T) {
	t.Parallel()
	const contacts, each = 8, 15
	onEach(t, func(t *testing.T, b *bundle) {
		t.Helper()
		b.InjectFault(intercomtest.Fault{Name: "away", Status: http.StatusServiceUnavailable, Every: 10})
		b.run()
		b.run()
		var all []string
		priorities := []enqueue.Priority{enqueue.High, enqueue.Normal, enqueue.Bulk}
		for i := range contacts {
			all = append(all, b.enqueueOrdered(fmt.Sprintf("c%d", i), each, enqueue.WithPriority(priorities[i%3]))...)
		}
		b.waitAll(all, ledger.Sent)
		for i := range contacts {
			b.requireInOrder(fmt.Sprintf("c%d", i), each)
		}
		require.Eventually(t, func() bool { // The last one leaves it after its record is written.
			orders, err := b.rdb.Keys(t.Context(), "dispatch:{main}:order:*").Result()
			return err == nil && len(orders) == 0
		}, patience, 10*time.Millisecond, "what is done stays in its order")
	})
}

func TestAnEarlierMessageOfLowerPriorityGoesFirst(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, b *bundle) {
		t.Helper()
		m := inApp("ada")
		m.Body = "000"
		b.enqueueMessage("first", m, enqueue.OrderKey("ada"), enqueue.WithPriority(enqueue.Bulk), enqueue.In(3*time.Second))
		m = inApp("ada")
		m.Body = "001"
		b.enqueueMessage("second", m, enqueue.OrderKey("ada"), enqueue.WithPriority(enqueue.High))
		b.run()
		b.waitAll([]string{"first", "second"}, ledger.Sent)
		b.requireInOrder("ada", 2)
	})
}

func TestAMessageThatIsDoneDoesNotBlockTheNext(t *testing.T) {
	t.Parallel()
	ends := map[string]struct {
		state ledger.State
		fault intercomtest.Fault
		opts  []enqueue.Option
		lives time.Duration
		then  func(b *bundle, key string)
	}{
		"refused": {state: ledger.Failed, fault: intercomtest.Fault{Status: http.StatusUnprocessableEntity, Times: 1}},
		"expired": {
			state: ledger.Expired, fault: intercomtest.Fault{Status: http.StatusServiceUnavailable},
			lives: 4 * time.Second,
			then:  func(b *bundle, key string) { b.waitState(key, ledger.Expired); b.ClearFaults() },
		},
		"cancelled": {
			state: ledger.Cancelled, opts: []enqueue.Option{enqueue.In(time.Hour)},
			then: func(b *bundle, key string) { require.NoError(b.t, b.producer.Cancel(b.t.Context(), key)) },
		},
		"held, and those behind it may pass": {
			state: ledger.Held, fault: intercomtest.Fault{Status: http.StatusInternalServerError, Times: 1},
			opts: []enqueue.Option{enqueue.IfUncertain(enqueue.Hold), enqueue.IfHeld(enqueue.Pass)},
		},
	}
	for name, end := range ends {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			onEach(t, func(t *testing.T, b *bundle) {
				t.Helper()
				if end.fault.Status != 0 {
					b.fail("ada", end.fault)
				}
				opts := append([]enqueue.Option{enqueue.OrderKey("o")}, end.opts...)
				if end.lives > 0 {
					opts = append(opts, enqueue.ExpiresAt(time.Now().Add(end.lives)))
				}
				b.enqueue("ada", opts...)
				b.enqueue("grace", enqueue.OrderKey("o"))
				b.run()
				if end.then != nil {
					end.then(b, "ada")
				}
				b.waitState("grace", ledger.Sent)
				b.waitState("ada", end.state)
			})
		})
	}
}

func TestAHeldMessageBlocksThoseBehindItUntilAPersonDecides(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, b *bundle) {
		t.Helper()
		b.fail("ada", intercomtest.Fault{Status: http.StatusInternalServerError, Times: 1})
		b.enqueue("ada", enqueue.OrderKey("o"), enqueue.IfUncertain(enqueue.Hold))
		b.enqueue("grace", enqueue.OrderKey("o"))
		b.enqueue("other", enqueue.OrderKey("p"))
		b.run()
		b.waitState("ada", ledger.Held)
		b.waitState("other", ledger.Sent)
		b.waitTask("grace", asynq.TaskStateRetry)
		require.Empty(t, b.requests("grace"))
		require.Equal(t, ledger.Queued, b.waitState("grace", ledger.Queued).State)
		require.NoError(t, b.producer.ResolveSent(t.Context(), "ada", "4711"))
		b.waitState("grace", ledger.Sent)
	})
}

func TestAMissingContactHoldsBackItsOrderOnly(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, b *bundle) {
		t.Helper()
		b.run()
		keys := b.enqueueOrdered("appears-in-3s-ada", 10)
		others := b.enqueueOrdered("grace", 10)
		b.waitAll(others, ledger.Sent)
		require.Empty(t, b.created("appears-in-3s-ada"))
		b.waitAll(keys, ledger.Sent)
		b.requireInOrder("appears-in-3s-ada", 10)
		require.Less(t, b.missing("appears-in-3s-ada"), 6, "only the first asks")
	})
}

func TestOrderSurvivesWorkersThatComeAndGo(t *testing.T) {
	t.Parallel()
	const contacts, each = 5, 12
	onEach(t, func(t *testing.T, b *bundle) {
		t.Helper()
		b.InjectFault(intercomtest.Fault{Name: "slow", Latency: 20 * time.Millisecond})
		var all []string
		for i := range contacts {
			all = append(all, b.enqueueOrdered(fmt.Sprintf("c%d", i), each)...)
		}
		b.run()
		for created := 10; created <= 40; created += 10 {
			w := b.run(func(c *worker.Config) { c.Concurrency = 1 + rand.N(8) })
			b.waitFor("some messages", func(l intercomtest.Log) bool { return len(l.Created) >= created })
			w.end()
		}
		b.waitAll(all, ledger.Sent)
		for i := range contacts {
			b.requireInOrder(fmt.Sprintf("c%d", i), each)
		}
	})
}

func TestAMessageWhoseTaskWasDeletedDoesNotBlockForEver(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, b *bundle) {
		t.Helper()
		b.enqueue("ada", enqueue.OrderKey("o"))
		b.enqueue("grace", enqueue.OrderKey("o"))
		require.NoError(t, b.inspector.DeleteTask(task.Queue("main", task.Normal), "ada"))
		order := ledger.OrderKey("main", "o")
		require.NoError(t, b.rdb.ZIncrBy(t.Context(), order, -60_000, "ada").Err(), "it is a minute old")
		b.run()
		b.waitState("grace", ledger.Sent)
		require.Empty(t, b.created("ada"))
	})
}
