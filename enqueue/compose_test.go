package enqueue

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/intercom-dispatch/intercom-dispatch/internal/redistest"
	"github.com/intercom-dispatch/intercom-dispatch/internal/task"
	"github.com/intercom-dispatch/intercom-dispatch/ledger"
)

// TestTaskKeyIsAsynqs holds the one name that is known of asynq's keys against
// asynq itself.
func TestTaskKeyIsAsynqs(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, s *redistest.Server) {
		c := newComposer(s.Client(t), "main", ledger.DefaultTTL)
		j, err := c.compose(t.Context(), "order-1042", &task.Envelope{Priority: task.High}, []byte("{}"))
		require.NoError(t, err)
		require.Equal(t, taskKey("intercom-main-high", "order-1042"), j.keys[0])
		require.Contains(t, j.tasks(), j.keys[0])
		require.Len(t, j.tasks(), len(task.Priorities()))
	})
}

// TestARepeatOfOurOwnIsNoDuplicate does what go-redis does when a connection
// breaks before the answer: it sends the script again.
func TestARepeatOfOurOwnIsNoDuplicate(t *testing.T) {
	t.Parallel()
	redistest.EachAndCluster(t, repeatOwn)
}

func repeatOwn(t *testing.T, s *redistest.Server) {
	t.Helper()
	c, err := New(s.Client(t), Config{})
	require.NoError(t, err)
	for _, orderKey := range []string{"", "o"} {
		run := func(n int) {
			token, digest := fmt.Sprintf("token-%d", n), fmt.Sprintf("digest-%d", n)
			e := &task.Envelope{Token: token, Digest: digest, Priority: task.Normal, OrderKey: orderKey}
			j, err := c.composer.compose(t.Context(), fmt.Sprint("k", n, orderKey), e, fmt.Appendf(nil, `{"token":%q,"digest":%q}`, token, digest))
			require.NoError(t, err)
			var result Result
			j.result = &result
			require.NoError(t, c.run(t.Context(), []*job{j}))
			require.NoError(t, result.Err)
			require.Equal(t, Enqueued, result.Status)
			// A cluster's place is another script, which may come again by itself.
			c.place(t.Context(), []*job{j})
			require.NoError(t, result.Err)
		}
		for _, n := range []int{2, 1, 2} {
			run(n)
		}
	}
	order, err := c.rdb.ZRange(t.Context(), ledger.OrderKey("main", "o"), 0, -1).Result()
	require.NoError(t, err)
	require.Equal(t, []string{"k2o", "k1o"}, order)
}
