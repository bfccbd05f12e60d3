package ledger_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/intercom-dispatch/intercom-dispatch/ledger"
)

func TestCountLeavesOutWhatHasExpired(t *testing.T) {
	t.Parallel()
	onEach(t, func(b *bundle) {
		for i := range 3 {
			b.commit(b.begun(task(fmt.Sprint("k", i))), ledger.Waiting)
		}
		// It entered before the oldest record that is still kept.
		require.NoError(b.t, b.rdb.ZAdd(b.ctx, "dispatch:{main}:list:waiting", redis.Z{
			Score: float64(time.Now().Add(-ledger.DefaultTTL - time.Hour).UnixMilli()), Member: "gone",
		}).Err())
		n, err := b.Count(b.ctx, ledger.Waiting)
		require.NoError(b.t, err)
		require.Equal(b.t, 3, n)
		n, err = b.Count(b.ctx, ledger.Held)
		require.NoError(b.t, err)
		require.Zero(b.t, n)
		_, err = b.Count(b.ctx, ledger.Replied)
		require.ErrorContains(b.t, err, "cannot be counted")
	})
}
