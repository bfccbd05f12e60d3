package ratelimit

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestTheWholeBudgetIsUsedAndNothingMore(t *testing.T) {
	t.Parallel()
	cases := []struct {
		name         string
		processes    int
		othersWithin float64 // part of the window in which others spend 30
		change       func(*world)
	}{
		{"one process, others at once", 1, 0, func(*world) {}},
		{"one process, others all the time", 1, 0.99, func(*world) {}},
		{"three processes", 3, 0.3, func(w *world) { w.lasting = sevenWindows }},
		{"ten processes", 10, 0.99, func(w *world) { w.lasting = 25 * time.Second }},
		{"Intercom's clock is ahead", 3, 0.5, func(w *world) { w.ahead = 3700 * time.Millisecond }},
		{"Intercom's clock is behind", 3, 0.5, func(w *world) { w.ahead = -time.Hour - 123*time.Millisecond }},
		{"slow answers", 3, 0.5, func(w *world) { w.there, w.back = 50*time.Millisecond, 900*time.Millisecond }},
		{"slow requests", 1, 0.5, func(w *world) { w.there, w.back = 300*time.Millisecond, 20*time.Millisecond }},
		{"no Date header", 1, 0.5, func(w *world) { w.noDate = true }},
		{"no Date header, and a clock that is ahead", 1, 0.5, func(w *world) { w.noDate, w.ahead = true, 4*time.Second }},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			simulate(t, func(w *world) {
				c.change(w)
				ctx, cancel := context.WithTimeout(w.t.Context(), w.lasting)
				defer cancel()
				var all sync.WaitGroup
				all.Go(func() { w.others(ctx, 30, c.othersWithin) })
				for range c.processes {
					all.Go(func() { w.run(ctx, 20) })
				}
				all.Wait()
				w.requireUsed(1)
			})
		})
	}
}

// run is a process that keeps n requests going.
func (w *world) run(ctx context.Context, n int, change ...func(*Config)) {
	l, stop := w.process(change...)
	defer stop()
	w.load(ctx, l, n)
}

func TestProcessesComeAndGo(t *testing.T) {
	t.Parallel()
	simulate(t, func(w *world) {
		ctx, cancel := context.WithTimeout(w.t.Context(), w.lasting)
		defer cancel()
		var all sync.WaitGroup
		for i := range 3 {
			all.Go(func() {
				time.Sleep(time.Duration(i) * time.Second)
				for ctx.Err() == nil {
					life, end := context.WithTimeout(ctx, 4*time.Second)
					w.run(life, 10)
					end()
				}
			})
		}
		all.Wait()
		w.requireUsed(1)
	})
}

func TestAProcessThatDiesTakesItsPermitsAlongForTwoWindowsAtTheMost(t *testing.T) {
	t.Parallel()
	simulate(t, func(w *world) {
		ctx, cancel := context.WithTimeout(w.t.Context(), 55*time.Second)
		defer cancel()
		dying, stop := w.process()
		for range 10 {
			_, err := dying.Acquire(ctx, Urgent)
			require.NoError(w.t, err)
		}
		dying.lease = func(context.Context, *request) (*grant, error) { return nil, errors.New("dead") }
		stop()
		w.run(ctx, 10)
		for _, c := range w.counts[3 : len(w.counts)-1] {
			require.GreaterOrEqual(w.t, c.ours, 145, w.String())
		}
	})
}

func TestAShareIsLeftForOthers(t *testing.T) {
	t.Parallel()
	simulate(t, func(w *world) {
		ctx, cancel := context.WithTimeout(w.t.Context(), w.lasting)
		defer cancel()
		var all sync.WaitGroup
		for range 2 {
			all.Go(func() { w.run(ctx, 20, func(c *Config) { c.Share = 0.8 }) })
		}
		all.Wait()
		w.requireUsed(0.8)
		for _, c := range w.counts {
			require.LessOrEqual(w.t, c.ours, 120, w.String())
		}
	})
}

