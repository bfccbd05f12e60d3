package ratelimit_test

import (
	"context"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"github.com/intercom-dispatch/intercom-dispatch/intercom"
	"github.com/intercom-dispatch/intercom-dispatch/internal/redistest"
	"github.com/intercom-dispatch/intercom-dispatch/ratelimit"
)

const (
	patience = 30 * time.Second
	key      = "dispatch:{main}:rate"
)

func start(t *testing.T, rdb redis.UniversalClient) *ratelimit.Limiter {
	t.Helper()
	l, err := ratelimit.New(ratelimit.Config{Redis: rdb, Key: key, Log: zap.NewNop()})
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	done := make(chan error, 1)
	go func() { done <- l.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		require.NoError(t, <-done)
	})
	return l
}

func acquire(t *testing.T, l *ratelimit.Limiter, c ratelimit.Class) *ratelimit.Permit {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	p, err := l.Acquire(ctx, c)
	require.NoError(t, err)
	return p
}

// answer is one of Intercom in the middle of a window.
func answer(limit, remaining int) *intercom.Response {
	now := time.Now()
	return &intercom.Response{Status: http.StatusOK, Date: now, RateLimit: &intercom.RateLimit{
		Limit: limit, Remaining: remaining, Reset: now.Add(ratelimit.DefaultWindow / 2).Truncate(time.Second),
	}}
}

func left(t *testing.T, rdb redis.UniversalClient, field string) string {
	t.Helper()
	v, err := rdb.HGet(t.Context(), key, field).Result()
	require.NoError(t, err)
	return v
}

func TestWhatOneProcessLearnsAllKnow(t *testing.T) {
	t.Parallel()
	redistest.EachAndCluster(t, func(t *testing.T, s *redistest.Server) {
		rdb := s.Client(t)
		first, second := start(t, rdb), start(t, s.Client(t))
		acquire(t, first, ratelimit.Normal).Answered(answer(100_000, 90_000), time.Now())
		var all sync.WaitGroup
		began := time.Now()
		for range 200 {
			all.Go(func() { acquire(t, second, ratelimit.Normal).Answered(answer(100_000, 90_000), time.Now()) })
		}
		all.Wait()
		require.Less(t, time.Since(began), 20*time.Second, "one a second is for those who know nothing")
	})
}

func TestA429OfOneProcessStopsTheOthers(t *testing.T) {
	t.Parallel()
	redistest.EachAndCluster(t, func(t *testing.T, s *redistest.Server) {
		rdb := s.Client(t)
		first, second := start(t, rdb), start(t, s.Client(t))
		refused := answer(100, 0)
		refused.Status = http.StatusTooManyRequests
		reset := time.Now().Add(3 * time.Second).Truncate(time.Second)
		refused.RateLimit.Reset = reset
		acquire(t, first, ratelimit.Urgent).Answered(refused, time.Now())
		require.Eventually(t, func() bool { return rdb.HGet(t.Context(), key, "x").Val() > "1" }, patience, 5*time.Millisecond)
		acquire(t, second, ratelimit.Urgent)
		require.False(t, time.Now().Before(reset), "it left before the reset")
	})
}

func TestPermitsThatAreNotUsedGoBack(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, s *redistest.Server) {
		rdb := s.Client(t)
		l := start(t, rdb)
		acquire(t, l, ratelimit.Normal).Answered(answer(100, 99), time.Now())
		p := acquire(t, l, ratelimit.Normal)
		require.Equal(t, "1.000", left(t, rdb, "o"))
		p.Cancel()
		p.Cancel()
		p.Answered(nil, time.Now())
		require.Eventually(t, func() bool { return left(t, rdb, "o") == "0.000" && left(t, rdb, "g") != "2.000" }, patience, 5*time.Millisecond)

		// Nobody waits any more for the next.
		ctx, cancel := context.WithCancel(t.Context())
		gone := make(chan error, 1)
		acquire(t, l, ratelimit.Normal).Answered(answer(100, 0), time.Now())
		require.Eventually(t, func() bool { return left(t, rdb, "rem") == "0.000" }, patience, 5*time.Millisecond)
		go func() {
			_, err := l.Acquire(ctx, ratelimit.Normal)
			gone <- err
		}()
		cancel()
		require.ErrorIs(t, <-gone, context.Canceled)
		_, err := l.Acquire(ctx, ratelimit.Normal)
		require.ErrorIs(t, err, context.Canceled)
	})
}

