package worker_test

import (
	"fmt"
	"net/http"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/intercom-dispatch/intercom-dispatch/intercom/intercomtest"
	"github.com/intercom-dispatch/intercom-dispatch/ledger"
	"github.com/intercom-dispatch/intercom-dispatch/worker"
)

// throttled is a fault that answers 429 once, and says until when.
func throttled(until time.Time) intercomtest.Fault {
	return intercomtest.Fault{Status: 429, Times: 1, Header: http.Header{
		"X-Ratelimit-Limit": {"167"}, "X-Ratelimit-Remaining": {"0"},
		"X-Ratelimit-Reset": {strconv.FormatInt(until.Unix(), 10)},
	}}
}

func TestThrottledHoldsEveryMessageUntilTheReset(t *testing.T) {
	t.Parallel()
	const others = 20
	onEach(t, func(t *testing.T, b *bundle) {
		t.Helper()
		reset := time.Now().Add(4 * time.Second).Truncate(time.Second)
		b.fail("first", throttled(reset))
		b.run(func(c *worker.Config) { c.GiveUpAfter = time.Millisecond })
		b.enqueue("first")
		r := b.waitState("first", ledger.Waiting)
		require.Equal(t, "rate_limit_exceeded", r.LastError.Code)
		require.False(t, r.NextAttemptAt.Before(reset))
		failures, err := b.rdb.HExists(t.Context(), ledger.RecordKey("main", "first"), "f").Result()
		require.NoError(t, err)
		require.False(t, failures, "throttling counts as a failure")

		for i := range others {
			b.enqueue(fmt.Sprintf("other-%d", i))
		}
		b.waitFor("all", func(l intercomtest.Log) bool { return len(l.Requests) >= others+2 })
		for _, m := range b.Created() {
			require.False(t, m.At.Before(reset), "a message left before the reset")
		}
		require.Len(t, b.Created(), others+1)
		require.Equal(t, 2, b.waitState("first", ledger.Sent).Attempts)
	})
}

func TestARevokedTokenHarmsNoMessage(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, b *bundle) {
		t.Helper()
		b.SetToken("another")
		b.run(noContactWait, holding, func(c *worker.Config) { c.GiveUpAfter = time.Millisecond })
		b.enqueue("ada")
		b.enqueue("grace")
		// One of them is refused, and the other one may be held back for it.
		refused := func() []*ledger.Record {
			records, err := b.ledger.List(t.Context(), ledger.Query{State: ledger.Waiting, Code: "unauthorized"})
			require.NoError(t, err)
			return records
		}
		require.Eventually(t, func() bool { return len(refused()) > 0 }, patience, 10*time.Millisecond)
		require.Equal(t, 401, refused()[0].LastError.Status)
		b.SetToken(token)
		for _, key := range []string{"ada", "grace"} {
			r := b.waitState(key, ledger.Sent)
			require.False(t, r.PossibleDuplicate)
			require.Len(t, b.created(key), 1)
		}
	})
}

func TestAWrongBaseURLHarmsNoMessage(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, b *bundle) {
		t.Helper()
		wrong := b.connect(elsewhere(t))
		w := b.run(noContactWait, func(c *worker.Config) { c.Intercom = wrong })
		b.enqueue("ada")
		r := b.waitState("ada", ledger.Waiting)
		require.Equal(t, "http_404", r.LastError.Code)
		require.Contains(t, r.LastError.Message, "is the base URL right?")
		w.end()
		b.run()
		require.Equal(t, 2, b.waitState("ada", ledger.Sent).Attempts)
		require.Len(t, b.created("ada"), 1)
	})
}
