package onhold_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/intercom-dispatch/intercom-dispatch/internal/onhold"
	"github.com/intercom-dispatch/intercom-dispatch/ledger"
)

// goOn ends the hold.
func (b *bundle) goOn(p *process) {
	b.t.Helper()
	b.good.Store(true)
	p.reach(onhold.Trial)
	require.NoError(b.t, p.enter().Answered(b.ctx))
	p.reach(onhold.Free)
	b.ticks()
}

func TestOperatorsPauseFromBeforeTheHoldStays(t *testing.T) {
	t.Parallel()
	onEach(t, func(b *bundle) {
		require.NoError(b.t, b.inspector().PauseQueue(queues[0]))
		a := b.running()
		a.blocked()
		require.True(b.t, b.allPaused())
		b.goOn(a)
		require.True(b.t, b.paused(queues[0]))
		b.eventually(func() bool { return !b.paused(queues[1]) })
		require.NoError(b.t, b.inspector().UnpauseQueue(queues[0]))
		b.ticks()
		require.True(b.t, b.nonePaused())
	})
}

func TestOperatorWhoResumesAndPausesInMidHoldDecides(t *testing.T) {
	t.Parallel()
	onEach(t, func(b *bundle) {
		a := b.running()
		a.blocked()
		b.running()
		b.ticks()
		i := b.inspector()
		require.Error(b.t, i.PauseQueue(queues[0]), "asynq says that it is paused already")
		require.NoError(b.t, i.UnpauseQueue(queues[0]))
		b.ticks()
		require.False(b.t, b.paused(queues[0]), "what an operator resumed stays so")
		require.NoError(b.t, i.PauseQueue(queues[0]))
		b.goOn(a)
		require.True(b.t, b.paused(queues[0]), "what an operator paused stays so")
		b.eventually(func() bool { return !b.paused(queues[1]) })
	})
}

func TestOperatorWhoPausesJustBeforeTheEndDecides(t *testing.T) {
	t.Parallel()
	onEach(t, func(b *bundle) {
		a := b.process()
		a.blocked()
		// The guard has seen its own pause, and is about to end it.
		a.rdb.AddHook(beforeQueues{do: func() error {
			return b.rdb.Set(b.ctx, pauseKey(queues[0]), "1700000000", 0).Err()
		}})
		a.run()
		b.goOn(a)
		require.True(b.t, b.paused(queues[0]))
		b.eventually(func() bool { return !b.paused(queues[1]) })
	})
}

func TestAnotherRefusedAnswerPausesWhatWasResumed(t *testing.T) {
	t.Parallel()
	onEach(t, func(b *bundle) {
		a := b.running(slowly)
		late := a.enter()
		a.blocked()
		// A look at the hold from before its queues were paused is over.
		b.ticks()
		require.NoError(b.t, b.inspector().UnpauseQueue(queues[0]))
		b.ticks()
		require.False(b.t, b.paused(queues[0]))
		require.NoError(b.t, late.Blocked(b.ctx, refused))
		require.True(b.t, b.allPaused())
	})
}

func TestOperatorsPauseAfterTheHoldStays(t *testing.T) {
	t.Parallel()
	onEach(t, func(b *bundle) {
		a := b.running()
		a.blocked()
		b.goOn(a)
		b.eventually(b.nonePaused)
		require.NoError(b.t, b.inspector().PauseQueue(queues[1]))
		b.ticks()
		require.True(b.t, b.paused(queues[1]))
	})
}

func TestAnotherProcessPausesWhatACrashLeftRunning(t *testing.T) {
	t.Parallel()
	onEach(t, func(b *bundle) {
		crashed := b.process(slowly)
		crashed.rdb.AddHook(noQueues())
		require.Error(b.t, crashed.enter().Blocked(b.ctx, refused))
		require.Equal(b.t, onhold.Held, b.read().Phase)
		require.True(b.t, b.nonePaused())

		b.running(slowly)
		b.eventually(b.allPaused)
	})
}

func TestAnotherProcessResumesWhatACrashLeftPaused(t *testing.T) {
	t.Parallel()
	onEach(t, func(b *bundle) {
		b.good.Store(true)
		crashed := b.process()
		crashed.blocked()
		crashed.rdb.AddHook(noQueues())
		stop := crashed.run()
		crashed.reach(onhold.Trial)
		b.ticks()
		stop()
		require.True(b.t, b.allPaused())

		b.running()
		b.eventually(b.nonePaused)
		require.Equal(b.t, onhold.Trial, b.read().Phase)
	})
}

func TestPausesOfAHoldThatIsOverAreRemoved(t *testing.T) {
	t.Parallel()
	onEach(t, func(b *bundle) {
		a := b.running()
		a.blocked()
		stale, err := b.rdb.Get(b.ctx, pauseKey(queues[0])).Result()
		require.NoError(b.t, err)
		b.goOn(a)
		b.eventually(b.nonePaused)

		// A process that was slow pauses what the others have resumed.
		require.NoError(b.t, b.rdb.Set(b.ctx, pauseKey(queues[0]), stale, 0).Err())
		b.eventually(b.nonePaused)

		// One that does so in the next hold must not end that one's pause.
		b.good.Store(false)
		a.blocked()
		require.NoError(b.t, b.rdb.Set(b.ctx, pauseKey(queues[0]), stale, 0).Err())
		b.eventually(func() bool {
			return b.rdb.Get(b.ctx, pauseKey(queues[0])).Val() == b.rdb.Get(b.ctx, pauseKey(queues[1])).Val()
		})
		require.True(b.t, b.allPaused())
	})
}

func TestQueuesAreResumedWhereRedisHasLostTheHold(t *testing.T) {
	t.Parallel()
	onEach(t, func(b *bundle) {
		a := b.running(slowly)
		a.blocked()
		require.NoError(b.t, b.rdb.Del(b.ctx, ledger.HoldKey("main")).Err())
		a.reach(onhold.Free)
		b.eventually(b.nonePaused)
	})
}
