package task_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"github.com/intercom-dispatch/intercom-dispatch/intercom"
	"github.com/intercom-dispatch/intercom-dispatch/internal/redistest"
	"github.com/intercom-dispatch/intercom-dispatch/internal/roster"
	"github.com/intercom-dispatch/intercom-dispatch/internal/task"
)

const patience = 20 * time.Second

func member(t *testing.T, rdb redis.UniversalClient) *roster.Roster {
	t.Helper()
	r, err := roster.New(roster.Config{Redis: rdb, Queues: []string{"q"}, Log: zap.NewNop()})
	require.NoError(t, err)
	return r
}

func TestServeFinishesTheTasksUnderWayAfterItHasSaidThatItStops(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, s *redistest.Server) {
		t.Helper()
		rdb := s.Client(t)
		stopping, begun := make(chan struct{}), make(chan struct{})
		handler := asynq.HandlerFunc(func(ctx context.Context, _ *asynq.Task) error {
			close(begun)
			<-stopping // It ends only now, so that an end before would be seen.
			return ctx.Err()
		})
		client := asynq.NewClientFromRedisClient(rdb)
		_, err := client.Enqueue(asynq.NewTask("t", nil), asynq.TaskID("1"), asynq.Queue("q"))
		require.NoError(t, err)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		done := make(chan error, 1)
		r := member(t, rdb)
		go func() {
			done <- task.Serve(ctx, rdb, asynq.Config{
				Concurrency: 1, Queues: map[string]int{"q": 1}, ShutdownTimeout: patience,
			}, handler, r, func() { close(stopping) })
		}()
		<-begun
		_, err = client.Enqueue(asynq.NewTask("t", nil), asynq.TaskID("2"), asynq.Queue("q"))
		require.NoError(t, err)
		cancel()
		select {
		case err := <-done:
			require.NoError(t, err)
		case <-time.After(patience):
			t.Fatal("it does not end")
		}
		inspector := asynq.NewInspectorFromRedisClient(rdb)
		_, err = inspector.GetTaskInfo("q", "1")
		require.ErrorIs(t, err, asynq.ErrTaskNotFound)
		info, err := inspector.GetTaskInfo("q", "2")
		require.NoError(t, err)
		require.Equal(t, asynq.TaskStatePending, info.State)
		require.NoError(t, rdb.Ping(t.Context()).Err(), "the connection is its owner's")
	})
}

func message() *intercom.Message {
	return &intercom.Message{
		MessageType: intercom.InApp, Body: "Hi", From: intercom.FromAdmin(1),
		To: intercom.ToUser("a"), CC: intercom.ToLead("b"),
	}
}

func TestDecodeRefusesWhatHoldsNoMessageWithoutQuotingIt(t *testing.T) {
	t.Parallel()
	for _, payload := range []string{
		"", "secret", `"secret"`, "{}", "null", `{"token":"secret"}`, `{"message":{"message_type":"in_app"}}`,
		`{"token":["secret"],"message":{}}`, `{"token":"t","message":"secret"}`,
	} {
		_, err := task.Decode([]byte(payload))
		require.ErrorContains(t, err, "decode task", payload)
		require.NotContains(t, err.Error(), "secret")
	}
}

func TestTheDigestTellsMessagesApart(t *testing.T) {
	t.Parallel()
	first, err := task.Digest(message())
	require.NoError(t, err)
	same, err := task.Digest(message())
	require.NoError(t, err)
	require.Equal(t, first, same)
	m := message()
	m.Body = "Hi!"
	other, err := task.Digest(m)
	require.NoError(t, err)
	require.NotEqual(t, first, other)
	require.Len(t, first, 32)
}

func TestContactIDsAreAllRecipients(t *testing.T) {
	t.Parallel()
	require.Equal(t, []string{"a", "b"}, task.ContactIDs(message()))
	whatsApp := &intercom.Message{To: intercom.Recipients{{Phone: "353871234567"}}}
	require.Equal(t, []string{"353871234567"}, task.ContactIDs(whatsApp))
}

func TestQueuesOfAWorkspaceAreItsOwn(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for _, workspace := range []string{"main", "eu"} {
		for _, p := range task.Priorities() {
			seen[task.Queue(workspace, p)] = true
		}
		seen[task.NotificationQueue(workspace)] = true
	}
	require.Len(t, seen, 8)
	for name := range seen {
		require.False(t, strings.ContainsAny(name, "{}: "), name)
	}
}

func TestServeTakesUpDelayedTasksSoon(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, s *redistest.Server) {
		t.Helper()
		rdb := s.Client(t)
		ran := make(chan time.Time, 2)
		first := true
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		r := member(t, rdb)
		go func() {
			done <- task.Serve(ctx, rdb, asynq.Config{
				Concurrency: 1, Queues: map[string]int{"q": 1}, ShutdownTimeout: patience,
				RetryDelayFunc: func(int, error, *asynq.Task) time.Duration { return time.Second },
			}, asynq.HandlerFunc(func(context.Context, *asynq.Task) error {
				ran <- time.Now()
				if first {
					first = false
					return errors.New("again")
				}
				return nil
			}), r, nil)
		}()
		_, err := asynq.NewClientFromRedisClient(rdb).Enqueue(asynq.NewTask("t", nil), asynq.Queue("q"))
		require.NoError(t, err)
		began := <-ran
		require.Less(t, (<-ran).Sub(began), 3*time.Second, "asynq's own interval is 5 s")
		cancel()
		require.NoError(t, <-done)
	})
}