func TestACallThatIsSentTwiceCountsOnce(t *testing.T) {
	t.Parallel()
	redistest.EachAndCluster(t, func(t *testing.T, s *redistest.Server) {
		plain, twice := s.Client(t), s.Client(t)
		twice.AddHook(redistest.Twice{})
		l := start(t, twice)
		acquire(t, l, ratelimit.Normal).Answered(answer(1000, 999), time.Now())
		var permits []*ratelimit.Permit
		for range 3 {
			permits = append(permits, acquire(t, l, ratelimit.Normal))
		}
		require.Equal(t, "3.000", left(t, plain, "o"))
		for _, p := range permits {
			p.Answered(answer(1000, 990), time.Now())
		}
		require.Eventually(t, func() bool { return left(t, plain, "o") == "0.000" }, patience, 5*time.Millisecond)
	})
}

func TestWhileRedisIsAwayRequestsWait(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, s *redistest.Server) {
		l := start(t, s.Client(t))
		acquire(t, l, ratelimit.Normal).Answered(answer(1000, 999), time.Now())
		s.Kill()
		got := make(chan error, 1)
		waiting, end := context.WithTimeout(t.Context(), patience)
		defer end()
		go func() {
			_, err := l.Acquire(waiting, ratelimit.Normal)
			got <- err
		}()
		ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
		defer cancel()
		_, err := l.Acquire(ctx, ratelimit.Urgent)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.Empty(t, got)
		s.Restart()
		require.NoError(t, <-got)
	})
}

func TestNewNamesTheField(t *testing.T) {
	t.Parallel()
	rdb := redistest.Mini(t).Client(t)
	good := ratelimit.Config{Redis: rdb, Key: key, Log: zap.NewNop()}
	for field, spoil := range map[string]func(*ratelimit.Config){
		"Redis":   func(c *ratelimit.Config) { c.Redis = nil },
		"Key":     func(c *ratelimit.Config) { c.Key = "" },
		"Log":     func(c *ratelimit.Config) { c.Log = nil },
		"Share":   func(c *ratelimit.Config) { c.Share = 1.5 },
		"Reserve": func(c *ratelimit.Config) { c.Reserve = new(1.0) },
		"Window":  func(c *ratelimit.Config) { c.Window = time.Millisecond },
	} {
		bad := good
		spoil(&bad)
		_, err := ratelimit.New(bad)
		require.ErrorContains(t, err, "ratelimit: the field "+field)
	}
}

// BenchmarkAcquire is what a permit costs where there are enough.
func BenchmarkAcquire(b *testing.B) {
	rdb := redistest.Start(b, redistest.Options{}).Client(b)
	l, err := ratelimit.New(ratelimit.Config{Redis: rdb, Key: key, Log: zap.NewNop()})
	require.NoError(b, err)
	ctx, cancel := context.WithCancel(b.Context())
	done := make(chan error, 1)
	go func() { done <- l.Run(ctx) }()
	p, err := l.Acquire(ctx, ratelimit.Normal)
	require.NoError(b, err)
	p.Answered(answer(1_000_000_000, 999_999_999), time.Now())
	b.SetParallelism(32)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			p, err := l.Acquire(ctx, ratelimit.Normal)
			if err != nil {
				b.Error(err)
				return
			}
			p.Answered(answer(1_000_000_000, 999_999_999), time.Now())
		}
	})
	cancel()
	require.NoError(b, <-done)
}
