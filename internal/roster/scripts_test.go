package roster

import (
	"testing"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/intercom-dispatch/intercom-dispatch/internal/redistest"
	"github.com/intercom-dispatch/intercom-dispatch/ledger"
)

const aLease = 1_700_000_030

// store is a Redis with the task "1" in the queue "q", active with a lease.
type store struct {
	t   *testing.T
	rdb redis.UniversalClient
}

func eachStore(t *testing.T, run func(s *store)) {
	t.Helper()
	redistest.EachAndCluster(t, func(t *testing.T, server *redistest.Server) {
		t.Helper()
		s := &store{t: t, rdb: server.Client(t)}
		s.hash("1", "active")
		s.must(s.rdb.LPush(t.Context(), activeKey("q"), "1").Err())
		s.lease(aLease)
		run(s)
	})
}

func (s *store) must(err error) {
	s.t.Helper()
	require.NoError(s.t, err)
}

func (s *store) hash(id, state string) {
	s.t.Helper()
	s.must(s.rdb.HSet(s.t.Context(), taskKey("q", id), "msg", "m", "state", state).Err())
}

func (s *store) lease(score float64) {
	s.t.Helper()
	s.must(s.rdb.ZAdd(s.t.Context(), leaseKey("q"), redis.Z{Member: "1", Score: score}).Err())
}

func (s *store) putBack(lease string) int {
	s.t.Helper()
	n, err := putBackScript.Run(s.t.Context(), s.rdb,
		[]string{activeKey("q"), leaseKey("q"), pendingKey("q"), taskKey("q", "1")}, "1", lease, 77).Int()
	s.must(err)
	return n
}

func (s *store) list(key string) []string { return s.rdb.LRange(s.t.Context(), key, 0, -1).Val() }

func TestPutBackPutsBackOnceAndFirst(t *testing.T) {
	t.Parallel()
	eachStore(t, func(s *store) {
		ctx := s.t.Context()
		s.must(s.rdb.LPush(ctx, pendingKey("q"), "2").Err())
		require.Equal(s.t, wasPutBack, s.putBack(leaseText(aLease)))
		require.Zero(s.t, s.putBack(leaseText(aLease)), "sent twice")
		require.Equal(s.t, []string{"2", "1"}, s.list(pendingKey("q")), "asynq takes from the right")
		require.Zero(s.t, s.rdb.Exists(ctx, activeKey("q"), leaseKey("q")).Val())
		require.Equal(s.t, map[string]string{"msg": "m", "state": "pending", "pending_since": "77"},
			s.rdb.HGetAll(ctx, taskKey("q", "1")).Val())

		// Another worker takes it before the repeat comes.
		s.must(s.rdb.RPopLPush(ctx, pendingKey("q"), activeKey("q")).Err())
		s.lease(aLease + 5)
		require.Zero(s.t, s.putBack(leaseText(aLease)), "sent twice")
		require.Equal(s.t, []string{"1"}, s.list(activeKey("q")))
	})
}

func TestPutBackLeavesATaskWhoseLeaseHasChanged(t *testing.T) {
	t.Parallel()
	eachStore(t, func(s *store) {
		require.Zero(s.t, s.putBack(leaseText(aLease-1)), "extended meanwhile")
		require.Zero(s.t, s.putBack(noLease), "restored meanwhile")
		s.must(s.rdb.Del(s.t.Context(), leaseKey("q")).Err())
		require.Zero(s.t, s.putBack(leaseText(aLease)), "lost meanwhile")
		require.Equal(s.t, []string{"1"}, s.list(activeKey("q")))
		require.Empty(s.t, s.list(pendingKey("q")))
		require.Equal(s.t, wasPutBack, s.putBack(noLease))
	})
}

func TestPutBackLeavesATaskThatWasFinished(t *testing.T) {
	t.Parallel()
	eachStore(t, func(s *store) {
		ctx := s.t.Context()
		s.must(s.rdb.Del(ctx, activeKey("q"), leaseKey("q"), taskKey("q", "1")).Err())
		require.Zero(s.t, s.putBack(leaseText(aLease)))
		require.Zero(s.t, s.putBack(noLease))
		require.Zero(s.t, s.rdb.Exists(ctx, pendingKey("q"), taskKey("q", "1")).Val())
	})
}

