package ledger_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/intercom-dispatch/intercom-dispatch/ledger"
)

// unsettledKeys are the keys of the messages to a contact that may exist.
func (b *bundle) unsettledKeys(contact string) []string {
	b.t.Helper()
	records, err := b.Unsettled(b.ctx, contact)
	require.NoError(b.t, err)
	var keys []string
	for _, r := range records {
		keys = append(keys, r.Key)
	}
	return keys
}

func (b *bundle) there(worker string) {
	b.t.Helper()
	require.NoError(b.t, b.rdb.HSet(b.ctx, ledger.WorkersKey("main"), worker, "x").Err())
}

func (b *bundle) gone(worker string) {
	b.t.Helper()
	require.NoError(b.t, b.rdb.HDel(b.ctx, ledger.WorkersKey("main"), worker).Err())
}

func TestAnAttemptIsUnderWayAsLongAsItsWorkerIsThere(t *testing.T) {
	t.Parallel()
	onEach(t, func(b *bundle) {
		b.there("w1")
		b.begin(task("k"), ledger.BeginOptions{Lease: time.Millisecond, Worker: "w1"})
		b.tick()
		b.tick()
		require.Equal(b.t, ledger.Busy, b.begin(task("k"), ledger.BeginOptions{Worker: "w2"}).Verdict,
			"its worker may be writing the result, however long that takes")

		b.begin(task("other"), ledger.BeginOptions{Lease: time.Hour, Worker: "w1"})
		b.gone("w1")
		for _, key := range []string{"k", "other"} {
			a := b.begin(task(key), ledger.BeginOptions{Worker: "w2"})
			require.Equal(b.t, ledger.Unsettled, a.Verdict, "nobody waits for the lease of a worker that is gone")
			require.Equal(b.t, "worker_lost", b.lookup(key).LastError.Code)
			require.Equal(b.t, []byte("the task"), b.lookup(key).Payload)
		}
		require.ElementsMatch(b.t, []string{"k", "other"}, b.unsettledKeys("c1"))
	})
}

func TestAFoundMessageIsSettled(t *testing.T) {
	t.Parallel()
	onEach(t, func(b *bundle) {
		a := b.begun(task("k"))
		b.commit(a, ledger.Uncertain)
		again := b.begin(task("k"), ledger.BeginOptions{})
		require.Equal(b.t, ledger.Unsettled, again.Verdict)
		require.False(b.t, again.UnsettledSince.After(a.Now))
		require.WithinDuration(b.t, a.Now, again.UnsettledSince, time.Minute)
		require.False(b.t, again.UncertainAt.Before(a.Now))
		require.Equal(b.t, []string{"k"}, b.unsettledKeys("c1"))
		require.Empty(b.t, b.unsettledKeys("c2"), "only the first contact counts")

		for range 2 {
			require.NoError(b.t, b.SettleAttempt(b.ctx, again, ledger.Found{MessageID: "19", ConversationID: "613"}))
		}
		r := b.lookup("k")
		require.Equal(b.t, ledger.Sent, r.State)
		require.Equal(b.t, "19", r.MessageID)
		require.Equal(b.t, "613", r.ConversationID)
		require.False(b.t, r.PossibleDuplicate)
		require.Nil(b.t, r.LastError)
		require.Empty(b.t, r.Payload, "a sent record holds no message")
		require.Empty(b.t, b.unsettledKeys("c1"))
		require.Empty(b.t, b.listed(ledger.Uncertain))
		byID, err := b.LookupMessage(b.ctx, "19")
		require.NoError(b.t, err)
		require.Equal(b.t, "k", byID.Key)
	})
}

func TestOneFoundMessageSettlesOnlyOneOfTwo(t *testing.T) {
	t.Parallel()
	onEach(t, func(b *bundle) {
		b.commit(b.begun(task("k1")), ledger.Uncertain)
		b.commit(b.begun(task("k2")), ledger.Uncertain)
		require.NoError(b.t, b.Settle(b.ctx, b.lookup("k1"), ledger.Found{MessageID: "19"}))
		err := b.Settle(b.ctx, b.lookup("k2"), ledger.Found{MessageID: "19"})
		var taken *ledger.TakenError
		require.ErrorAs(b.t, err, &taken)
		require.Equal(b.t, "k1", taken.Key)
		require.Equal(b.t, ledger.Uncertain, b.lookup("k2").State)
	})
}

