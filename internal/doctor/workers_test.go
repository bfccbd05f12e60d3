package doctor_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"github.com/intercom-dispatch/intercom-dispatch/internal/doctor"
	"github.com/intercom-dispatch/intercom-dispatch/internal/onhold"
	"github.com/intercom-dispatch/intercom-dispatch/internal/redistest"
	"github.com/intercom-dispatch/intercom-dispatch/internal/roster"
	"github.com/intercom-dispatch/intercom-dispatch/internal/task"
	"github.com/intercom-dispatch/intercom-dispatch/ledger"
)

// member puts a worker on the roster, which lives until the test ends.
func member(t *testing.T, rdb redis.UniversalClient) {
	t.Helper()
	r, err := roster.New(roster.Config{Redis: rdb, Queues: []string{task.Queue("main", task.Normal)}, Log: zap.NewNop(), DeadAfter: time.Hour})
	require.NoError(t, err)
	require.NoError(t, r.Announce(t.Context()))
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	done := make(chan struct{})
	go func() {
		r.Run(ctx)
		close(done)
	}()
	t.Cleanup(func() {
		cancel()
		<-done
	})
}

func TestWorkersThatLiveAreToldFromThoseThatDoNot(t *testing.T) {
	t.Parallel()
	redistest.EachAndCluster(t, func(t *testing.T, s *redistest.Server) {
		rdb := s.Client(t)
		cfg := on(t, s)
		requireResult(t, examine(t, cfg)["workers"], doctor.Warn, "none is running", "intercom-dispatch worker")
		require.NoError(t, rdb.HSet(t.Context(), ledger.WorkersKey("main"), "killed",
			`{"seq":7,"host":"elsewhere","pid":7,"hands":["q/a"]}`).Err())
		requireResult(t, examine(t, cfg)["workers"], doctor.Warn, "none says that it is there", "elsewhere (process 7, 1 in hand)", "take")
		member(t, rdb)
		requireResult(t, examine(t, cfg)["workers"], doctor.Warn, "0 in hand", "silent: elsewhere (process 7, 1 in hand)")
		require.NoError(t, rdb.Del(t.Context(), ledger.WorkersKey("main")).Err())
		require.Eventually(t, func() bool { return rdb.HLen(t.Context(), ledger.WorkersKey("main")).Val() == 1 },
			patience, 10*time.Millisecond)
		requireResult(t, examine(t, cfg)["workers"], doctor.OK, "(process ", "0 in hand")
	})
}

func TestAWorkspaceOnHold(t *testing.T) {
	t.Parallel()
	redistest.EachAndCluster(t, func(t *testing.T, s *redistest.Server) {
		cfg := on(t, s)
		requireResult(t, examine(t, cfg)["hold"], doctor.OK, "not on hold")
		g, err := onhold.New(onhold.Config{
			Redis: s.Client(t), Workspace: "main", Queues: []string{task.Queue("main", task.Normal)},
			Probe: func(context.Context) error { return errors.New("still refused") }, Log: zap.NewNop(),
		})
		require.NoError(t, err)
		require.NoError(t, g.Load(t.Context()))
		pass, err := g.Enter(t.Context())
		require.NoError(t, err)
		require.NoError(t, pass.Blocked(t.Context(), ledger.Error{Code: "unauthorized", Message: "Access Token Invalid", Status: 401}))
		requireResult(t, examine(t, cfg)["hold"], doctor.Fail, "on hold since", "refuses the access token", "401 unauthorized")
	})
}
