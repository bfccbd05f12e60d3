package enqueue_test

import (
	"fmt"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/intercom-dispatch/intercom-dispatch/enqueue"
	"github.com/intercom-dispatch/intercom-dispatch/internal/redistest"
)

// producer hands over messages from, up to before to.
type producer func(from, to int) error

// BenchmarkEnqueue compares with what asynq's own client does with a payload of
// the same length. One operation is one message.
func BenchmarkEnqueue(b *testing.B) {
	s := redistest.Start(b, redistest.Options{})
	rdb := s.Client(b)
	for _, v := range []struct {
		name    string
		callers int
		by      func(*testing.B, redis.UniversalClient) producer
	}{
		{"asynq/callers=1", 1, plainAsynq},
		{"single/callers=1", 1, singly},
		{"asynq/callers=50", 50, plainAsynq},
		{"single/callers=50", 50, singly},
		{"batch=1000/callers=1", 1, inBatches},
		{"batch=1000/callers=4", 4, inBatches},
		{"ordered/batch=1000/callers=1", 1, inOrder},
	} {
		b.Run(v.name, func(b *testing.B) {
			require.NoError(b, rdb.FlushAll(b.Context()).Err())
			require.NoError(b, rdb.ConfigResetStat(b.Context()).Err())
			run(b, v.callers, v.by(b, rdb))
			b.ReportMetric(scriptTime(b, rdb), "redis-µs/op")
		})
	}
}

// run shares the messages out among callers, in blocks.
func run(b *testing.B, callers int, produce producer) {
	b.Helper()
	const block = 1000
	var next atomic.Int64
	var running sync.WaitGroup
	b.ReportAllocs()
	b.ResetTimer()
	for range callers {
		running.Go(func() {
			size := max(1, min(block, b.N/callers))
			for {
				to := int(next.Add(int64(size)))
				if to-size >= b.N {
					return
				}
				if err := produce(to-size, min(to, b.N)); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	running.Wait()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "messages/s")
}

// scriptTime returns the microseconds that a script took in Redis.
func scriptTime(b *testing.B, rdb redis.UniversalClient) float64 {
	b.Helper()
	_, stats, _ := strings.Cut(rdb.Info(b.Context(), "commandstats").Val(), "cmdstat_evalsha:")
	_, stats, _ = strings.Cut(stats, "usec_per_call=")
	stats, _, _ = strings.Cut(stats, ",")
	time, err := strconv.ParseFloat(stats, 64)
	require.NoError(b, err)
	return time
}

// text makes a message of 300 bytes as JSON.
var text = strings.Repeat("Your order is on its way. ", 7)

func plainAsynq(b *testing.B, rdb redis.UniversalClient) producer {
	b.Helper()
	client := asynq.NewClientFromRedisClient(rdb)
	payload := []byte(strings.Repeat("x", 300))
	return func(from, to int) error {
		for i := from; i < to; i++ {
			task := asynq.NewTask("message", payload)
			if _, err := client.EnqueueContext(b.Context(), task, asynq.TaskID(fmt.Sprintf("order-%032d", i))); err != nil {
				return err
			}
		}
		return nil
	}
}

func singly(b *testing.B, rdb redis.UniversalClient) producer {
	b.Helper()
	client, err := enqueue.New(rdb, enqueue.Config{})
	require.NoError(b, err)
	return func(from, to int) error {
		for i := from; i < to; i++ {
			if _, err := client.Enqueue(b.Context(), message(text), enqueue.Key(fmt.Sprintf("order-%032d", i))); err != nil {
				return err
			}
		}
		return nil
	}
}

func inBatches(b *testing.B, rdb redis.UniversalClient) producer {
	b.Helper()
	return batches(b, rdb, func(int) string { return "" })
}

// inOrder has 50 messages in an order.
func inOrder(b *testing.B, rdb redis.UniversalClient) producer {
	b.Helper()
	return batches(b, rdb, func(i int) string { return fmt.Sprint("contact-", i/50) })
}

func batches(b *testing.B, rdb redis.UniversalClient, orderKey func(int) string) producer {
	b.Helper()
	client, err := enqueue.New(rdb, enqueue.Config{})
	require.NoError(b, err)
	return func(from, to int) error {
		requests := make([]enqueue.Request, 0, to-from)
		for i := from; i < to; i++ {
			requests = append(requests, enqueue.Request{
				Key: fmt.Sprintf("order-%032d", i), Message: message(text), OrderKey: orderKey(i),
			})
		}
		_, err := client.EnqueueBatch(b.Context(), requests)
		return err
	}
}

func BenchmarkParseLine(b *testing.B) {
	line := fmt.Appendf(nil, `{"key":"order-1042","message":{"message_type":"in_app","body":%q,`+
		`"from":{"type":"admin","id":394051},"to":{"type":"user","id":"536e564f316c83104c000020"}}}`, text)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := enqueue.ParseLine(line); err != nil {
			b.Fatal(err)
		}
	}
}
