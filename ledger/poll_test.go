package ledger_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/intercom-dispatch/intercom-dispatch/internal/redistest"
	"github.com/intercom-dispatch/intercom-dispatch/ledger"
)

// claimAll takes whatever is due, with as little time between two calls as there
// can be.
func claimAll() ledger.PollClaim { return ledger.PollClaim{Limit: 100, Lease: time.Minute} }

// due makes all messages due at once, as if that much time had passed.
func (b *bundle) due() {
	b.t.Helper()
	all, err := b.rdb.ZRange(b.ctx, ledger.PollKey("main"), 0, -1).Result()
	require.NoError(b.t, err)
	for _, entry := range all {
		require.NoError(b.t, b.rdb.ZAdd(b.ctx, ledger.PollKey("main"), redis.Z{Score: 1, Member: entry}).Err())
	}
}

func (b *bundle) claim(c ledger.PollClaim) *ledger.Claimed {
	b.t.Helper()
	time.Sleep(2 * time.Millisecond) // The interval is at least one.
	claimed, err := b.ClaimPolls(b.ctx, c)
	require.NoError(b.t, err)
	return claimed
}

func ids(c *ledger.Claimed) []string {
	found := []string{}
	for _, p := range c.Polls {
		found = append(found, p.MessageID)
	}
	return found
}

// sendAs has one attempt create the message with this id.
func (b *bundle) sendAs(l *ledger.Ledger, key, id string) {
	b.t.Helper()
	require.NoError(b.t, l.CommitSent(b.ctx, b.begun(task(key)), ledger.SentOutcome{MessageID: id}))
}

func TestASentMessageIsPolledOnlyWhereThatIsWanted(t *testing.T) {
	t.Parallel()
	onEach(t, func(b *bundle) {
		b.sendAs(b.Ledger, "plain", "1")
		require.Zero(t, b.rdb.Exists(b.ctx, ledger.PollKey("main")).Val())
		before := time.Now()
		b.sendAs(b.WithPolling(), "polled", "2")
		require.Zero(t, b.rdb.Exists(b.ctx, ledger.PollKey("main")+":pace").Val())

		c := b.claim(claimAll())
		require.Empty(t, c.Polls, "Intercom's search does not show it yet")
		require.Equal(t, 1, c.Total)
		require.InDelta(t, ledger.FirstPoll.Seconds(), c.Wait.Seconds(), 10)
		b.due()
		c = b.claim(claimAll())
		require.Equal(t, []string{"2"}, ids(c))
		require.WithinDuration(t, before, c.Polls[0].SentAt, 10*time.Second)
		require.Zero(t, c.Polls[0].AnsweredAt)
	})
}

// TestAMessageWhoseIDIsFoundLaterIsPolled has its id found by ledgers that were
// not told to poll, as by a person's command.
func TestAMessageWhoseIDIsFoundLaterIsPolled(t *testing.T) {
	t.Parallel()
	onEach(t, func(b *bundle) {
		require.Negative(t, b.claim(claimAll()).Wait, "nothing is there")
		held := b.begun(task("found"))
		require.NoError(t, b.Commit(b.ctx, held, ledger.Outcome{State: ledger.Uncertain, Error: ledger.Error{Code: "no_answer"}}))
		require.NoError(t, b.SettleAttempt(b.ctx, held, ledger.Found{MessageID: "1"}))
		require.NoError(t, b.SettleAttempt(b.ctx, held, ledger.Found{MessageID: "1"}))
		// One that was sent twice: replies to either copy count.
		twice := b.begun(task("twice"))
		require.NoError(t, b.CommitSent(b.ctx, twice, ledger.SentOutcome{MessageID: "2"}))
		require.NoError(t, b.CommitSent(b.ctx, twice, ledger.SentOutcome{MessageID: "3"}))
		b.due()
		require.ElementsMatch(t, []string{"1", "3"}, ids(b.claim(claimAll())))
	})
}

func TestWhatIsClaimedIsNobodyElsesUntilTheLeaseIsOver(t *testing.T) {
	t.Parallel()
	onEach(t, func(b *bundle) {
		for i := range 5 {
			b.sendAs(b.WithPolling(), fmt.Sprintf("k-%d", i), fmt.Sprintf("id-%d", i))
		}
		b.due()
		c := claimAll()
		c.Limit, c.Lease = 3, 2*time.Second
		first, second := b.claim(c), b.claim(c)
		require.Equal(t, []string{"id-0", "id-1", "id-2"}, ids(first))
		require.Equal(t, []string{"id-3", "id-4"}, ids(second))
		require.Empty(t, b.claim(c).Polls)
		require.Eventually(t, func() bool { return len(b.claim(c).Polls) == 3 }, 30*time.Second, 50*time.Millisecond,
			"whoever had them is gone")
	})
}

