package ledger_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/intercom-dispatch/intercom-dispatch/ledger"
)

// uncertain leaves a message of which nobody knows whether it was created.
func (b *bundle) uncertain(key string) *ledger.Attempt {
	b.t.Helper()
	a := b.begun(task(key))
	b.commit(a, ledger.Uncertain)
	return a
}

func (b *bundle) held(key string) {
	b.t.Helper()
	require.NoError(b.t, b.Hold(b.ctx, b.uncertain(key)))
}

func (b *bundle) expired(key string) {
	b.t.Helper()
	a := b.begin(task(key), ledger.BeginOptions{ExpiresAt: time.Now().Add(-time.Hour)})
	require.Equal(b.t, ledger.Expired, a.State)
}

func TestReopenedMessagesMayBeSentOnceMore(t *testing.T) {
	t.Parallel()
	onEach(t, func(b *bundle) {
		b.commit(b.begun(task("failed")), ledger.Failed)
		b.held("held")
		b.uncertain("uncertain")
		b.expired("expired")
		for key, copied := range map[string]bool{"failed": false, "held": true, "uncertain": true, "expired": false} {
			r := b.lookup(key)
			from := r.State
			require.NoError(b.t, b.Reopen(b.ctx, r))
			require.NoError(b.t, b.Reopen(b.ctx, r))
			r = b.lookup(key)
			require.Equal(b.t, ledger.Waiting, r.State, key)
			require.Equal(b.t, copied, r.PossibleDuplicate, key)
			require.NotEmpty(b.t, r.Payload, "its task may have to be made anew")
			require.NotContains(b.t, b.listed(from), key)
			require.Contains(b.t, b.listed(ledger.Waiting), key)

			a := b.begin(task(key), ledger.BeginOptions{ExpiresAt: time.Now().Add(time.Hour)})
			require.Equal(b.t, ledger.Begun, a.Verdict, key)
			b.sent(a, "id-"+key)
			require.Equal(b.t, "id-"+key, b.lookup(key).MessageID)
		}
	})
}

func TestAReopenedMessageThatHadExpiredDoesNotExpireAgain(t *testing.T) {
	t.Parallel()
	onEach(t, func(b *bundle) {
		b.expired("k")
		require.NoError(b.t, b.Reopen(b.ctx, b.lookup("k")))
		a := b.begin(task("k"), ledger.BeginOptions{ExpiresAt: time.Now().Add(-time.Hour)})
		require.Equal(b.t, ledger.Begun, a.Verdict)
	})
}

func TestAMessageInDoubtIsResentThoughItsTimeIsOver(t *testing.T) {
	t.Parallel()
	onEach(t, func(b *bundle) {
		over := ledger.BeginOptions{ExpiresAt: time.Now().Add(-time.Hour)}
		b.uncertain("held")
		a := b.begin(task("held"), ledger.BeginOptions{ExpiresAt: over.ExpiresAt, Settled: 1})
		require.Equal(b.t, ledger.Held, a.State)
		b.uncertain("uncertain")
		for _, key := range []string{"held", "uncertain"} {
			require.NoError(b.t, b.Reopen(b.ctx, b.lookup(key)))
			require.Equal(b.t, ledger.Begun, b.begin(task(key), over).Verdict, key)
		}
		b.commit(b.begun(task("failed")), ledger.Failed)
		require.NoError(b.t, b.Reopen(b.ctx, b.lookup("failed")))
		require.Equal(b.t, ledger.Expired, b.begin(task("failed"), over).State, "nobody has said that it is worth sending late")
	})
}

func TestWhatMayExistIsHeldWhenItsTimeIsOver(t *testing.T) {
	t.Parallel()
	onEach(t, func(b *bundle) {
		b.uncertain("k")
		again := b.begin(task("k"), ledger.BeginOptions{Settled: 1})
		require.Equal(b.t, ledger.Begun, again.Verdict)
		b.commit(again, ledger.Waiting)

		late := ledger.BeginOptions{ExpiresAt: time.Now().Add(-time.Hour)}
		require.Equal(b.t, ledger.Held, b.begin(task("k"), late).State, "the first attempt may have created it")
		require.Equal(b.t, []string{"k"}, b.unsettledKeys("c1"))
		require.NoError(b.t, b.Reopen(b.ctx, b.lookup("k")))
		require.Equal(b.t, ledger.Begun, b.begin(task("k"), late).Verdict, "a person has decided")
	})
}

