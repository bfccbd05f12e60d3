package doctor_test

import (
	"strings"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2/server"
	"github.com/hibiken/asynq"
	"github.com/stretchr/testify/require"

	"github.com/intercom-dispatch/intercom-dispatch/enqueue"
	"github.com/intercom-dispatch/intercom-dispatch/intercom"
	"github.com/intercom-dispatch/intercom-dispatch/internal/doctor"
	"github.com/intercom-dispatch/intercom-dispatch/internal/redistest"
	"github.com/intercom-dispatch/intercom-dispatch/ledger"
)

func message() *intercom.Message {
	return &intercom.Message{
		MessageType: intercom.InApp, Body: "private text", From: intercom.FromAdmin(1), To: intercom.ToUser("ada"),
	}
}

func TestQueues(t *testing.T) {
	t.Parallel()
	redistest.EachAndCluster(t, func(t *testing.T, s *redistest.Server) {
		rdb := s.Client(t)
		producer, err := enqueue.New(rdb, enqueue.Config{Workspace: "shop"})
		require.NoError(t, err)
		_, err = producer.Enqueue(t.Context(), message(), enqueue.Key("k"))
		require.NoError(t, err)
		_, err = producer.Enqueue(t.Context(), message(), enqueue.Key("later"), enqueue.At(time.Now().Add(time.Hour)))
		require.NoError(t, err)
		cfg := on(t, s)
		requireResult(t, examine(t, cfg)["queues"], doctor.OK, "none yet", `"main"`)

		cfg.Workspace = "shop"
		r := examine(t, cfg)["queues"]
		requireResult(t, r, doctor.OK, "normal: 1 pending, 0 active, 1 scheduled, 0 retry, 0 archived")
		require.NotContains(t, r.Found, "bulk")

		// As if it had been enqueued two minutes ago.
		require.NoError(t, rdb.HSet(t.Context(), "asynq:{intercom-shop-normal}:t:k", "pending_since",
			time.Now().Add(-2*time.Minute).UnixNano()).Err())
		requireResult(t, examine(t, cfg)["queues"], doctor.Warn, "the oldest pending for 2m", "is a worker of workspace \"shop\" running")

		require.NoError(t, asynq.NewInspectorFromRedisClient(rdb).PauseQueue("intercom-shop-normal"))
		requireResult(t, examine(t, cfg)["queues"], doctor.Warn, "PAUSED", "resume", "intercom-dispatch monitor")
	})
}

func TestMessagesThatNeedAPerson(t *testing.T) {
	t.Parallel()
	redistest.EachAndCluster(t, func(t *testing.T, s *redistest.Server) {
		l, err := ledger.New(s.Client(t), "shop", 0)
		require.NoError(t, err)
		cfg := on(t, s)
		cfg.Workspace = "shop"
		enter(t, l, "u", ledger.Uncertain)
		requireResult(t, examine(t, cfg)["messages"], doctor.OK, "0 failed, 0 held, 1 uncertain")
		enter(t, l, "a", ledger.Failed)
		enter(t, l, "b", ledger.Failed)
		requireResult(t, examine(t, cfg)["messages"], doctor.Warn,
			"2 failed, 0 held, 1 uncertain", "intercom-dispatch message list --state failed --workspace shop")
		cfg.Workspace = "main"
		requireResult(t, examine(t, cfg)["messages"], doctor.OK, "0 failed")
	})
}

// enter brings a message into a state.
func enter(t *testing.T, l *ledger.Ledger, key string, state ledger.State) {
	t.Helper()
	a, err := l.Begin(t.Context(), ledger.Task{Key: key, Enqueued: "e-" + key, QueuedAt: time.Now()}, ledger.BeginOptions{Lease: time.Minute})
	require.NoError(t, err)
	require.NoError(t, l.Commit(t.Context(), a, ledger.Outcome{State: state, Error: ledger.Error{Code: "x"}}))
}

func TestNothingIsChanged(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t, redistest.Options{AppendOnly: true})
	rdb := s.Client(t)
	producer, err := enqueue.New(rdb, enqueue.Config{})
	require.NoError(t, err)
	_, err = producer.Enqueue(t.Context(), message(), enqueue.Key("k"))
	require.NoError(t, err)
	// A user that may do nothing but read, with every check.
	require.NoError(t, rdb.Do(t.Context(), "ACL", "SETUSER", "reader", "on", ">password", "~*",
		"+@read", "+@connection", "+info", "+config|get", "+time", "+eval", "+evalsha", "+script").Err())
	before := info(t, rdb, "rdb_changes_since_last_save")
	all := examine(t, doctor.Config{
		Redis: parse(t, "redis://reader:password@"+s.Addr), Intercom: client(t, newFake(t), token),
	})
	for name, r := range all {
		require.NotEqual(t, doctor.Fail, r.Status, "%s: %+v", name, r)
	}
	requireResult(t, all["queues"], doctor.OK, "1 pending")
	require.Equal(t, before, info(t, rdb, "rdb_changes_since_last_save"))
}

// TestAsynqIsNotWaitedForLonger has a Redis that answers everything but what
// asynq asks first. asynq gives its commands no limit of their own.
func TestAsynqIsNotWaitedForLonger(t *testing.T) {
	t.Parallel()
	s := redistest.Mini(t)
	release := make(chan struct{})
	t.Cleanup(func() { close(release) })
	s.Miniredis().Server().SetPreHook(func(_ *server.Peer, cmd string, _ ...string) bool {
		if strings.EqualFold(cmd, "SMEMBERS") {
			<-release
		}
		return false
	})
	cfg := on(t, s)
	cfg.Timeout = 2 * time.Second
	began := time.Now()
	all := examine(t, cfg)
	requireResult(t, all["queues"], doctor.Fail, "no answer within 2s")
	requireResult(t, all["messages"], doctor.OK)
	require.Less(t, time.Since(began), patience/2)
}
