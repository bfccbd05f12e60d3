package roster_test

import (
	"testing"
	"time"

	"github.com/hibiken/asynq"
	"github.com/stretchr/testify/require"

	"github.com/intercom-dispatch/intercom-dispatch/internal/redistest"
)

// many is enough rounds for a suspicion to be confirmed, twice.
const many = 30

func TestTheTasksOfAKilledMemberArePendingAgainWhenItIsGone(t *testing.T) {
	t.Parallel()
	redistest.EachAndCluster(t, func(t *testing.T, s *redistest.Server) {
		b := setup(t, s)
		victim, other := b.member(), b.member()
		b.run(other)
		b.dequeue("1")
		victim.Hold("q", "1")
		require.NoError(t, victim.Announce(t.Context()))
		killed := time.Now()
		b.becomesPending("1")
		require.GreaterOrEqual(t, time.Since(killed), deadAfter)
		require.Less(t, time.Since(killed), deadAfter+10*time.Second)
		require.Equal(t, []string{other.ID()}, b.ids())
		require.Equal(t, 1, b.logged("task is pending again"))
		fields := b.logs.FilterMessage("task is pending again").All()[0].ContextMap()
		require.Equal(t, "1", fields["key"])
		require.Equal(t, victim.ID(), fields["gone"])
		require.Zero(t, b.rdb.Exists(t.Context(), activeKey, leaseKey).Val())
	})
}

func TestALongTaskOfALiveMemberIsLeftAlone(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, s *redistest.Server) {
		b := setup(t, s)
		holder, other := b.member(), b.member()
		b.run(other)
		release := holder.Hold("q", "1")
		b.run(holder)
		b.dequeue("1")
		b.rounds(other, many)
		require.Equal(t, asynq.TaskStateActive, b.state("1"))
		require.Zero(t, b.logged("a worker is gone"))

		// As soon as it lets go of the task without telling asynq, it comes back.
		release()
		b.becomesPending("1")
	})
}

func TestATaskThatNobodyHasIsPutBack(t *testing.T) {
	t.Parallel()
	redistest.EachAndCluster(t, func(t *testing.T, s *redistest.Server) {
		b := setup(t, s)
		b.enqueue("2")
		b.dequeue("1")
		b.dequeue("2")
		require.NoError(t, b.rdb.ZRem(t.Context(), leaseKey, "2").Err())
		b.run(b.member())
		b.run(b.member())
		b.becomesPending("1")
		b.becomesPending("2")
	})
}

func TestALostLeaseOfATaskInHandIsRestored(t *testing.T) {
	t.Parallel()
	redistest.EachAndCluster(t, func(t *testing.T, s *redistest.Server) {
		b := setup(t, s)
		holder, other := b.member(), b.member()
		holder.Hold("q", "1")
		b.run(holder)
		b.run(other)
		b.dequeue("1")
		require.NoError(t, b.rdb.Del(t.Context(), leaseKey).Err())
		require.Eventually(t, func() bool { return b.rdb.ZScore(t.Context(), leaseKey, "1").Val() > 0 }, patience, interval)
		b.rounds(other, many)
		require.Equal(t, asynq.TaskStateActive, b.state("1"))
	})
}

func TestAnExtendedLeaseEndsASuspicion(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, s *redistest.Server) {
		b := setup(t, s)
		r := b.member()
		b.dequeue("1")
		b.run(r)
		for range many {
			require.NoError(t, b.rdb.ZIncrBy(t.Context(), leaseKey, 1, "1").Err())
			b.rounds(r, 2)
		}
		require.Equal(t, asynq.TaskStateActive, b.state("1"))
	})
}

func TestAnActiveTaskWithoutAMessageIsRemoved(t *testing.T) {
	t.Parallel()
	redistest.EachAndCluster(t, func(t *testing.T, s *redistest.Server) {
		b := setup(t, s)
		b.dequeue("1")
		require.NoError(t, b.rdb.HDel(t.Context(), "asynq:{q}:t:1", "msg").Err())
		b.run(b.member())
		require.Eventually(t, func() bool {
			return b.rdb.Exists(t.Context(), activeKey, leaseKey, "asynq:{q}:t:1").Val() == 0
		}, patience, interval)
		b.enqueue("1")
	})
}

func TestMembersLiveThroughALongOutageOfRedis(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t, redistest.Options{AppendOnly: true, Fsync: "always"})
	b := setup(t, s)
	holder, other := b.member(), b.member()
	holder.Hold("q", "1")
	b.run(holder)
	b.run(other)
	b.dequeue("1")
	b.rounds(other, 3)
	s.Kill()
	time.Sleep(2 * deadAfter)
	s.Restart()
	b.rounds(holder, many)
	b.rounds(other, many)
	require.Zero(t, b.logged("a worker is gone"))
	require.Equal(t, asynq.TaskStateActive, b.state("1"))
	require.Equal(t, 2, b.logged("the workers' roster cannot be kept"))
	require.Equal(t, 2, b.logged("the workers' roster is kept again"))
}

func TestAMemberThatWasRemovedComesBack(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, s *redistest.Server) {
		b := setup(t, s)
		r := b.member()
		b.run(r)
		require.NoError(t, b.rdb.Del(t.Context(), "dispatch:{main}:workers").Err())
		require.Eventually(t, func() bool { return len(b.ids()) == 1 }, patience, interval)
	})
}

func TestLeaveIsForThoseWithEmptyHands(t *testing.T) {
	t.Parallel()
	redistest.EachAndCluster(t, func(t *testing.T, s *redistest.Server) {
		b := setup(t, s)
		r := b.member()
		first, second := r.Hold("q", "1"), r.Hold("q", "1")
		first()
		first()
		require.NoError(t, r.Leave(t.Context()))
		require.Equal(t, []string{r.ID()}, b.ids())
		second()
		require.NoError(t, r.Leave(t.Context()))
		require.Empty(t, b.ids())
		require.NoError(t, r.Leave(t.Context()), "sent twice")
	})
}

func TestMembersTellsOfThoseThatCanBeRead(t *testing.T) {
	t.Parallel()
	b := setup(t, redistest.Mini(t))
	r := b.member()
	require.NoError(t, b.rdb.HSet(t.Context(), "dispatch:{main}:workers", "x", "{").Err())
	require.Equal(t, int64(1), b.seq(r.ID()))
}
