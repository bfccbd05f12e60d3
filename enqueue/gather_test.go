package enqueue

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"
)

func ticketFor(key string) *ticket {
	return &ticket{job: &job{key: key, result: &Result{Key: key}}, turn: make(chan turn, 1)}
}

// TestACallerWhoLeavesWhenItWasToLeadHandsOver calls what Enqueue calls, as
// nothing else makes a context end between these two steps.
func TestACallerWhoLeavesWhenItWasToLeadHandsOver(t *testing.T) {
	t.Parallel()
	g := &gatherer{}
	leader, leaves, stays := ticketFor("leader"), ticketFor("leaves"), ticketFor("stays")
	require.True(t, g.join(leader))
	flight := g.board()
	require.False(t, g.join(leaves))
	require.False(t, g.join(stays))
	leader.job.result.Status = Enqueued
	g.land(t.Context(), leader, flight)

	ended, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, g.leave(ended, leaves).Err, context.Canceled)
	require.Equal(t, lead, <-stays.turn)
	require.Equal(t, []*ticket{stays}, g.board())

	stays.job.result.Status = Enqueued
	g.land(t.Context(), stays, []*ticket{stays})
	require.True(t, g.join(ticketFor("next")), "nobody leads any more")
}

// TestAPanicOfTheLeaderLeavesNobodyWaiting stands for a hook of go-redis that
// panics.
func TestAPanicOfTheLeaderLeavesNobodyWaiting(t *testing.T) {
	t.Parallel()
	g := &gatherer{}
	follower := ticketFor("follower")
	g.run = func(context.Context, []*job) error { panic("hook") }
	leader := ticketFor("leader")
	require.True(t, g.join(leader))
	require.False(t, g.join(follower))
	require.Panics(t, func() { g.lead(t.Context(), leader) })
	require.Equal(t, settled, <-follower.turn)
	require.ErrorIs(t, follower.job.result.Err, errUnfinished)
	require.True(t, g.join(ticketFor("next")))
}
