package ledger_test

import (
	"context"
	"regexp"
	"strconv"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/intercom-dispatch/intercom-dispatch/internal/redistest"
	"github.com/intercom-dispatch/intercom-dispatch/ledger"
)

var usedMemory = regexp.MustCompile(`used_memory_dataset:(\d+)`)
var usedTotal = regexp.MustCompile(`used_memory:(\d+)`)
var overhead = regexp.MustCompile(`used_memory_overhead:(\d+)`)

func number(tb testing.TB, re *regexp.Regexp, info string) float64 {
	tb.Helper()
	n, err := strconv.ParseFloat(re.FindStringSubmatch(info)[1], 64)
	require.NoError(tb, err)
	return n
}

func used(ctx context.Context, tb testing.TB, rdb redis.UniversalClient) float64 {
	tb.Helper()
	info, err := rdb.Info(ctx, "memory").Result()
	require.NoError(tb, err)
	return number(tb, usedTotal, info)
}

func TestTmpMemory(t *testing.T) {
	for _, n := range []int{20000, 50000} {
		rdb := redistest.Start(t, redistest.Options{}).Client(t)
		l, _ := ledger.New(rdb, "main", 0)
		ctx := t.Context()
		warm, _ := l.Begin(ctx, usualTask(9999999), ledger.BeginOptions{Lease: time.Minute})
		require.NoError(t, l.CommitSent(ctx, warm, ledger.SentOutcome{MessageID: "1"}))
		before := used(ctx, t, rdb)
		for i := range n {
			a, err := l.Begin(ctx, usualTask(i), ledger.BeginOptions{Lease: time.Minute})
			require.NoError(t, err)
			require.NoError(t, l.CommitSent(ctx, a, ledger.SentOutcome{MessageID: messageID(i)}))
		}
		t.Log(n, (used(ctx, t, rdb)-before)/float64(n), rdb.MemoryUsage(ctx, ledger.RecordKey("main", usualTask(5).Key)).Val(), rdb.MemoryUsage(ctx, ledger.IndexBuckets("main", messageID(5))[0]).Val(), rdb.DBSize(ctx).Val())
	}
}
