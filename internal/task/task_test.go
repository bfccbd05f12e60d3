package task_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/intercom-dispatch/intercom-dispatch/internal/task"
)

func TestCeilSecond(t *testing.T) {
	t.Parallel()
	whole := time.Unix(1_700_000_000, 0)
	require.Equal(t, whole, task.CeilSecond(whole))
	require.Equal(t, whole.Add(time.Second), task.CeilSecond(whole.Add(1)))
	require.Equal(t, whole.Add(time.Second), task.CeilSecond(whole.Add(time.Second-1)))
}
