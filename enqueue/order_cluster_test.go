package enqueue_test

import (
	"context"
	"errors"
	"net"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/intercom-dispatch/intercom-dispatch/enqueue"
	"github.com/intercom-dispatch/intercom-dispatch/internal/redistest"
)

// steps is a hook that is told of each pipeline: its number from 1, and what to
// call to have it go on.
type steps struct {
	redistest.Twice

	passed int
	on     func(n int, cmds []redis.Cmder, next func() error) error
}

func (s *steps) ProcessHook(next redis.ProcessHook) redis.ProcessHook { return next }

func (s *steps) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		s.passed++
		return s.on(s.passed, cmds, func() error { return next(ctx, cmds) })
	}
}

// fails sets the error of a broken connection.
func fails(cmds ...redis.Cmder) error {
	err := &net.OpError{Op: "read", Err: errors.New("connection reset")}
	for _, cmd := range cmds {
		cmd.SetErr(err)
	}
	return err
}

// clustered returns a bundle on a cluster that has all scripts, and a client of
// its own whose pipelines are steps: a look at the keys, the places, the tasks.
func clustered(t *testing.T) (*bundle, *enqueue.Client, *steps) {
	t.Helper()
	s := redistest.Start(t, redistest.Options{Cluster: true})
	b := newBundle(t, s)
	b.enqueue(message("hi"), enqueue.Key("warm"), enqueue.OrderKey("warm"))
	rdb := s.Client(t)
	client, err := enqueue.New(rdb, enqueue.Config{})
	require.NoError(t, err)
	_, err = client.Enqueue(t.Context(), message("hi"), enqueue.Key("warm"))
	require.NoError(t, err)
	hook := &steps{on: func(_ int, _ []redis.Cmder, next func() error) error { return next() }}
	rdb.AddHook(hook)
	return b, client, hook
}

const (
	looks  = 1
	places = 2
	tasks  = 3
)

// TestAPlaceOnAClusterWaitsForItsTask is about tasks that do not come because
// the connection breaks, or whose answer is lost.
func TestAPlaceOnAClusterWaitsForItsTask(t *testing.T) {
	t.Parallel()
	for name, arrives := range map[string]bool{"not enqueued": false, "answer lost": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b, client, hook := clustered(t)
			hook.on = func(n int, cmds []redis.Cmder, next func() error) error {
				if n != tasks {
					return next()
				}
				if arrives {
					_ = next()
				}
				return fails(cmds...)
			}
			try := func() (enqueue.Result, error) {
				return client.Enqueue(t.Context(), message("hi"), enqueue.Key("lost"), enqueue.OrderKey("o"))
			}
			_, err := try()
			require.Error(t, err)
			b.enqueue(message("hi"), enqueue.Key("next"), enqueue.OrderKey("o"))
			before := b.places("o")
			r, err := try()
			require.NoError(t, err)
			require.Equal(t, arrives, r.Status == enqueue.Duplicate)
			require.Equal(t, []string{"lost", "next"}, b.order("o"))
			require.Equal(t, before, b.places("o"))
			require.Equal(t, 3, b.queued("normal"))
		})
	}
}

// TestARaceForAKeyOnAClusterLeavesItsPlaceOnly has another producer enqueue the
// key between the look and the task, in the same order, in another and in none.
func TestARaceForAKeyOnAClusterLeavesItsPlaceOnly(t *testing.T) {
	t.Parallel()
	for _, other := range []string{"ours", "theirs", ""} {
		for _, step := range []int{places, tasks} {
			b, client, hook := clustered(t)
			hook.on = func(n int, _ []redis.Cmder, next func() error) error {
				if n == step {
					b.enqueue(message("hi"), enqueue.Key("k"), enqueue.OrderKey(other))
				}
				return next()
			}
			r, err := client.Enqueue(t.Context(), message("hi"), enqueue.Key("k"), enqueue.OrderKey("ours"))
			require.NoError(t, err)
			require.Equal(t, enqueue.Duplicate, r.Status)
			require.Equal(t, other == "ours", len(b.order("ours")) == 1, "%q", other)
			require.Equal(t, other == "theirs", len(b.order("theirs")) == 1, "%q", other)
		}
	}
}

// TestNothingOvertakesOnACluster loses the answer to the look at one message, as
// where the node of its queue is away, of those that are sent together.
func TestNothingOvertakesOnACluster(t *testing.T) {
	t.Parallel()
	for _, step := range []int{looks, places} {
		b, client, hook := clustered(t)
		hook.on = func(n int, cmds []redis.Cmder, next func() error) error {
			err := next()
			if n == step {
				return fails(cmds[0])
			}
			return err
		}
		requests := []enqueue.Request{
			{Key: "a", OrderKey: "o", Message: message("hi")},
			{Key: "b", OrderKey: "o", Message: message("hi")},
			{Key: "c", OrderKey: "other", Message: message("hi")},
			{Key: "d", Message: message("hi"), At: time.Now().Add(time.Hour)},
		}
		results, err := client.EnqueueBatch(t.Context(), requests)
		require.Error(t, err)
		require.Error(t, results[0].Err)
		require.NoError(t, results[2].Err)
		require.NoError(t, results[3].Err)
		if step == looks {
			require.ErrorContains(t, results[1].Err, "a message before it in its order was not enqueued")
			require.Empty(t, b.order("o"))
		}
		_, err = client.EnqueueBatch(t.Context(), requests)
		require.NoError(t, err)
		require.Equal(t, []string{"a", "b"}, b.order("o"))
		require.Equal(t, []string{"c"}, b.order("other"))
		require.Equal(t, 5, b.queued("normal"))
	}
}