func TestPutBackRemovesWhatHasNoTask(t *testing.T) {
	t.Parallel()
	eachStore(t, func(s *store) {
		ctx := s.t.Context()
		s.must(s.rdb.Del(ctx, taskKey("q", "1")).Err())
		require.Equal(s.t, wasRemoved, s.putBack(leaseText(aLease)))
		require.Zero(s.t, s.rdb.Exists(ctx, activeKey("q"), leaseKey("q"), pendingKey("q"), taskKey("q", "1")).Val())
		require.Zero(s.t, s.putBack(leaseText(aLease)), "sent twice")
	})
}

func TestRemoveLeavesAMemberThatHasSpoken(t *testing.T) {
	t.Parallel()
	eachStore(t, func(s *store) {
		ctx, key := s.t.Context(), ledger.WorkersKey("main")
		remove := func(value string) int {
			n, err := removeScript.Run(ctx, s.rdb, []string{key}, "a", value).Int()
			s.must(err)
			return n
		}
		s.must(s.rdb.HSet(ctx, key, "a", "2", "b", "1").Err())
		require.Zero(s.t, remove("1"))
		require.Equal(s.t, 1, remove("2"))
		require.Zero(s.t, remove("2"), "sent twice")
		require.Equal(s.t, map[string]string{"b": "1"}, s.rdb.HGetAll(ctx, key).Val())
		s.must(s.rdb.HSet(ctx, key, "a", "3").Err())
		require.Zero(s.t, remove("2"), "sent twice, and it has come back")
	})
}

func TestRestoreLeaseLeavesALeaseAndATaskThatIsNotActive(t *testing.T) {
	t.Parallel()
	eachStore(t, func(s *store) {
		ctx := s.t.Context()
		restore := func() int {
			n, err := restoreLeaseScript.Run(ctx, s.rdb, []string{activeKey("q"), leaseKey("q")}, "1", aLease+30).Int()
			s.must(err)
			return n
		}
		require.Zero(s.t, restore())
		s.must(s.rdb.Del(ctx, leaseKey("q")).Err())
		require.Equal(s.t, 1, restore())
		require.Zero(s.t, restore(), "sent twice")
		s.must(s.rdb.Del(ctx, activeKey("q"), leaseKey("q")).Err())
		require.Zero(s.t, restore())
		require.Zero(s.t, s.rdb.Exists(ctx, leaseKey("q")).Val())
	})
}

func (s *store) takeUp(id string) int {
	s.t.Helper()
	n, err := takeUpScript.Run(s.t.Context(), s.rdb, takeUpKeys("q", id), id, 77).Int()
	s.must(err)
	return n
}

func TestTakeUpTakesWhatIsInNoList(t *testing.T) {
	t.Parallel()
	eachStore(t, func(s *store) {
		ctx := s.t.Context()
		require.Zero(s.t, s.takeUp("1"), "it is active")
		s.must(s.rdb.Del(ctx, activeKey("q")).Err())
		for _, key := range delayedKeys("q") {
			s.must(s.rdb.ZAdd(ctx, key, redis.Z{Member: "1"}).Err())
			require.Zero(s.t, s.takeUp("1"), key)
			s.must(s.rdb.Del(ctx, key).Err())
		}
		s.must(s.rdb.LPush(ctx, pendingKey("q"), "1").Err())
		require.Zero(s.t, s.takeUp("1"), "it is pending")
		s.must(s.rdb.Del(ctx, pendingKey("q")).Err())
		s.must(s.rdb.HDel(ctx, taskKey("q", "1"), "msg").Err())
		require.Zero(s.t, s.takeUp("1"), "it has no message")
		for _, state := range []string{"pending", "scheduled", "retry", "archived", "completed", "aggregating", ""} {
			s.hash("1", state)
			require.Zero(s.t, s.takeUp("1"), state)
		}
		require.Zero(s.t, s.takeUp("2"), "somebody has deleted it")

		s.hash("1", "active")
		require.Equal(s.t, 1, s.takeUp("1"))
		require.Zero(s.t, s.takeUp("1"), "sent twice")
		require.Equal(s.t, []string{"1"}, s.list(pendingKey("q")))
		require.Zero(s.t, s.rdb.Exists(ctx, leaseKey("q"), taskKey("q", "2")).Val())
		require.Equal(s.t, map[string]string{"msg": "m", "state": "pending", "pending_since": "77"},
			s.rdb.HGetAll(ctx, taskKey("q", "1")).Val())
	})
}
