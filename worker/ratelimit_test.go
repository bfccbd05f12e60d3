package worker_test

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/intercom-dispatch/intercom-dispatch/enqueue"
	"github.com/intercom-dispatch/intercom-dispatch/intercom/intercomtest"
	"github.com/intercom-dispatch/intercom-dispatch/ratelimit"
	"github.com/intercom-dispatch/intercom-dispatch/worker"
)

// TestWorkersShareTheRateLimit lasts for two whole windows. The simulations of
// package ratelimit have more of them.
func TestWorkersShareTheRateLimit(t *testing.T) {
	t.Parallel()
	const limit, share = 100, 0.8
	onEach(t, func(t *testing.T, b *bundle) {
		t.Helper()
		b.SetRateLimit(limit)
		for i := range 400 {
			b.enqueue(fmt.Sprint("b", i), enqueue.WithPriority(enqueue.Bulk))
		}
		for range 3 {
			b.run(func(c *worker.Config) { c.RateShare = share })
		}
		begin := time.Now().Truncate(ratelimit.DefaultWindow).Add(ratelimit.DefaultWindow)
		end := begin.Add(2 * ratelimit.DefaultWindow)
		ctx, cancel := context.WithDeadline(t.Context(), end.Add(patience))
		defer cancel()
		require.NoError(t, b.WaitFor(ctx, func(l intercomtest.Log) bool {
			return len(l.Requests) > 0 && l.Requests[len(l.Requests)-1].At.After(end)
		}))
		refused := 0
		windows := map[int64]int{}
		for _, r := range b.Requests() {
			if r.Status == http.StatusTooManyRequests {
				refused++
			} else {
				windows[r.At.Truncate(ratelimit.DefaultWindow).Unix()]++
			}
		}
		require.LessOrEqual(t, refused, 3)
		for at, n := range windows {
			require.LessOrEqual(t, float64(n), limit*share+1, "%s", at)
		}
		for _, at := range []time.Time{begin, begin.Add(ratelimit.DefaultWindow)} {
			require.GreaterOrEqual(t, float64(windows[at.Unix()]), limit*share*0.75, "%s", at) // Machines may be under load.
		}
	})
}

func TestHighOvertakesABacklogThatWaitsForTheRateLimit(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, b *bundle) {
		t.Helper()
		b.SetRateLimit(50)
		for i := range 300 {
			b.enqueue(fmt.Sprint("b", i), enqueue.WithPriority(enqueue.Bulk))
		}
		b.run()
		b.waitFor("bulk messages", func(l intercomtest.Log) bool { return len(l.Created) > 5 })
		for i := range 5 {
			key := fmt.Sprint("h", i)
			began := time.Now()
			b.enqueue(key, enqueue.WithPriority(enqueue.High))
			b.waitFor(key, func(l intercomtest.Log) bool {
				return slices.ContainsFunc(l.Created, func(m intercomtest.CreatedMessage) bool { return m.Recipients.To[0] == key })
			})
			// Bulk messages go five a second, and eight are in hand.
			require.Less(t, b.created(key)[0].At.Sub(began), 2*time.Second)
		}
	})
}