func TestWhatIsSettledIsNotSettledAgain(t *testing.T) {
	t.Parallel()
	onEach(t, func(b *bundle) {
		b.commit(b.begun(task("waiting")), ledger.Waiting)
		b.requireFenced(b.Settle(b.ctx, b.lookup("waiting"), ledger.Found{MessageID: "19"}), ledger.Waiting)
		b.sent(b.begun(task("sent")), "20")
		b.requireFenced(b.Settle(b.ctx, b.lookup("sent"), ledger.Found{MessageID: "19"}), ledger.Sent)
		_, err := b.LookupMessage(b.ctx, "19")
		require.ErrorIs(b.t, err, ledger.ErrNotFound)
		require.ErrorIs(b.t, b.Settle(b.ctx, &ledger.Record{Key: "none"}, ledger.Found{MessageID: "19"}), ledger.ErrNotFound)
	})
}

func TestAttemptThatSpeaksLateLeavesNothingToSettle(t *testing.T) {
	t.Parallel()
	onEach(t, func(b *bundle) {
		slow := b.begin(task("k"), ledger.BeginOptions{Lease: time.Millisecond})
		b.eventually(func() *ledger.Attempt { return b.begin(task("k"), ledger.BeginOptions{}) }, ledger.Unsettled)
		b.commit(slow, ledger.Waiting)
		require.Empty(b.t, b.unsettledKeys("c1"))
		require.Zero(b.t, b.begun(task("k")).UnsettledSince)
	})
}

func TestACopyOfAMessageThatWasSentAgainIsStillFound(t *testing.T) {
	t.Parallel()
	onEach(t, func(b *bundle) {
		first := b.begun(task("k"))
		b.commit(first, ledger.Uncertain)
		second := b.begin(task("k"), ledger.BeginOptions{Settled: 1})
		require.Equal(b.t, ledger.Begun, second.Verdict)
		require.Equal(b.t, []byte("the task"), b.lookup("k").Payload)
		b.sent(second, "20")
		require.Equal(b.t, []string{"k"}, b.unsettledKeys("c1"))
		require.False(b.t, b.lookup("k").UnsettledSince.After(first.Now))

		require.NoError(b.t, b.Settle(b.ctx, b.lookup("k"), ledger.Found{MessageID: "19"}))
		for _, id := range []string{"19", "20"} {
			r, err := b.LookupMessage(b.ctx, id)
			require.NoError(b.t, err)
			require.Equal(b.t, "20", r.MessageID)
			require.True(b.t, r.PossibleDuplicate)
		}
	})
}

func TestAFoundMessageOvertakesTheNextAttempt(t *testing.T) {
	t.Parallel()
	onEach(t, func(b *bundle) {
		b.commit(b.begun(task("k")), ledger.Uncertain)
		second := b.begin(task("k"), ledger.BeginOptions{Settled: 1})
		require.NoError(b.t, b.Settle(b.ctx, b.lookup("k"), ledger.Found{MessageID: "19"}))
		require.Equal(b.t, ledger.Sent, b.lookup("k").State)
		b.requireFenced(b.Commit(b.ctx, second, ledger.Outcome{State: ledger.Failed}), ledger.Sent)
		b.sent(second, "20")
		r := b.lookup("k")
		require.Equal(b.t, "19", r.MessageID)
		require.True(b.t, r.PossibleDuplicate)
	})
}

func TestTheAnswerOfAnAttemptOutweighsASettling(t *testing.T) {
	t.Parallel()
	onEach(t, func(b *bundle) {
		b.commit(b.begun(task("twin")), ledger.Uncertain)
		a := b.begun(task("k"))
		require.NoError(b.t, b.Settle(b.ctx, b.lookup("twin"), ledger.Found{MessageID: "19"}))
		// Where Redis got it twice, the second answer has nothing to tell.
		if err := b.CommitSent(b.ctx, a, ledger.SentOutcome{MessageID: "19"}); err != nil {
			var taken *ledger.TakenError
			require.ErrorAs(b.t, err, &taken)
			require.Equal(b.t, "twin", taken.Key)
		}
		r, err := b.LookupMessage(b.ctx, "19")
		require.NoError(b.t, err)
		require.Equal(b.t, "k", r.Key)
	})
}

