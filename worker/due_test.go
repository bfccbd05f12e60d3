package worker

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/intercom-dispatch/intercom-dispatch/internal/task"
)

func TestScheduledMessageLeavesAtItsTimeAndNotBefore(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := bare(t)
		due := func(in time.Duration) (time.Duration, error) {
			start := time.Now()
			e := &task.Envelope{At: start.Add(in).UnixMilli()}
			err := w.due(t.Context(), &delivery{envelope: e})
			return time.Since(start), err
		}
		for in, want := range map[time.Duration]time.Duration{
			-time.Minute: 0, 0: 0,
			time.Millisecond:       time.Millisecond,
			999 * time.Millisecond: 999 * time.Millisecond,
			time.Hour:              0, // A person ran it.
		} {
			waited, err := due(in)
			require.NoError(t, err)
			require.Equal(t, want, waited, in)
		}
		_, err := due(3 * time.Second) // Another host's clock is ahead.
		var snooze *snoozeError
		require.ErrorAs(t, err, &snooze)
		require.Equal(t, 3*time.Second, time.Until(snooze.until))

		go w.stop()
		waited, err := due(500 * time.Millisecond)
		require.ErrorAs(t, err, &snooze)
		require.Zero(t, waited)
	})
}
