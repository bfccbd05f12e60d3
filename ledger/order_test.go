package ledger_test

import (
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/intercom-dispatch/intercom-dispatch/ledger"
)

const order = "ada"

// queueUp puts messages in an order as enqueueing does.
func (b *bundle) queueUp(keys ...string) {
	b.t.Helper()
	for i, key := range keys {
		z := redis.Z{Score: float64(1_700_000_000_000 + i), Member: key}
		require.NoError(b.t, b.rdb.ZAdd(b.ctx, ledger.OrderKey("main", order), z).Err())
	}
}

func (b *bundle) turn(key string) ledger.Turn {
	b.t.Helper()
	turn, err := b.Turn(b.ctx, order, key)
	require.NoError(b.t, err)
	return turn
}

func TestTheTurnPassesToTheNextWhenAMessageIsDone(t *testing.T) {
	t.Parallel()
	onEach(t, func(b *bundle) {
		b.queueUp("1", "2", "3", "4", "5", "6")
		require.Zero(b.t, b.turn("1").Rank)
		second := b.turn("2")
		require.Equal(b.t, 1, second.Rank)
		require.Equal(b.t, "1", second.First)
		require.Equal(b.t, time.UnixMilli(1_700_000_000_000), second.FirstSince)
		require.Zero(b.t, b.turn("elsewhere").Rank, "who is in no order has to wait for nobody")

		pass := func(key, first string) {
			b.t.Helper()
			got, err := b.Pass(b.ctx, order, key, false)
			require.NoError(b.t, err)
			require.Equal(b.t, first, got)
		}
		pass("1", "1") // It is queued.
		a := b.begun(task("1"))
		pass("1", "1") // It is being sent.
		b.commit(a, ledger.Waiting)
		pass("1", "1")
		b.sent(b.begun(task("1")), "19")
		pass("1", "2")
		b.commit(b.begun(task("2")), ledger.Failed)
		pass("2", "3")
		require.NoError(b.t, b.Cancel(b.ctx, task("3")))
		pass("3", "4")
		require.Equal(b.t, ledger.Refused, b.begin(task("4"), ledger.BeginOptions{ExpiresAt: time.Unix(1, 0)}).Verdict)
		pass("4", "5")
		held := b.begun(task("5"))
		b.commit(held, ledger.Uncertain)
		pass("5", "5")
		require.NoError(b.t, b.Hold(b.ctx, held))
		pass("5", "5") // Held messages block,
		first, err := b.Pass(b.ctx, order, "5", true)
		require.NoError(b.t, err)
		require.Equal(b.t, "6", first, "unless the producer says otherwise")
	})
}

func TestALostMessageDoesNotBlockUnlessItMayBeSent(t *testing.T) {
	t.Parallel()
	onEach(t, func(b *bundle) {
		b.queueUp("1", "2", "3", "4")
		b.begun(task("1"))
		lost := b.turn("3")
		first, err := b.PassLost(b.ctx, order, lost)
		require.NoError(b.t, err)
		require.Equal(b.t, "1", first, "it is being sent")
		require.NoError(b.t, b.rdb.ZRem(b.ctx, ledger.OrderKey("main", order), "1").Err())
		lost = b.turn("3")
		require.NoError(b.t, b.rdb.ZIncrBy(b.ctx, ledger.OrderKey("main", order), 1000, "2").Err())
		first, err = b.PassLost(b.ctx, order, lost)
		require.NoError(b.t, err)
		require.Equal(b.t, "3", first)
		require.Equal(b.t, 2, b.turn("2").Rank, "it was enqueued again meanwhile")
		first, err = b.PassLost(b.ctx, order, b.turn("4"))
		require.NoError(b.t, err)
		require.Equal(b.t, "4", first, "the lost one is out")
	})
}