func TestTheNextLookIsWhenItWasSaidToBe(t *testing.T) {
	t.Parallel()
	onEach(t, func(b *bundle) {
		for _, id := range []string{"gone", "answered", "quiet"} {
			b.sendAs(b.WithPolling(), id, id)
		}
		b.due()
		c := b.claim(claimAll())
		require.Equal(t, []string{"answered", "gone", "quiet"}, ids(c))
		answered, gone, quiet := c.Polls[0], c.Polls[1], c.Polls[2]
		answered.AnsweredAt = time.Unix(1_700_000_000, 0).UTC()
		next := []ledger.NextPoll{
			{Poll: answered, At: c.Now.Add(-time.Second)}, {Poll: gone}, {Poll: quiet, At: c.Now.Add(time.Hour)},
		}
		require.NoError(t, b.Reschedule(b.ctx, next...))
		c = b.claim(claimAll())
		require.Equal(t, []string{"answered"}, ids(c))
		require.Equal(t, answered.AnsweredAt, c.Polls[0].AnsweredAt)
		require.Equal(t, answered.SentAt, c.Polls[0].SentAt)
		require.Equal(t, 2, c.Total)

		// Whoever comes late, because the lease was over, changes nothing.
		require.NoError(t, b.Reschedule(b.ctx, next...))
		require.Equal(t, 2, b.claim(claimAll()).Total)
	})
}

func TestThoseThatAreNearlyDueComeAlongWithOneThatIs(t *testing.T) {
	t.Parallel()
	onEach(t, func(b *bundle) {
		b.sendAs(b.WithPolling(), "k-1", "1")
		c := claimAll()
		c.Early = time.Minute
		require.Empty(t, b.claim(c).Polls)
		b.due()
		b.sendAs(b.WithPolling(), "k-2", "2")
		require.Equal(t, []string{"1", "2"}, ids(b.claim(c)))
	})
}

func TestAllWhoPollShareOnePace(t *testing.T) {
	t.Parallel()
	onEach(t, func(b *bundle) {
		other, err := ledger.New(b.rdb, "main", 0)
		require.NoError(t, err)
		b.sendAs(b.WithPolling(), "k-1", "1")
		b.sendAs(b.WithPolling(), "k-2", "2")
		b.due()
		c := claimAll()
		c.Limit, c.Interval = 1, time.Hour
		require.Len(t, b.claim(c).Polls, 1)
		claimed, err := other.ClaimPolls(b.ctx, c)
		require.NoError(t, err)
		require.Empty(t, claimed.Polls)
		require.InDelta(t, ledger.MaxPollDelay.Seconds(), claimed.Wait.Seconds(), 30)
		require.InDelta(t, time.Since(time.UnixMilli(1)).Hours(), claimed.Late.Hours(), 1)

		// Nobody waits longer than that, as where a clock was set.
		require.NoError(t, b.rdb.HSet(b.ctx, ledger.PollKey("main")+":pace", "at", time.Now().Add(time.Hour).UnixMilli()).Err())
		require.Equal(t, []string{"2"}, ids(b.claim(c)))
	})
}

func TestATurnComesAfterThoseBeforeIt(t *testing.T) {
	t.Parallel()
	redistest.EachAndCluster(t, func(t *testing.T, s *redistest.Server) {
		b := newBundle(t, s)
		b.claim(claimAll())
		for i := range 3 {
			wait, err := b.PollTurn(b.ctx, time.Minute)
			require.NoError(t, err)
			require.InDelta(t, float64(i)*60, wait.Seconds(), 10)
		}
		require.NoError(t, b.DelayPolls(b.ctx, 8*time.Minute))
		wait, err := b.PollTurn(b.ctx, time.Minute)
		require.NoError(t, err)
		require.InDelta(t, 8*60, wait.Seconds(), 10)
		require.NoError(t, b.DelayPolls(b.ctx, time.Second))
		b.sendAs(b.WithPolling(), "k", "1")
		b.due()
		c := b.claim(claimAll())
		require.Empty(t, c.Polls)
		require.InDelta(t, 9*60, c.Wait.Seconds(), 10)
	})
}

func TestWhatNobodyPollsAnyMoreIsForgotten(t *testing.T) {
	t.Parallel()
	onEach(t, func(b *bundle) {
		b.sendAs(b.WithPolling(), "k", "1")
		b.claim(claimAll())
		for _, key := range []string{ledger.PollKey("main"), ledger.PollKey("main") + ":pace"} {
			require.InDelta(t, ledger.DefaultTTL.Hours(), b.rdb.PTTL(b.ctx, key).Val().Hours(), 1)
		}
	})
}
