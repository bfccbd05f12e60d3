package ratelimit

import (
	"context"
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