func TestWindowsOfOtherLengths(t *testing.T) {
	t.Parallel()
	for _, window := range []time.Duration{time.Second, 3 * time.Second, 60 * time.Second} {
		for _, unaligned := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, unaligned: %t", window, unaligned), func(t *testing.T) {
				t.Parallel()
				simulate(t, func(w *world) {
					w.window, w.unaligned = window, unaligned
					ctx, cancel := context.WithTimeout(w.t.Context(), max(3*window, 12*time.Second))
					defer cancel()
					w.run(ctx, 10)
					w.t.Log(w)
					require.LessOrEqual(w.t, w.refused(), 5, w.String())
				})
			})
		}
	}
}

func TestSpendingIsSpreadOverTheWindow(t *testing.T) {
	t.Parallel()
	simulate(t, func(w *world) {
		ctx, cancel := context.WithTimeout(w.t.Context(), 45*time.Second)
		defer cancel()
		w.run(ctx, 50)
		most := 0
		for i, at := range w.arrived {
			n := 1
			for _, later := range w.arrived[i+1:] {
				if later.Sub(at) < time.Second {
					n++
				}
			}
			most = max(most, n)
		}
		require.LessOrEqual(w.t, most, 30, "a tenth of the window gets more than twice its share")
	})
}

func TestUrgentRequestsNeverWaitBehindOthers(t *testing.T) {
	t.Parallel()
	simulate(t, func(w *world) {
		ctx, cancel := context.WithTimeout(w.t.Context(), 60*time.Second)
		defer cancel()
		var all sync.WaitGroup
		for range 3 {
			all.Go(func() { w.run(ctx, 100) })
		}
		l, stop := w.process()
		defer stop()
		var worst time.Duration
		time.Sleep(5 * time.Second)
		for ctx.Err() == nil {
			began := time.Now()
			p, err := l.Acquire(ctx, Urgent)
			if err != nil {
				break
			}
			worst = max(worst, time.Since(began))
			w.post(p)
			time.Sleep(770 * time.Millisecond)
		}
		all.Wait()
		w.t.Log(worst)
		require.Less(w.t, worst, time.Second)
		w.requireUsed(1)
	})
}

func TestA429ClosesTheGateForAllUntilTheReset(t *testing.T) {
	t.Parallel()
	simulate(t, func(w *world) {
		ctx, cancel := context.WithTimeout(w.t.Context(), 45*time.Second)
		defer cancel()
		var all sync.WaitGroup
		for range 3 {
			all.Go(func() { w.run(ctx, 20) })
		}
		// Others take everything at once, and nobody of ours knows.
		time.Sleep(25 * time.Second)
		w.mu.Lock()
		c := w.roll(time.Now())
		c.others, w.used = w.limit-w.used, w.limit
		end := w.end
		w.mu.Unlock()
		time.Sleep(500 * time.Millisecond)
		w.mu.Lock()
		refused := c.refused
		w.mu.Unlock()
		require.Positive(w.t, refused)
		time.Sleep(time.Until(end) - time.Millisecond)
		w.mu.Lock()
		require.Equal(w.t, refused, c.refused, "it goes on after a 429")
		w.mu.Unlock()
		all.Wait()
		require.LessOrEqual(w.t, w.refused(), 3, w.String())
		require.Greater(w.t, w.counts[len(w.counts)-2].ours, 140, w.String())
	})
}

func TestNothingIsKnownBeforeTheFirstAnswer(t *testing.T) {
	t.Parallel()
	simulate(t, func(w *world) {
		w.there, w.back = 2*time.Second, 2*time.Second
		w.limit = 5
		ctx, cancel := context.WithTimeout(w.t.Context(), 3*time.Second)
		defer cancel()
		w.run(ctx, 50)
		require.LessOrEqual(w.t, w.counts[0].ours+w.counts[0].refused, 4, w.String())
	})
}

func TestWithoutHeadersOnly429Counts(t *testing.T) {
	t.Parallel()
	simulate(t, func(w *world) {
		w.silent = true
		w.limit = 1000
		ctx, cancel := context.WithTimeout(w.t.Context(), 25*time.Second)
		defer cancel()
		w.run(ctx, 20)
		w.t.Log(w)
		require.Equal(w.t, 1000, w.counts[1].ours)
		require.LessOrEqual(w.t, w.refused(), 3*40, w.String())
	})
}
