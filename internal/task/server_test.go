package task_test

import (
	"context"
	"errors"
	"net"
	"slices"
	"strings"
	"sync/atomic"
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

const patience = 30 * time.Second

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
			done <- task.Server{
				Redis: rdb, Handler: handler, Roster: r, Stopping: func() { close(stopping) },
				Asynq: asynq.Config{Concurrency: 1, Queues: map[string]int{"q": 1}, ShutdownTimeout: patience},
			}.Serve(ctx)
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
	digest := func(m *intercom.Message) string {
		b, err := m.Encode()
		require.NoError(t, err)
		return task.Digest(b)
	}
	first := digest(message())
	require.Equal(t, first, digest(message()))
	m := message()
	m.Body = "Hi!"
	require.NotEqual(t, first, digest(m))
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
			done <- task.Server{
				Redis: rdb, Roster: r,
				Asynq: asynq.Config{
					Concurrency: 1, Queues: map[string]int{"q": 1}, ShutdownTimeout: patience,
					RetryDelayFunc: func(int, error, *asynq.Task) time.Duration { return time.Second },
				},
				Handler: asynq.HandlerFunc(func(context.Context, *asynq.Task) error {
					ran <- time.Now()
					if first {
						first = false
						return errors.New("again")
					}
					return nil
				}),
			}.Serve(ctx)
		}()
		_, err := asynq.NewClientFromRedisClient(rdb).Enqueue(asynq.NewTask("t", nil), asynq.Queue("q"))
		require.NoError(t, err)
		began := <-ran
		require.Less(t, (<-ran).Sub(began), 3*time.Second, "asynq's own interval is 5 s")
		cancel()
		require.NoError(t, <-done)
	})
}

// server is a task.Serve on a connection of its own, which can be cut.
type server struct {
	t      *testing.T
	roster *roster.Roster
	cut    atomic.Bool
	waits  complaints
	end    context.CancelFunc
	done   chan error
}

// complaints is a log of which only that there are errors is kept.
type complaints chan struct{}

func (c complaints) Error(...any) {
	select {
	case c <- struct{}{}:
	default:
	}
}
func (complaints) Debug(...any) {}
func (complaints) Info(...any)  {}
func (complaints) Warn(...any)  {}
func (complaints) Fatal(...any) {}

var errCut = errors.New("the connection is cut")

func serve(t *testing.T, s *redistest.Server, h asynq.HandlerFunc) *server {
	t.Helper()
	rdb := s.Client(t)
	v := &server{t: t, roster: member(t, rdb), waits: make(complaints, 100), done: make(chan error, 1)}
	rdb.AddHook(cutter{&v.cut})
	var ctx context.Context
	ctx, v.end = context.WithCancel(context.WithoutCancel(t.Context()))
	go func() {
		v.done <- task.Server{
			Redis: rdb, Handler: h, Roster: v.roster,
			Asynq: asynq.Config{
				Concurrency: 5, Queues: map[string]int{"q": 1}, ShutdownTimeout: time.Second,
				RetryDelayFunc: func(int, error, *asynq.Task) time.Duration { return 0 },
				Logger:         v.waits,
			},
		}.Serve(ctx)
	}()
	t.Cleanup(func() {
		v.end()
		v.wait()
	})
	return v
}

func (v *server) wait() {
	select {
	case err := <-v.done:
		require.NoError(v.t, err)
		v.done <- nil
	case <-time.After(patience):
		v.t.Error("the server does not end")
	}
}

// cutter lets nothing pass once the connection is cut.
type cutter struct{ cut *atomic.Bool }

func (c cutter) DialHook(next redis.DialHook) redis.DialHook {
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		if c.cut.Load() {
			return nil, errCut
		}
		return next(ctx, network, addr)
	}
}

func (c cutter) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		if c.cut.Load() {
			return errCut
		}
		return next(ctx, cmd)
	}
}

func (c cutter) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		if c.cut.Load() {
			return errCut
		}
		return next(ctx, cmds)
	}
}

func enqueue(t *testing.T, rdb redis.UniversalClient, ids ...string) {
	t.Helper()
	for _, id := range ids {
		_, err := asynq.NewClientFromRedisClient(rdb).Enqueue(asynq.NewTask("t", nil), asynq.TaskID(id), asynq.Queue("q"))
		require.NoError(t, err)
	}
}

