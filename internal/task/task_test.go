package task_test

import (
	"encoding/json"
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

// TestDecodeReadsWhatEncodingJSONWrites holds the two against each other, with
// members of a newer producer besides.
func TestDecodeReadsWhatEncodingJSONWrites(t *testing.T) {
	t.Parallel()
	for _, e := range []task.Envelope{
		{Token: "t", Message: message()},
		{
			Token: "t\"\\\u00e9\u2028", Digest: "d", Priority: "high", QueuedAt: 1, At: 2, ExpiresAt: -3,
			ContactWait: new(int64(0)), IfUncertain: "hold", Metadata: map[string]string{"a\"": "\u20ac\n", "": ""},
			OrderKey: "o\"\u2028", IfHeld: task.IfHeldPass, Message: message(),
		},
	} {
		b, err := json.Marshal(e)
		require.NoError(t, err)
		for _, payload := range [][]byte{b, append([]byte("{\"newer\": {\"message\": [null, \"}\"]}, "), b[1:]...)} {
			got, err := task.Decode(payload)
			require.NoError(t, err)
			require.Equal(t, e, *got)
		}
	}
}