func TestAMessageWithoutIDIsLookedForAndListed(t *testing.T) {
	t.Parallel()
	onEach(t, func(b *bundle) {
		a := b.begun(task("k"))
		cause := &ledger.Error{Code: "unusable_answer", Status: 200}
		require.NoError(b.t, b.CommitSent(b.ctx, a, ledger.SentOutcome{Error: cause}))
		require.NoError(b.t, b.CommitSent(b.ctx, a, ledger.SentOutcome{Error: cause}))
		b.sent(b.begun(task("known")), "20")
		again := b.begin(task("k"), ledger.BeginOptions{})
		require.True(b.t, again.Unidentified())
		require.False(b.t, again.UnsettledSince.After(a.Now))
		require.False(b.t, b.begin(task("known"), ledger.BeginOptions{}).Unidentified())
		require.Equal(b.t, []string{"k"}, b.listed(ledger.Sent))
		require.Equal(b.t, []string{"k"}, b.unsettledKeys("c1"))
		require.Equal(b.t, []byte("the task"), b.lookup("k").Payload)

		sentAt := b.lookup("k").SentAt
		b.tick()
		require.NoError(b.t, b.SettleAttempt(b.ctx, again, ledger.Found{MessageID: "19"}))
		r := b.lookup("k")
		require.Equal(b.t, "19", r.MessageID)
		require.Equal(b.t, sentAt, r.SentAt)
		require.Nil(b.t, r.LastError)
		require.Empty(b.t, r.Payload)
		require.Empty(b.t, b.listed(ledger.Sent))
		require.False(b.t, b.begin(task("k"), ledger.BeginOptions{}).Unidentified())
	})
}

func TestLookAgainShowsTheNextLook(t *testing.T) {
	t.Parallel()
	onEach(t, func(b *bundle) {
		a := b.begun(task("k"))
		b.commit(a, ledger.Uncertain)
		at := a.Now.Add(time.Minute)
		require.NoError(b.t, b.LookAgain(b.ctx, a, at))
		require.Equal(b.t, at, b.lookup("k").NextAttemptAt)
		require.NoError(b.t, b.Hold(b.ctx, a))
		b.requireFenced(b.LookAgain(b.ctx, a, at.Add(time.Minute)), ledger.Held)
		require.Zero(b.t, b.lookup("k").NextAttemptAt)
	})
}

func TestSettlingAnAttemptAllowsNoneAfterIt(t *testing.T) {
	t.Parallel()
	onEach(t, func(b *bundle) {
		b.commit(b.begun(task("k")), ledger.Uncertain)
		b.commit(b.begin(task("k"), ledger.BeginOptions{Settled: 1}), ledger.Uncertain)
		late := b.begin(task("k"), ledger.BeginOptions{Settled: 1})
		require.Equal(b.t, ledger.Unsettled, late.Verdict, "nobody has looked for the second one")
		require.Equal(b.t, 2, late.Number)
	})
}

func TestAnAttemptThatItsWorkerDoesNotHaveInHandIsLost(t *testing.T) {
	t.Parallel()
	onEach(t, func(b *bundle) {
		b.there("w1")
		b.begin(task("k"), ledger.BeginOptions{Worker: "w1"})
		busy := b.begin(task("k"), ledger.BeginOptions{Worker: "w2"})
		require.Equal(b.t, ledger.Busy, busy.Verdict)
		require.Equal(b.t, "w1", busy.Worker)
		require.Equal(b.t, ledger.Busy, b.begin(task("k"), ledger.BeginOptions{Worker: "w2", NotInHand: 2}).Verdict)
		require.Equal(b.t, ledger.Unsettled, b.begin(task("k"), ledger.BeginOptions{Worker: "w2", NotInHand: 1}).Verdict)
	})
}

// TestAClockThatStepsBackDoesNotForgetADoubt has two attempts begin in the same
// millisecond.
func TestAClockThatStepsBackDoesNotForgetADoubt(t *testing.T) {
	t.Parallel()
	onEach(t, func(b *bundle) {
		b.commit(b.begun(task("k")), ledger.Uncertain)
		again := b.begin(task("k"), ledger.BeginOptions{Settled: 1})
		record := ledger.RecordKey("main", "k")
		require.NoError(b.t, b.rdb.HSet(b.ctx, record, "us", b.rdb.HGet(b.ctx, record, "b").Val()).Err())
		b.commit(again, ledger.Waiting)
		require.Equal(b.t, []string{"k"}, b.unsettledKeys("c1"), "the first attempt may still have created it")
	})
}