func hands(t *testing.T, rdb redis.UniversalClient, id string) []string {
	t.Helper()
	members, err := roster.Members(t.Context(), rdb, "main")
	require.NoError(t, err)
	for _, m := range members {
		if m.ID == id {
			return m.Hands
		}
	}
	return nil
}

func TestATaskIsInHandWhileItsHandlerRuns(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, s *redistest.Server) {
		rdb := s.Client(t)
		finish := make(chan struct{})
		v := serve(t, s, func(context.Context, *asynq.Task) error {
			<-finish
			return nil
		})
		enqueue(t, rdb, "1")
		require.Eventually(t, func() bool { return slices.Equal(hands(t, rdb, v.roster.ID()), []string{"q/1"}) },
			patience, 20*time.Millisecond)
		close(finish)
		require.Eventually(t, func() bool {
			h := hands(t, rdb, v.roster.ID())
			return h != nil && len(h) == 0
		}, patience, 20*time.Millisecond)
		v.end()
		v.wait()
		require.Nil(t, hands(t, rdb, v.roster.ID()), "it has left")
	})
}

func TestAServerThatEndsBeforeItsTaskDoesNotLeave(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, s *redistest.Server) {
		rdb := s.Client(t)
		begun, finish := make(chan struct{}), make(chan struct{})
		defer close(finish)
		v := serve(t, s, func(context.Context, *asynq.Task) error {
			close(begun)
			<-finish
			return nil
		})
		enqueue(t, rdb, "1")
		<-begun
		v.end()
		v.wait()
		require.NotNil(t, hands(t, rdb, v.roster.ID()))
	})
}

func TestServeWaitsForRedisAtItsStart(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, s *redistest.Server) {
		s.Kill()
		ran := make(chan struct{}, 1)
		patient := serve(t, s, func(context.Context, *asynq.Task) error {
			ran <- struct{}{}
			return nil
		})
		impatient := serve(t, s, func(context.Context, *asynq.Task) error { return nil })
		impatient.end()
		impatient.wait()
		select {
		case <-patient.waits:
		case <-time.After(patience):
			t.Fatal("it does not say that it waits")
		}
		s.Restart()
		enqueue(t, s.Client(t), "1")
		select {
		case <-ran:
		case <-time.After(patience):
			t.Fatal("it does not begin")
		}
	})
}

// TestAnotherServerTakesOverWhenOneIsCutOff runs with the roster's defaults:
// about 10 s on a quiet machine.
func TestAnotherServerTakesOverWhenOneIsCutOff(t *testing.T) {
	t.Parallel()
	redistest.EachAndCluster(t, func(t *testing.T, s *redistest.Server) {
		rdb := s.Client(t)
		ids := []string{"1", "2", "3", "4", "5"}
		begun, finish := make(chan string, 100), make(chan struct{})
		victim := serve(t, s, func(ctx context.Context, _ *asynq.Task) error {
			id, _ := asynq.GetTaskID(ctx)
			begun <- id
			<-finish
			return nil
		})
		t.Cleanup(func() { close(finish) })
		enqueue(t, rdb, ids...)
		for range ids {
			<-begun
		}
		require.Eventually(t, func() bool { return len(hands(t, rdb, victim.roster.ID())) == len(ids) }, patience, 20*time.Millisecond)
		ran := make(chan string, 100)
		other := serve(t, s, func(ctx context.Context, _ *asynq.Task) error {
			id, _ := asynq.GetTaskID(ctx)
			ran <- id
			return nil
		})
		require.Eventually(t, func() bool { return hands(t, rdb, other.roster.ID()) != nil }, patience, 20*time.Millisecond)
		victim.cut.Store(true)
		cut := time.Now()
		var moved []string
		for range ids {
			select {
			case id := <-ran:
				moved = append(moved, id)
			case <-time.After(patience):
				t.Fatal("tasks are not taken over")
			}
		}
		took := time.Since(cut)
		t.Logf("taken over after %s", took)
		require.ElementsMatch(t, ids, moved)
		require.Less(t, took, 20*time.Second)
		require.GreaterOrEqual(t, took, roster.DefaultDeadAfter-2*roster.DefaultInterval)
		require.Empty(t, ran)
	})
}
