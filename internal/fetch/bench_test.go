package fetch_test

import (
	"context"
	"slices"
	"strconv"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"github.com/intercom-dispatch/intercom-dispatch/internal/redistest"
	"github.com/intercom-dispatch/intercom-dispatch/internal/roster"
	"github.com/intercom-dispatch/intercom-dispatch/internal/task"
)

// BenchmarkServe runs tasks with an empty handler on one server, as asynq
// fetches them and as this package does.
func BenchmarkServe(b *testing.B) {
	for _, concurrency := range []int{16, 64, 200} {
		for _, plain := range []bool{true, false} {
			b.Run("concurrency="+strconv.Itoa(concurrency)+"/plain="+strconv.FormatBool(plain), func(b *testing.B) {
				run(b, concurrency, plain)
			})
		}
	}
}

func run(b *testing.B, concurrency int, plain bool) {
	b.Helper()
	rdb := redistest.Start(b, redistest.Options{}).Client(b)
	client := asynq.NewClientFromRedisClient(rdb)
	payload := make([]byte, 300)
	for i := range b.N {
		_, err := client.Enqueue(asynq.NewTask("t", payload), asynq.TaskID(strconv.Itoa(i)), asynq.Queue(bulk), asynq.MaxRetry(25))
		require.NoError(b, err)
	}
	var left atomic.Int64
	left.Store(int64(b.N))
	done := make(chan struct{})
	stop := start(b, rdb, concurrency, plain, func(context.Context, *asynq.Task) error {
		if left.Add(-1) == 0 {
			close(done)
		}
		return nil
	})
	began := usage(b)
	b.ResetTimer()
	<-done
	b.StopTimer()
	b.ReportMetric(float64((usage(b)-began).Microseconds())/float64(b.N), "cpu-µs/op")
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "tasks/s")
	stop()
}

func start(tb testing.TB, rdb redis.UniversalClient, concurrency int, plain bool, h asynq.HandlerFunc) (stop func()) {
	tb.Helper()
	member, err := roster.New(roster.Config{Redis: rdb, Queues: []string{high, normal, bulk}, Log: zap.NewNop()})
	require.NoError(tb, err)
	ctx, cancel := context.WithCancel(context.WithoutCancel(tb.Context()))
	ended := make(chan error, 1)
	go func() {
		ended <- task.Server{
			Redis: rdb, Handler: h, Roster: member, First: high, Plain: plain,
			Asynq: asynq.Config{Concurrency: concurrency, Queues: weights()},
		}.Serve(ctx)
	}()
	return func() {
		cancel()
		require.NoError(tb, <-ended)
	}
}

func usage(tb testing.TB) time.Duration {
	tb.Helper()
	var u syscall.Rusage
	require.NoError(tb, syscall.Getrusage(syscall.RUSAGE_SELF, &u))
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkIdle has a server wait for 5 s, and then for single tasks.
func BenchmarkIdle(b *testing.B) {
	for _, plain := range []bool{true, false} {
		b.Run("plain="+strconv.FormatBool(plain), func(b *testing.B) {
			s := redistest.Start(b, redistest.Options{})
			rdb := s.Client(b)
			began := make(chan time.Time, 1)
			stop := start(b, rdb, 64, plain, func(context.Context, *asynq.Task) error {
				began <- time.Now()
				return nil
			})
			defer stop()
			client := asynq.NewClientFromRedisClient(rdb)
			var took []time.Duration
			for i := range 200 {
				sent := time.Now()
				_, err := client.Enqueue(asynq.NewTask("t", nil), asynq.Queue(bulk), asynq.TaskID(strconv.Itoa(i)))
				require.NoError(b, err)
				took = append(took, (<-began).Sub(sent))
				time.Sleep(time.Duration(i) * 100 * time.Microsecond)
			}
			slices.Sort(took)
			b.ReportMetric(float64(took[100].Microseconds()), "p50-µs")
			b.ReportMetric(float64(took[197].Microseconds()), "p99-µs")
			const idle = 5 * time.Second
			commands, cpu := processed(b, rdb), usage(b)
			time.Sleep(idle)
			b.ReportMetric(float64(processed(b, rdb)-commands)/idle.Seconds(), "commands/s")
			b.ReportMetric(100*float64(usage(b)-cpu)/float64(idle), "cpu-%")
		})
	}
}
