package ledger_test

import (
	"context"
	"maps"
	"regexp"
	"strconv"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/intercom-dispatch/intercom-dispatch/internal/redistest"
	"github.com/intercom-dispatch/intercom-dispatch/ledger"
)

// TestASentMessageTakesAtMost350Bytes counts all that Redis has of 20,000 sent
// messages: 24,000 keys, of which it has a table for 32,768, so the table is
// neither full nor freshly doubled.
func TestASentMessageTakesAtMost350Bytes(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		metadata map[string]string
		most     float64
	}{
		"plain":         {nil, 350},
		"with metadata": {map[string]string{"order": "1042"}, 370},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			const n = 20_000
			rdb := redistest.Start(t, redistest.Options{}).Client(t)
			l, err := ledger.New(rdb, ledger.DefaultWorkspace, 0)
			require.NoError(t, err)
			send := func(i int) {
				task := usualTask(i)
				task.Metadata = maps.Clone(tt.metadata)
				a, err := l.Begin(t.Context(), task, ledger.BeginOptions{Lease: time.Minute})
				require.NoError(t, err)
				require.NoError(t, l.CommitSent(t.Context(), a, ledger.SentOutcome{MessageID: messageID(i)}))
			}
			send(n) // The scripts are loaded.
			before := usedMemory(t.Context(), t, rdb)
			for i := range n {
				send(i)
			}
			each := (usedMemory(t.Context(), t, rdb) - before) / n
			t.Logf("%.0f bytes", each)
			require.LessOrEqual(t, each, tt.most)
			encoding, err := rdb.ObjectEncoding(t.Context(), ledger.RecordKey("main", usualTask(0).Key)).Result()
			require.NoError(t, err)
			require.Equal(t, "listpack", encoding)
		})
	}
}

var usedMemoryField = regexp.MustCompile(`used_memory:(\d+)`)

func usedMemory(ctx context.Context, tb testing.TB, rdb redis.UniversalClient) float64 {
	tb.Helper()
	info, err := rdb.Info(ctx, "memory").Result()
	require.NoError(tb, err)
	n, err := strconv.ParseFloat(usedMemoryField.FindStringSubmatch(info)[1], 64)
	require.NoError(tb, err)
	return n
}
