package replies_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/intercom-dispatch/intercom-dispatch/internal/redistest"
	"github.com/intercom-dispatch/intercom-dispatch/ledger"
	"github.com/intercom-dispatch/intercom-dispatch/replies"
)

// publish puts events with these keys into the stream.
func publish(t *testing.T, rdb redis.UniversalClient, keys ...string) {
	t.Helper()
	for _, key := range keys {
		require.NoError(t, rdb.XAdd(t.Context(), &redis.XAddArgs{
			Stream: ledger.ReplyStreamKey("main"), Values: []string{"event", fmt.Sprintf(`{"version":1,"key":%q}`, key)},
		}).Err())
	}
}

// tail runs Tail to its end and returns the keys it passed on.
func tail(t *testing.T, rdb redis.UniversalClient, o replies.TailOptions) []string {
	t.Helper()
	var keys []string
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	require.NoError(t, replies.Tail(ctx, rdb, "", o, func(e replies.Event) error {
		require.NotEmpty(t, e.ID)
		keys = append(keys, e.Key)
		return nil
	}))
	require.NoError(t, ctx.Err(), "it did not end by itself")
	return keys
}

func TestTailWithoutFollowEndsWithTheNewestEvent(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, s *redistest.Server) {
		t.Helper()
		rdb := s.Client(t)
		require.Empty(t, tail(t, rdb, replies.TailOptions{FromStart: true, NoFollow: true}))
		var want []string
		for i := range 250 { // More than it reads at once.
			want = append(want, fmt.Sprintf("k-%d", i))
		}
		publish(t, rdb, want...)
		require.Equal(t, want, tail(t, rdb, replies.TailOptions{FromStart: true, NoFollow: true}))
		require.Empty(t, tail(t, rdb, replies.TailOptions{NoFollow: true}))
	})
}

func TestTailFollowsUntilItsContextEnds(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, s *redistest.Server) {
		t.Helper()
		rdb := s.Client(t)
		publish(t, rdb, "old")
		ctx, cancel := context.WithCancel(t.Context())
		keys, done := make(chan string, 10), make(chan error, 1)
		reading := make(chan struct{})
		rdb.AddHook(onRead(reading))
		go func() {
			done <- replies.Tail(ctx, rdb, "", replies.TailOptions{}, func(e replies.Event) error {
				keys <- e.Key
				return nil
			})
		}()
		<-reading // It knows by now what is old.
		for _, key := range []string{"new-1", "new-2"} {
			publish(t, rdb, key)
			select {
			case got := <-keys:
				require.Equal(t, key, got)
			case <-time.After(patience):
				t.Fatal("it does not follow")
			}
		}
		cancel()
		select {
		case err := <-done:
			require.NoError(t, err)
		case <-time.After(5 * time.Second):
			t.Fatal("it does not end with its context")
		}
	})
}

// onRead returns a hook that closes the channel at the first XREAD.
func onRead(reading chan struct{}) redis.Hook { return &readHook{reading: reading} }

type readHook struct {
	reading chan struct{}
	closed  bool
}

func (h *readHook) DialHook(next redis.DialHook) redis.DialHook { return next }

func (h *readHook) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		if cmd.Name() == "xread" && !h.closed {
			h.closed = true
			close(h.reading)
		}
		return next(ctx, cmd)
	}
}

func (h *readHook) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

func TestTailReturnsWhatEachReturnsAndNamesWhatCannotBeRead(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, s *redistest.Server) {
		t.Helper()
		rdb := s.Client(t)
		publish(t, rdb, "k")
		errFull := errors.New("full")
		err := replies.Tail(t.Context(), rdb, "", replies.TailOptions{FromStart: true}, func(replies.Event) error { return errFull })
		require.ErrorIs(t, err, errFull)

		id, err := rdb.XAdd(t.Context(), &redis.XAddArgs{
			Stream: ledger.ReplyStreamKey("other"), Values: []string{"event", "{"},
		}).Result()
		require.NoError(t, err)
		err = replies.Tail(t.Context(), rdb, "other", replies.TailOptions{FromStart: true}, func(replies.Event) error { return nil })
		require.ErrorContains(t, err, id)
	})
}
