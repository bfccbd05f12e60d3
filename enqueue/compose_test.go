package enqueue

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/intercom-dispatch/intercom-dispatch/internal/redistest"
	"github.com/intercom-dispatch/intercom-dispatch/internal/task"
)

// TestTaskKeyIsAsynqs holds the one name that is known of asynq's keys against
// asynq itself.
func TestTaskKeyIsAsynqs(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, s *redistest.Server) {
		c := newComposer(s.Client(t), "main")
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
	e := &task.Envelope{Token: "token-1", Digest: "digest-1", Priority: task.Normal}
	payload := []byte(`{"token":"token-1","digest":"digest-1"}`)
	for range 2 {
		var result Result
		j, err := c.composer.compose(t.Context(), "k", e, payload)
		require.NoError(t, err)
		j.result = &result
		require.NoError(t, c.run(t.Context(), []*job{j}))
		require.NoError(t, result.Err)
		require.Equal(t, Enqueued, result.Status)
	}
}
