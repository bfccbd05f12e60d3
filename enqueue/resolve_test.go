package enqueue_test

import (
	"testing"

	"github.com/hibiken/asynq"
	"github.com/stretchr/testify/require"

	"github.com/intercom-dispatch/intercom-dispatch/enqueue"
	"github.com/intercom-dispatch/intercom-dispatch/intercom"
	"github.com/intercom-dispatch/intercom-dispatch/ledger"
)

func (b *bundle) requireNotResolvable(err error, key string, s ledger.State) {
	b.t.Helper()
	var refused *enqueue.NotResolvableError
	require.ErrorAs(b.t, err, &refused)
	require.Equal(b.t, &enqueue.NotResolvableError{Key: key, State: s}, refused)
}

func TestAPersonKnowsThatAMessageWasSent(t *testing.T) {
	t.Parallel()
	onEach(t, func(b *bundle) {
		ctx := b.t.Context()
		for state, end := range endings() {
			key := string(state)
			b.enqueue(message(key), enqueue.Key(key))
			end(b, key)
			if state == ledger.Held {
				require.NoError(b.t, b.inspector.ArchiveTask(normalQueue, key))
			}
			require.NoError(b.t, b.ResolveSent(ctx, key, "id-"+key), key)
			require.NoError(b.t, b.ResolveSent(ctx, key, "id-"+key), "a second time is the same as once")
			r, err := b.ByMessageID(ctx, "id-"+key)
			require.NoError(b.t, err)
			require.Equal(b.t, key, r.Key)
			require.Equal(b.t, ledger.Sent, r.State)
			require.False(b.t, r.PossibleDuplicate)
			b.requireNotResolvable(b.ResolveSent(ctx, key, "another"), key, ledger.Sent)
			b.requireNotRetryable(key, ledger.Sent)
		}
		require.Zero(b.t, b.taskState("held"), "in the archive it would only be in the way")
		// A task that is still to run is the worker's to end.
		require.Equal(b.t, asynq.TaskStatePending, b.taskState("uncertain"))
		a, err := b.ledger.Begin(ctx, b.task("uncertain"), ledger.BeginOptions{})
		require.NoError(b.t, err)
		require.Equal(b.t, ledger.Refused, a.Verdict)

		b.enqueue(message("typo"), enqueue.Key("typo"))
		endings()[ledger.Held](b, "typo")
		var taken *ledger.TakenError
		require.ErrorAs(b.t, b.ResolveSent(ctx, "typo", "id-held"), &taken)
		require.Equal(b.t, "held", taken.Key)
		for _, id := range []string{"", "1 2", "1\n", "é"} {
			var invalid *intercom.ValidationError
			require.ErrorAs(b.t, b.ResolveSent(ctx, "typo", id), &invalid, id)
			require.Equal(b.t, "message_id", invalid.Field)
		}
		require.Equal(b.t, ledger.Held, b.state("typo"))
	})
}

func TestTheIDOfASentMessageIsLearnedLater(t *testing.T) {
	t.Parallel()
	onEach(t, func(b *bundle) {
		b.enqueue(message("hi"), enqueue.Key("k"))
		cause := &ledger.Error{Code: "unusable_answer"}
		require.NoError(b.t, b.ledger.CommitSent(b.t.Context(), b.begin("k"), ledger.SentOutcome{Error: cause}))
		require.NoError(b.t, b.ResolveSent(b.t.Context(), "k", "19"))
		r, err := b.ByMessageID(b.t.Context(), "19")
		require.NoError(b.t, err)
		require.Equal(b.t, "k", r.Key)
		require.Equal(b.t, "19", r.MessageID)
	})
}

func TestADroppedMessageIsNotSent(t *testing.T) {
	t.Parallel()
	onEach(t, func(b *bundle) {
		ctx := b.t.Context()
		for state, end := range endings() {
			key := string(state)
			b.enqueue(message(key), enqueue.Key(key))
			end(b, key)
			if state == ledger.Failed {
				require.NoError(b.t, b.inspector.ArchiveTask(normalQueue, key))
			}
			require.NoError(b.t, b.Drop(ctx, key), key)
			require.NoError(b.t, b.Drop(ctx, key), "a second time is the same as once")
			require.Equal(b.t, ledger.Cancelled, b.state(key))
		}
		require.Zero(b.t, b.taskState("failed"))
		a, err := b.ledger.Begin(ctx, b.task("held"), ledger.BeginOptions{})
		require.NoError(b.t, err)
		require.Equal(b.t, ledger.Refused, a.Verdict)
		require.Equal(b.t, ledger.Cancelled, a.State)
	})
}

func TestThereIsNothingToDecideAboutWhatIsOnItsWay(t *testing.T) {
	t.Parallel()
	onEach(t, func(b *bundle) {
		ctx := b.t.Context()
		b.enqueue(message("queued"), enqueue.Key("queued"))
		b.enqueue(message("sending"), enqueue.Key("sending"))
		b.begin("sending")
		for _, s := range []ledger.State{ledger.Queued, ledger.Sending} {
			b.requireNotResolvable(b.ResolveSent(ctx, string(s), "19"), string(s), s)
			b.requireNotResolvable(b.Drop(ctx, string(s)), string(s), s)
			require.Equal(b.t, s, b.state(string(s)))
		}
		b.enqueue(message("waiting"), enqueue.Key("waiting"))
		b.commit("waiting", ledger.Outcome{State: ledger.Waiting})
		b.requireNotResolvable(b.ResolveSent(ctx, "waiting", "19"), "waiting", ledger.Waiting)
		require.ErrorIs(b.t, b.ResolveSent(ctx, "unknown", "19"), enqueue.ErrNotFound)
		require.ErrorIs(b.t, b.Drop(ctx, "unknown"), enqueue.ErrNotFound)
	})
}
