package ledger_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/intercom-dispatch/intercom-dispatch/ledger"
)

// to is a task for one contact.
func to(contact, key string) ledger.Task {
	t := task(key)
	t.ContactIDs = []string{contact}
	return t
}

func toContact(contact string, wait time.Duration) ledger.BeginOptions {
	return ledger.BeginOptions{Contact: contact, ContactWait: wait, FollowWait: 20 * time.Second}
}

// missing commits that the contact is missing, and when it is asked for again.
func (b *bundle) missing(a *ledger.Attempt, next time.Duration) {
	b.t.Helper()
	o := ledger.Outcome{
		State: ledger.Waiting, Error: ledger.Error{Code: "not_found", Status: 404, Message: "User Not Found"},
		ContactMissing: true, ContactMissingSince: a.Now, ContactTries: a.ContactTries + 1, NextAttemptAt: a.Now.Add(next),
	}
	if !a.ContactMissingSince.IsZero() {
		o.ContactMissingSince = a.ContactMissingSince
	}
	require.NoError(b.t, b.Commit(b.ctx, a, o))
}

func TestAMessageFollowsWhileItsContactIsMissing(t *testing.T) {
	t.Parallel()
	onEach(t, func(b *bundle) {
		b.missing(b.begin(to("c", "1"), toContact("c", time.Hour)), time.Hour)
		a := b.begin(to("c", "2"), toContact("c", 2*time.Hour))
		require.Equal(b.t, ledger.Follow, a.Verdict)
		require.WithinDuration(b.t, a.Now.Add(time.Hour+20*time.Second), a.BackAt, 5*time.Second)
		r := b.lookup("2")
		require.Equal(b.t, ledger.Waiting, r.State)
		require.Zero(b.t, r.Attempts, "no request was made")
		require.Equal(b.t, "User Not Found", r.LastError.Message)
		require.Equal(b.t, a.BackAt, r.NextAttemptAt)
		require.Equal(b.t, []byte("the task"), r.Payload)
		require.ElementsMatch(b.t, []string{"1", "2"}, b.listed(ledger.Waiting))

		other := b.begin(to("d", "3"), toContact("d", time.Hour))
		require.Equal(b.t, ledger.Begun, other.Verdict, "another contact")
		several := b.begin(task("4"), ledger.BeginOptions{})
		require.Equal(b.t, ledger.Begun, several.Verdict, "a message that does not follow")

		waiting, err := b.Appeared(b.ctx, "c")
		require.NoError(b.t, err)
		if len(waiting) > 0 { // A repeat returns none.
			require.Equal(b.t, []ledger.WaitingMessage{{Key: "1", Priority: "normal"}, {Key: "2", Priority: "normal"}}, waiting)
		}
		a = b.begin(to("c", "2"), toContact("c", time.Hour))
		require.Equal(b.t, ledger.Begun, a.Verdict)
		require.False(b.t, a.Probe)
		require.False(b.t, a.ContactMissingSince.IsZero(), "how long it has waited is not known")
	})
}

func TestOneProbeIsUnderWayAtATime(t *testing.T) {
	t.Parallel()
	onEach(t, func(b *bundle) {
		b.missing(b.begin(to("c", "1"), toContact("c", time.Hour)), 0) // The next probe is due.
		probe := b.begin(to("c", "2"), toContact("c", time.Hour))
		require.Equal(b.t, ledger.Begun, probe.Verdict)
		require.True(b.t, probe.Probe)
		require.Equal(b.t, 1, probe.ContactTries, "it goes on where the other one was")
		require.Equal(b.t, ledger.Follow, b.begin(to("c", "1"), toContact("c", time.Hour)).Verdict)
		require.Equal(b.t, ledger.Follow, b.begin(to("c", "3"), toContact("c", time.Hour)).Verdict)

		// An outcome that says nothing about the contact lets another one ask.
		require.NoError(b.t, b.Commit(b.ctx, probe, ledger.Outcome{State: ledger.Waiting, Error: ledger.Error{Code: "x"}}))
		probe = b.begin(to("c", "3"), toContact("c", time.Hour))
		require.True(b.t, probe.Probe)
		b.missing(probe, time.Hour)
		require.Equal(b.t, ledger.Follow, b.begin(to("c", "2"), toContact("c", time.Hour)).Verdict)
	})
}

func TestAContactThatNobodyHasAskedForInAWhileIsAskedForSoonAgain(t *testing.T) {
	t.Parallel()
	onEach(t, func(b *bundle) {
		b.missing(b.begin(to("c", "1"), toContact("c", time.Hour)), 0)
		b.missing(b.begin(to("c", "1"), toContact("c", time.Hour)), 0)
		require.Equal(b.t, 2, b.begin(to("c", "2"), toContact("c", time.Hour)).ContactTries)
		long := time.Now().Add(-time.Hour).UnixMilli()
		require.NoError(b.t, b.rdb.HSet(b.ctx, "dispatch:{main}:missing:c", "l", long, "u", 0).Err())
		again := b.begin(to("c", "3"), toContact("c", time.Hour))
		require.True(b.t, again.Probe)
		require.Zero(b.t, again.ContactTries)
	})
}

