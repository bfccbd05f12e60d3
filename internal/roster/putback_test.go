package roster_test

import (
	"strconv"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"github.com/intercom-dispatch/intercom-dispatch/internal/redistest"
	"github.com/intercom-dispatch/intercom-dispatch/internal/roster"
)

func TestPutBackRestoresTheOrderAndCanBeRepeated(t *testing.T) {
	t.Parallel()
	redistest.EachAndCluster(t, func(t *testing.T, s *redistest.Server) {
		t.Helper()
		rdb := s.Client(t)
		ctx := t.Context()
		r, err := roster.New(roster.Config{Redis: rdb, Queues: []string{"q"}, Log: zap.NewNop()})
		require.NoError(t, err)
		const prefix = "asynq:{q}:"
		lease := time.Now().Add(30 * time.Second).Unix()
		var tasks []roster.Active
		for i := range 4 {
			id := strconv.Itoa(i)
			require.NoError(t, rdb.LPush(ctx, prefix+"active", id).Err())
			require.NoError(t, rdb.ZAdd(ctx, prefix+"lease", redis.Z{Score: float64(lease), Member: id}).Err())
			require.NoError(t, rdb.HSet(ctx, prefix+"t:"+id, "msg", "m", "state", "active").Err())
			tasks = append(tasks, roster.Active{ID: id, Lease: lease})
		}
		require.NoError(t, rdb.LPush(ctx, prefix+"pending", "next").Err())
		// Another worker has had this one since.
		require.NoError(t, rdb.ZAdd(ctx, prefix+"lease", redis.Z{Score: float64(lease + 5), Member: "2"}).Err())

		for range 2 {
			require.NoError(t, r.PutBack(ctx, "q", tasks))
			require.Equal(t, []string{"next", "3", "1", "0"}, rdb.LRange(ctx, prefix+"pending", 0, -1).Val(), "taken from the right")
			require.Equal(t, []string{"2"}, rdb.LRange(ctx, prefix+"active", 0, -1).Val())
			require.Equal(t, []string{"2"}, rdb.ZRange(ctx, prefix+"lease", 0, -1).Val())
		}
		require.Equal(t, "pending", rdb.HGet(ctx, prefix+"t:0", "state").Val())
		require.NotEmpty(t, rdb.HGet(ctx, prefix+"t:0", "pending_since").Val())

		require.NoError(t, rdb.Close())
		require.ErrorContains(t, r.PutBack(ctx, "q", tasks), "put tasks of q back")
	})
}
