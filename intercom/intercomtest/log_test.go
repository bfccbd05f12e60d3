package intercomtest_test

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/intercom-dispatch/intercom-dispatch/intercom/intercomtest"
)

func TestWaitForWakesWithTheChangeItWaitsFor(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t, intercomtest.Config{})
		looked := 0
		done := make(chan time.Duration)
		start := time.Now()
		go func() {
			_ = f.WaitFor(t.Context(), func(l intercomtest.Log) bool {
				looked++
				return len(l.Created) == 2
			})
			done <- time.Since(start)
		}()
		for range 2 {
			time.Sleep(time.Hour)
			f.create(inapp)
		}
		require.Equal(t, 2*time.Hour, <-done)
		require.LessOrEqual(t, looked, 1+3*2, "at most once a change: arrived, created, answered")
	})
}

func TestWaitForEndsWithItsContext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t, intercomtest.Config{})
		f.create(inapp)
		require.NoError(t, f.WaitCreated(t.Context(), 1))
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		err := f.WaitCreated(ctx, 2)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.ErrorContains(t, err, "1 created messages")
	})
}

func TestLogThatWasHandedOutDoesNotChange(t *testing.T) {
	t.Parallel()
	f := newFake(t, intercomtest.Config{})
	for range 3 { // So that the log has room for one more.
		f.create(inapp)
	}
	before := f.Log()
	mine := before.Created
	f.create(inapp)
	mine = append(mine, intercomtest.CreatedMessage{ID: "mine"})
	require.Len(t, before.Created, 3)
	require.Equal(t, "mine", mine[3].ID)
	require.NotEqual(t, "mine", f.Created()[3].ID)
}

func TestConcurrentRequestsAreEachCountedOnce(t *testing.T) {
	t.Parallel()
	const workers, each = 8, 50
	f := newFake(t, intercomtest.Config{})
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			for range each {
				f.create(opened)
				f.search(`{"query":{"field":"contact_ids","operator":"=","value":"jo"},"pagination":{"per_page":1}}`)
			}
		})
	}
	require.NoError(t, f.WaitCreated(t.Context(), workers*each))
	wg.Wait()
	ids := make(map[string]bool)
	numbers := make(map[int64]bool)
	for _, m := range f.Created() {
		ids[m.ID], numbers[m.RequestNumber] = true, true
	}
	require.Len(t, ids, workers*each)
	require.Len(t, numbers, workers*each)
	require.Len(t, f.Requests(), 2*workers*each)
	require.EqualValues(t, 2*workers*each, f.Log().Arrived)
}

func BenchmarkCreateMessage(b *testing.B) {
	f := newFake(b, intercomtest.Config{RateLimit: 1 << 40})
	for b.Loop() {
		f.post("/messages", inapp)
	}
}

func BenchmarkSearchBySourceAmongManyConversations(b *testing.B) {
	f := newFake(b, intercomtest.Config{RateLimit: 1 << 40})
	for range 20_000 {
		f.post("/messages", opened)
	}
	query := `{"query":{"field":"source.id","operator":"IN","value":["` + f.Created()[7].ID + `","` + f.Created()[9].ID + `"]}}`
	for b.Loop() {
		f.post("/conversations/search", query)
	}
}
