package replies_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/intercom-dispatch/intercom-dispatch/intercom"
	"github.com/intercom-dispatch/intercom-dispatch/internal/redistest"
	"github.com/intercom-dispatch/intercom-dispatch/ledger"
	"github.com/intercom-dispatch/intercom-dispatch/replies"
)

// appQueue is the queue of a receiver of the workspace main.
type appQueue struct {
	*replies.AppQueue

	t     *testing.T
	redis *redistest.Server
	rdb   redis.UniversalClient
	logs  *observer.ObservedLogs
	ids   int
}

func newAppQueue(t *testing.T, s *redistest.Server, told map[string]string) *appQueue {
	t.Helper()
	core, logs := observer.New(zap.DebugLevel)
	q := &appQueue{t: t, redis: s, rdb: s.Client(t), logs: logs}
	var err error
	q.AppQueue, err = replies.NewAppQueue(replies.AppQueueConfig{Redis: q.rdb, Apps: told, Log: zap.New(core)})
	require.NoError(t, err)
	return q
}

func (q *appQueue) announce(app, workspace string) (former string) {
	q.t.Helper()
	former, err := replies.AnnounceApp(q.t.Context(), q.rdb, app, workspace)
	require.NoError(q.t, err)
	return former
}

// goesTo queues a notification of an app and requires that it is in the queue of
// the workspace, and in none if that is empty.
func (q *appQueue) goesTo(app, workspace string) {
	q.t.Helper()
	q.ids++
	n := &intercom.Notification{ID: intercom.ID(fmt.Sprintf("n%d", q.ids)), AppID: app}
	err := q.QueueNotification(q.t.Context(), n, []byte("{}"))
	if workspace == "" {
		require.ErrorIs(q.t, err, replies.ErrOtherApp)
	} else {
		require.NoError(q.t, err)
	}
	for _, w := range []string{"main", "second", "third"} {
		if w == workspace {
			require.Contains(q.t, pendingNotifications(q.t, q.redis, w), string(n.ID))
			continue
		}
		require.NotContains(q.t, pendingNotifications(q.t, q.redis, w), string(n.ID))
	}
}

func TestEachWorkspaceGetsTheNotificationsOfItsApp(t *testing.T) {
	t.Parallel()
	redistest.EachAndCluster(t, func(t *testing.T, s *redistest.Server) {
		t.Helper()
		q := newAppQueue(t, s, map[string]string{"told": "third"})
		require.Empty(t, q.announce("app1", "main"))
		require.Empty(t, q.announce("app2", "second"))
		q.announce("told", "second")
		q.goesTo("app1", "main")
		q.goesTo("app2", "second")
		q.goesTo("told", "third")
		q.goesTo("", "main")
		q.goesTo("another", "")
	})
}

func TestWhileNoAppIsKnownAllIsForTheOwnWorkspace(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, s *redistest.Server) {
		t.Helper()
		q := newAppQueue(t, s, map[string]string{"told": "third"})
		q.announce("app2", "second")
		q.goesTo("another", "main")
		q.goesTo("app2", "second")
		q.goesTo("told", "third")
	})
}

func TestAnAppThatIsToldMakesOthersForeign(t *testing.T) {
	t.Parallel()
	q := newAppQueue(t, redistest.Mini(t), map[string]string{"app1": "main"})
	q.goesTo("app1", "main")
	q.goesTo("another", "")
}

func TestAWorkerThatIntroducesItselfIsHeardOfSoon(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, s *redistest.Server) {
		t.Helper()
		q := newAppQueue(t, s, map[string]string{"app1": "main"})
		q.goesTo("app2", "")
		q.announce("app2", "second")
		n := &intercom.Notification{ID: "late", AppID: "app2"}
		// It looks no more often than once a second.
		require.Eventually(t, func() bool {
			err := q.QueueNotification(t.Context(), n, []byte("{}"))
			return err == nil || !errors.Is(err, replies.ErrOtherApp)
		}, patience, 50*time.Millisecond)
		require.Equal(t, []string{"late"}, pendingNotifications(t, s, "second"))
		require.Equal(t, 1, q.logs.FilterField(zap.String("app_id", "app2")).FilterField(zap.String("workspace", "second")).Len())
	})
}

func TestTheLastWorkspaceThatAnnouncesAnAppHasIt(t *testing.T) {
	t.Parallel()
	redistest.EachAndCluster(t, func(t *testing.T, s *redistest.Server) {
		t.Helper()
		q := newAppQueue(t, s, nil)
		require.Empty(t, q.announce("app1", "main"))
		require.Empty(t, q.announce("app1", "main"), "a worker that starts again is no other")
		require.Equal(t, "main", q.announce("app1", "second"))
		q.goesTo("app1", "second")

		require.NoError(t, replies.RestoreApp(t.Context(), q.rdb, "app1", "main"))
		require.Equal(t, map[string]string{"app1": "second"}, q.rdb.HGetAll(t.Context(), ledger.AppsKey()).Val())
		require.NoError(t, q.rdb.Del(t.Context(), ledger.AppsKey()).Err())
		require.NoError(t, replies.RestoreApp(t.Context(), q.rdb, "app1", "main"))
		require.Equal(t, map[string]string{"app1": "main"}, q.rdb.HGetAll(t.Context(), ledger.AppsKey()).Val())
	})
}