func TestWhatIsSentOrUnderWayIsNotReopenedOrDropped(t *testing.T) {
	t.Parallel()
	onEach(t, func(b *bundle) {
		b.sent(b.begun(task("sent")), "19")
		b.begun(task("sending"))
		for key, s := range map[string]ledger.State{"sent": ledger.Sent, "sending": ledger.Sending} {
			r := b.lookup(key)
			b.requireFenced(b.Reopen(b.ctx, r), s)
			b.requireFenced(b.Drop(b.ctx, r), s)
		}
		require.Empty(b.t, b.listed(ledger.Waiting))
	})
}

func TestDroppedMessagesAreNotSent(t *testing.T) {
	t.Parallel()
	onEach(t, func(b *bundle) {
		b.commit(b.begun(task("failed")), ledger.Failed)
		b.held("held")
		b.uncertain("uncertain")
		b.expired("expired")
		for _, key := range []string{"failed", "held", "uncertain", "expired"} {
			r := b.lookup(key)
			require.NoError(b.t, b.Drop(b.ctx, r))
			require.NoError(b.t, b.Drop(b.ctx, r))
			require.NotContains(b.t, b.listed(r.State), key)
			a := b.begin(task(key), ledger.BeginOptions{})
			require.Equal(b.t, ledger.Refused, a.Verdict)
			require.Equal(b.t, ledger.Cancelled, a.State)
		}
		// It turns out to exist all the same.
		require.NoError(b.t, b.Settle(b.ctx, b.lookup("held"), ledger.Found{MessageID: "19"}))
		require.Equal(b.t, ledger.Sent, b.lookup("held").State)
	})
}

func TestAPersonResolvesWhatIsHeld(t *testing.T) {
	t.Parallel()
	onEach(t, func(b *bundle) {
		b.held("held")
		require.NoError(b.t, b.Resolve(b.ctx, b.lookup("held"), ledger.Found{MessageID: "19"}))
		require.Equal(b.t, ledger.Sent, b.lookup("held").State)
		require.Equal(b.t, "19", b.lookup("held").MessageID)

		b.commit(b.begun(task("failed")), ledger.Failed)
		require.NoError(b.t, b.Resolve(b.ctx, b.lookup("failed"), ledger.Found{MessageID: "20"}))

		b.held("typo")
		var taken *ledger.TakenError
		require.ErrorAs(b.t, b.Resolve(b.ctx, b.lookup("typo"), ledger.Found{MessageID: "19"}), &taken)
		require.Equal(b.t, ledger.Held, b.lookup("typo").State)

		b.requireFenced(b.Resolve(b.ctx, b.lookup("held"), ledger.Found{MessageID: "21"}), ledger.Sent)
		b.begun(task("sending"))
		b.requireFenced(b.Resolve(b.ctx, b.lookup("sending"), ledger.Found{MessageID: "22"}), ledger.Sending)
	})
}

func TestListsOneErrorCode(t *testing.T) {
	t.Parallel()
	onEach(t, func(b *bundle) {
		for key, code := range map[string]string{"a": "not_found", "b": "gave_up", "c": "not_found"} {
			require.NoError(b.t, b.Commit(b.ctx, b.begun(task(key)), ledger.Outcome{State: ledger.Failed, Error: ledger.Error{Code: code}}))
		}
		records, err := b.List(b.ctx, ledger.Query{State: ledger.Failed, Code: "not_found"})
		require.NoError(b.t, err)
		require.Len(b.t, records, 2)
		for _, r := range records {
			require.Equal(b.t, "not_found", r.LastError.Code)
			require.Empty(b.t, r.Payload, "a long list would hold all messages")
			require.Equal(b.t, []string{"c1", "c2"}, r.ContactIDs)
		}
	})
}

func TestOnlyTheAttemptThatIsInDoubtIsHeld(t *testing.T) {
	t.Parallel()
	onEach(t, func(b *bundle) {
		first := b.uncertain("k")
		second := b.begin(task("k"), ledger.BeginOptions{Settled: 1})
		b.requireFenced(b.Hold(b.ctx, second), ledger.Sending)
		b.commit(second, ledger.Uncertain)
		b.requireFenced(b.Hold(b.ctx, first), ledger.Uncertain)
		require.NoError(b.t, b.Hold(b.ctx, second))
	})
}