func TestAFollowerFailsByAnAnswerFromAfterItsContactWait(t *testing.T) {
	t.Parallel()
	onEach(t, func(b *bundle) {
		first := b.begin(to("c", "1"), toContact("c", time.Hour))
		b.missing(first, time.Hour)
		b.tick()
		require.Equal(b.t, ledger.Follow, b.begin(to("c", "2"), toContact("c", time.Hour)).Verdict)
		// Its wait is over, and no answer has come since.
		b.tick()
		last := b.begin(to("c", "2"), toContact("c", 0))
		require.Equal(b.t, ledger.Begun, last.Verdict)
		b.missing(last, time.Hour)
		a := b.begin(to("c", "2"), toContact("c", 0))
		require.Equal(b.t, ledger.Refused, a.Verdict)
		require.Equal(b.t, ledger.Failed, a.State)
		r := b.lookup("2")
		require.Equal(b.t, ledger.Failed, r.State)
		require.Equal(b.t, "the contact did not become messageable within the contact wait of 0s: User Not Found", r.LastError.Message)
		require.Equal(b.t, 404, r.LastError.Status)
		require.Equal(b.t, []string{"2"}, b.listed(ledger.Failed))

		// A person's retry counts anew, and asks.
		require.NoError(b.t, b.Reopen(b.ctx, b.lookup("2")))
		require.Equal(b.t, ledger.Begun, b.begin(to("c", "2"), toContact("c", time.Hour)).Verdict)
	})
}

func TestAnAnswerFromBeforeTheContactHasAppearedIsNoReasonToWait(t *testing.T) {
	t.Parallel()
	onEach(t, func(b *bundle) {
		b.missing(b.begin(to("c", "1"), toContact("c", time.Hour)), 0)
		probe := b.begin(to("c", "1"), toContact("c", time.Hour))
		require.True(b.t, probe.Probe)
		_, err := b.Appeared(b.ctx, "c")
		require.NoError(b.t, err)
		b.missing(probe, time.Hour) // Its answer was given before.
		require.Equal(b.t, ledger.Begun, b.begin(to("c", "2"), toContact("c", time.Hour)).Verdict)
	})
}

func TestWhatA404MeansIsSaidToAllWhoWait(t *testing.T) {
	t.Parallel()
	onEach(t, func(b *bundle) {
		a := b.begin(to("c", "1"), toContact("c", time.Hour))
		b.missing(a, time.Hour)
		state, err := b.Explain(b.ctx, a, ledger.Error{Code: "not_found", Message: "it is new"}, ledger.NotFinal)
		require.NoError(b.t, err)
		require.Equal(b.t, ledger.Waiting, state)
		b.begin(to("c", "2"), toContact("c", time.Hour))
		require.Equal(b.t, "it is new", b.lookup("2").LastError.Message)

		state, err = b.Explain(b.ctx, a, ledger.Error{Code: "contact_merged", Message: "merged"}, ledger.FinalForContact)
		require.NoError(b.t, err)
		require.Equal(b.t, ledger.Failed, state)
		for _, key := range []string{"2", "3"} {
			refused := b.begin(to("c", key), toContact("c", time.Hour))
			require.Equal(b.t, ledger.Refused, refused.Verdict)
			require.Equal(b.t, ledger.Failed, b.lookup(key).State)
			require.Equal(b.t, "merged", b.lookup(key).LastError.Message)
		}
		require.Empty(b.t, b.listed(ledger.Waiting))

		later := b.begin(to("d", "4"), toContact("d", time.Hour))
		b.sent(later, "19")
		state, err = b.Explain(b.ctx, later, ledger.Error{Code: "x"}, ledger.FinalForMessage)
		require.NoError(b.t, err)
		require.Empty(b.t, state, "what is sent is not explained")
		require.Equal(b.t, ledger.Sent, b.lookup("4").State)
	})
}

func TestMergesAreFollowedToTheirEnd(t *testing.T) {
	t.Parallel()
	onEach(t, func(b *bundle) {
		require.NoError(b.t, b.Merged(b.ctx, "a", "b"))
		require.NoError(b.t, b.Merged(b.ctx, "b", "c"))
		require.NoError(b.t, b.Deleted(b.ctx, "a"), "Intercom may say so as well")
		require.NoError(b.t, b.Deleted(b.ctx, "d"))
		for id, want := range map[string]*ledger.Former{
			"a": {MergedInto: "c"}, "b": {MergedInto: "c"}, "c": nil, "d": {},
		} {
			former, err := b.Former(b.ctx, id)
			require.NoError(b.t, err)
			require.Equal(b.t, want, former, id)
		}
		absorbed, err := b.Absorbed(b.ctx, "c")
		require.NoError(b.t, err)
		require.ElementsMatch(b.t, []string{"a", "b"}, absorbed)
	})
}

func TestANotificationIsParkedUntilItsMessageIsKnown(t *testing.T) {
	t.Parallel()
	onEach(t, func(b *bundle) {
		parked, err := b.Park(b.ctx, "19", "n1", time.Hour)
		require.NoError(b.t, err)
		require.True(b.t, parked)
		a := b.begun(task("1"))
		b.sent(a, "19")
		require.True(b.t, a.Parked)
		found, err := b.Unpark(b.ctx, "19")
		require.NoError(b.t, err)
		require.Equal(b.t, []string{"n1"}, found)
		parked, err = b.Park(b.ctx, "19", "n2", time.Hour)
		require.NoError(b.t, err)
		require.False(b.t, parked, "it is known by now")
		a = b.begun(task("2"))
		b.sent(a, "20")
		require.False(b.t, a.Parked)

		// An attempt in doubt takes the other script.
		_, err = b.Park(b.ctx, "21", "n3", time.Hour)
		require.NoError(b.t, err)
		a = b.begun(task("3"))
		b.commit(a, ledger.Uncertain)
		a = b.begin(task("3"), ledger.BeginOptions{Settled: 1})
		b.sent(a, "21")
		require.True(b.t, a.Parked)
	})
}