func TestRunReadsTheAppsBeforeAnythingComesAndAgain(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, s *redistest.Server) {
		t.Helper()
		q := newAppQueue(t, s, nil)
		q.announce("app1", "main")
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- q.Run(ctx) }()
		require.Eventually(t, func() bool {
			return q.logs.FilterField(zap.String("app_id", "app1")).Len() == 1
		}, patience, time.Millisecond)
		stop()
		require.NoError(t, <-done)
	})
}

// hanging has no command answered before its context ends.
type hanging struct{}

func (hanging) ProcessHook(redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, _ redis.Cmder) error {
		<-ctx.Done()
		return ctx.Err()
	}
}

func (hanging) DialHook(next redis.DialHook) redis.DialHook { return next }

func (hanging) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

func TestAHungRedisDoesNotSlowAnswersAboutUnknownApps(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		rdb := redis.NewClient(&redis.Options{Addr: "127.0.0.1:1"})
		rdb.AddHook(hanging{})
		queue, err := replies.NewAppQueue(replies.AppQueueConfig{Redis: rdb, Apps: map[string]string{"known": "main"}})
		require.NoError(t, err)
		b := setup(t, func(c *replies.ReceiverConfig) { c.Queue = queue })
		running, stop := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- queue.Run(running) }()
		synctest.Wait()
		began := time.Now()
		require.Equal(t, http.StatusServiceUnavailable, b.do(signed(t, replied)).Code, "it may be for a workspace here")
		require.Equal(t, replies.DefaultQueueTimeout, time.Since(began))
		stop()
		require.NoError(t, <-done)
		require.NoError(t, b.Close(t.Context()))
		require.NoError(t, rdb.Close())
	})
}

func TestAnotherAppsNotificationIsAnsweredAndNotQueued(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.queue.fail = func(context.Context) error { return fmt.Errorf("no: %w", replies.ErrOtherApp) }
	require.Equal(t, http.StatusOK, b.do(signed(t, replied)).Code, "Intercom must not send it again")
	line := b.logs.TakeAll()[0]
	require.Equal(t, zap.WarnLevel, line.Level)
	require.Equal(t, "other_app", line.ContextMap()["outcome"])
	require.Equal(t, "a86dr8yl", line.ContextMap()["app_id"])
}

func TestWhatIsNoUseInRedisIsPassedOver(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, s *redistest.Server) {
		t.Helper()
		q := newAppQueue(t, s, map[string]string{"app1": "main"})
		require.NoError(t, q.rdb.HSet(t.Context(), ledger.AppsKey(), "app2", "No Such", "app3", "third").Err())
		q.goesTo("app3", "third")
		q.goesTo("app2", "")
		require.Equal(t, 1, q.logs.FilterLevelExact(zap.WarnLevel).Len())
	})
}

func TestARedisUserWhoMayNotReadTheAppsKeepsTheOwnWorkspace(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t, redistest.Options{})
	q := newAppQueue(t, s, nil)
	require.NoError(t, q.rdb.Do(t.Context(), "ACL", "SETUSER", "default", "resetkeys", "~asynq:*").Err())
	q.goesTo("app1", "main")
	require.Equal(t, 1, q.logs.FilterField(zap.String("key", "dispatch:apps")).Len())
	_, err := replies.AnnounceApp(t.Context(), q.rdb, "app1", "main")
	require.ErrorContains(t, err, "announce app app1")
}

func TestBadAppsAreNamed(t *testing.T) {
	t.Parallel()
	rdb := redistest.Mini(t).Client(t)
	for _, bad := range [][2]string{{"", "main"}, {"a b", "main"}, {"a\n", "main"}, {"app", ""}, {"app", "No Such"}, {"app", strings.Repeat("w", 65)}} {
		_, err := replies.NewAppQueue(replies.AppQueueConfig{Redis: rdb, Apps: map[string]string{bad[0]: bad[1]}})
		require.ErrorContains(t, err, "replies: Apps: ", bad)
		_, err = replies.AnnounceApp(t.Context(), rdb, bad[0], bad[1])
		require.Error(t, err, bad)
	}
	_, err := replies.NewAppQueue(replies.AppQueueConfig{Redis: rdb, Workspace: "No Such"})
	require.ErrorContains(t, err, "workspace")
	_, err = replies.NewAppQueue(replies.AppQueueConfig{})
	require.ErrorContains(t, err, "Redis is required")
}
