package ratelimit

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"github.com/intercom-dispatch/intercom-dispatch/intercom"
)

// world is an Intercom with a rate limit, a Redis and processes that share the
// limit, all on simulated time.
type world struct {
	t     *testing.T
	mini  *miniredis.Miniredis
	rdb   *redis.Client
	began time.Time
	// ahead is by how much Intercom's clock is ahead of Redis'.
	ahead time.Duration
	// there and back are how long a request and its answer take.
	there, back time.Duration
	rng         *rand.Rand
	window      time.Duration
	limit       int
	// silent leaves out the headers of the rate limit, noDate the Date.
	silent, noDate bool
	// unaligned begins a window with the first request after the last one.
	unaligned bool
	// lasting is how long the simulation goes on, if its test does not say.
	lasting time.Duration

	mu      sync.Mutex
	end     time.Time // of the window, by Intercom's clock
	used    int
	counts  []*count
	arrived []time.Time
}

type count struct{ ours, others, refused int }

// simulate runs f in a bubble, with a connection from outside of it: sockets are
// real.
func simulate(t *testing.T, f func(*world)) {
	t.Helper()
	mini := miniredis.RunT(t)
	rdb := redis.NewClient(&redis.Options{Addr: mini.Addr(), ReadTimeout: -1, WriteTimeout: -1, PoolSize: 1})
	t.Cleanup(func() { _ = rdb.Close() })
	require.NoError(t, rdb.Ping(t.Context()).Err())
	synctest.Test(t, func(t *testing.T) {
		w := &world{
			t: t, mini: mini, rdb: rdb, began: time.Now(), there: 10 * time.Millisecond, back: 10 * time.Millisecond,
			window: 10 * time.Second, limit: 150, lasting: 35 * time.Second, rng: rand.New(rand.NewPCG(1, 2)),
		}
		f(w)
	})
}

// process returns a limiter that runs until stop is called.
func (w *world) process(change ...func(*Config)) (l *Limiter, stop func()) {
	w.t.Helper()
	cfg := Config{Redis: w.rdb, Key: "rate", Log: zap.NewNop()}
	for _, c := range change {
		c(&cfg)
	}
	l, err := New(cfg)
	require.NoError(w.t, err)
	lease := l.lease
	l.lease = func(ctx context.Context, q *request) (*grant, error) {
		time.Sleep(500 * time.Microsecond)
		w.mu.Lock()
		defer w.mu.Unlock()
		w.mini.SetTime(time.Now())
		return lease(context.WithoutCancel(ctx), q)
	}
	ctx, cancel := context.WithCancel(w.t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = l.Run(ctx)
	}()
	return l, func() {
		cancel()
		<-done
	}
}

// arrive counts a request at Intercom.
func (w *world) arrive(n int) (*count, *intercom.Response) {
	w.mu.Lock()
	defer w.mu.Unlock()
	now := time.Now().Add(w.ahead)
	c := w.roll(now)
	resp := &intercom.Response{Status: 200, Date: now.Truncate(time.Second)}
	if w.noDate {
		resp.Date = time.Time{}
	}
	if w.used+n > w.limit {
		resp.Status = 429
	} else {
		w.used += n
	}
	if !w.silent {
		resp.RateLimit = &intercom.RateLimit{
			Limit: w.limit, Remaining: w.limit - w.used, Reset: w.end.Add(time.Second - 1).Truncate(time.Second),
		}
	}
	return c, resp
}

// roll returns the count of the present window.
func (w *world) roll(now time.Time) *count {
	if now.Before(w.end) {
		return w.counts[len(w.counts)-1]
	}
	w.end, w.used = now.Truncate(w.window).Add(w.window), 0
	if w.unaligned {
		w.end = now.Add(w.window)
	}
	w.counts = append(w.counts, &count{})
	return w.counts[len(w.counts)-1]
}

// jitter is a time around d.
func (w *world) jitter(d time.Duration) time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	return d/2 + time.Duration(w.rng.Int64N(int64(d)+1))
}

// post makes one request.
func (w *world) post(p *Permit) {
	sent := time.Now()
	time.Sleep(w.jitter(w.there))
	c, resp := w.arrive(1)
	w.mu.Lock()
	if resp.Status == 429 {
		c.refused++
	} else {
		c.ours++
		w.arrived = append(w.arrived, time.Now())
	}
	w.mu.Unlock()
	time.Sleep(w.jitter(w.back))
	p.Answered(resp, sent)
}

// load keeps n requests going until ctx ends, and returns when they have.
func (w *world) load(ctx context.Context, l *Limiter, n int) {
	var all sync.WaitGroup
	for range n {
		all.Go(func() {
			for {
				p, err := l.Acquire(ctx, Normal)
				if err != nil {
					return
				}
				w.post(p)
			}
		})
	}
	all.Wait()
}

// others spends n of each window, spread over its first part.
func (w *world) others(ctx context.Context, n int, part float64) {
	for ctx.Err() == nil {
		now := time.Now().Add(w.ahead)
		start := now.Truncate(w.window).Add(w.window)
		time.Sleep(start.Sub(now))
		for range n {
			if ctx.Err() != nil {
				return
			}
			c, resp := w.arrive(1)
			if resp.Status == 200 {
				w.mu.Lock()
				c.others++
				w.mu.Unlock()
			}
			time.Sleep(time.Duration(part * float64(w.window) / float64(n+1)))
		}
	}
}

// whole returns the counts of the windows between the first and the last.
func (w *world) whole() []*count { return w.counts[1 : len(w.counts)-1] }

func (w *world) refused() (n int) {
	for _, c := range w.counts {
		n += c.refused
	}
	return n
}

// String shows what each window was spent for.
func (w *world) String() string {
	var b strings.Builder
	for _, c := range w.counts {
		fmt.Fprintf(&b, "%d+%d", c.ours, c.others)
		if c.refused > 0 {
			fmt.Fprintf(&b, "!%d", c.refused)
		}
		b.WriteString(" ")
	}
	return b.String()
}

// requireUsed asserts that hardly anything was refused, and hardly anything of
// the budget left.
func (w *world) requireUsed(part float64) {
	w.t.Helper()
	w.t.Log(w)
	require.LessOrEqual(w.t, w.refused(), 3, w.String())
	budget, ours := 0, 0
	for _, c := range w.whole() {
		budget += int(part*float64(w.limit)) - c.others
		ours += c.ours
	}
	require.GreaterOrEqual(w.t, float64(ours), 0.97*float64(budget), w.String())
}

// sevenWindows are whole, with a part of one before and after.
const sevenWindows = 85 * time.Second

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
