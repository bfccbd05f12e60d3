package ledger_test

import (
	"context"
	"fmt"
	"math"
	"regexp"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/intercom-dispatch/intercom-dispatch/internal/redistest"
	"github.com/intercom-dispatch/intercom-dispatch/ledger"
)

// usualTask is a task as the worker hands it over, with a UUID for a key, a
// digest and a token of the usual lengths, and a message of 300 bytes.
func usualTask(n int) ledger.Task {
	return ledger.Task{
		Key:      uuid.NewSHA1(uuid.Nil, []byte(strconv.Itoa(n))).String(),
		Enqueued: fmt.Sprintf("TOKEN%08d", n), Digest: fmt.Sprintf("%032x", n*7919+1<<40), Priority: "normal",
		QueuedAt: time.Now().Add(-3 * time.Second), ContactIDs: []string{fmt.Sprintf("536e564f316c83104c%06x", n)},
		Payload: make([]byte, 600),
	}
}

// messageID is a number of nine digits, as Intercom's are, and none of a dense
// sequence.
func messageID(n int) string { return strconv.Itoa(403_918_001 + 37*n) }

// BenchmarkHappyPath reports beside the Go side's cost the time that Redis
// takes for each of the two calls: queued, begin, sent. Other processes disturb it,
// so it is the least of many rounds.
func BenchmarkHappyPath(b *testing.B) {
	rdb := redistest.Start(b, redistest.Options{}).Client(b)
	l, err := ledger.New(rdb, ledger.DefaultWorkspace, 0)
	require.NoError(b, err)
	ctx := b.Context()
	require.NoError(b, rdb.HSet(ctx, ledger.WorkersKey("main"), "worker-1", "x").Err())
	o := ledger.BeginOptions{Lease: 45 * time.Second, Worker: "0197f0a6-5b1c-7cc3-98d8-3f0a3a1f5c11"}
	attempts, tasks := make([]*ledger.Attempt, 1000), make([]ledger.Task, 1000)
	begin, commit := math.Inf(1), math.Inf(1)
	n := 0
	b.ReportAllocs()
	for b.Loop() {
		for i := range tasks {
			tasks[i] = usualTask(n + i)
		}
		resetStats(ctx, b, rdb)
		eachOf1000(func(i int) {
			var err error
			attempts[i], err = l.Begin(ctx, tasks[i], o)
			assert.NoError(b, err)
		})
		begin = min(begin, scriptMicros(ctx, b, rdb)/1000)
		resetStats(ctx, b, rdb)
		eachOf1000(func(i int) {
			assert.NoError(b, l.CommitSent(ctx, attempts[i], ledger.SentOutcome{MessageID: messageID(n + i)}))
		})
		commit = min(commit, scriptMicros(ctx, b, rdb)/1000)
		n += 1000
	}
	b.ReportMetric(begin, "begin-us")
	b.ReportMetric(commit, "commit-us")
}

// eachOf1000 has 20 callers at a time, as a worker has.
func eachOf1000(run func(i int)) {
	var wg sync.WaitGroup
	for first := range 20 {
		wg.Go(func() {
			for i := first; i < 1000; i += 20 {
				run(i)
			}
		})
	}
	wg.Wait()
}

func resetStats(ctx context.Context, tb testing.TB, rdb redis.UniversalClient) {
	tb.Helper()
	require.NoError(tb, rdb.ConfigResetStat(ctx).Err())
}

var evalUsec = regexp.MustCompile(`cmdstat_eval(?:sha)?:calls=\d+,usec=(\d+)`)

// scriptMicros is the time that Redis has spent in scripts since resetStats.
func scriptMicros(ctx context.Context, tb testing.TB, rdb redis.UniversalClient) (total float64) {
	tb.Helper()
	info, err := rdb.Info(ctx, "commandstats").Result()
	require.NoError(tb, err)
	for _, m := range evalUsec.FindAllStringSubmatch(info, -1) {
		us, err := strconv.ParseFloat(m[1], 64)
		require.NoError(tb, err)
		total += us
	}
	return total
}
