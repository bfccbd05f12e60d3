package ledger_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/intercom-dispatch/intercom-dispatch/internal/redistest"
	"github.com/intercom-dispatch/intercom-dispatch/ledger"
)

// bundle is a ledger on a server of the test's own.
type bundle struct {
	*ledger.Ledger

	t   *testing.T
	rdb redis.UniversalClient
	ctx context.Context //nolint:containedctx // the test's
}

// onEach runs a test on every kind of Redis, and on one to which each script is
// sent twice.
func onEach(t *testing.T, run func(*bundle)) {
	t.Helper()
	redistest.EachAndCluster(t, func(t *testing.T, s *redistest.Server) {
		t.Helper()
		run(newBundle(t, s))
	})
	// go-redis sends a command again when the connection breaks before the
	// answer: everything must look the same then.
	t.Run("repeated", func(t *testing.T) {
		t.Parallel()
		b := newBundle(t, redistest.Start(t, redistest.Options{}))
		b.rdb.AddHook(redistest.Twice{})
		run(b)
	})
}

func newBundle(t *testing.T, s *redistest.Server) *bundle {
	t.Helper()
	rdb := s.Client(t)
	l, err := ledger.New(rdb, "main", 0)
	require.NoError(t, err)
	return &bundle{Ledger: l, t: t, rdb: rdb, ctx: t.Context()}
}

func task(key string) ledger.Task {
	return ledger.Task{
		Key: key, Enqueued: "enqueueing-1", Digest: "d1", Priority: "normal",
		QueuedAt: time.UnixMilli(1_700_000_000_123), ContactIDs: []string{"c1", "c2"},
		Metadata: map[string]string{"order": "1042"}, Payload: []byte("the task"),
	}
}

func (b *bundle) begin(t ledger.Task, o ledger.BeginOptions) *ledger.Attempt {
	b.t.Helper()
	if o.Lease == 0 {
		o.Lease = time.Minute
	}
	a, err := b.Begin(b.ctx, t, o)
	require.NoError(b.t, err)
	return a
}

// begun begins an attempt that must be allowed.
func (b *bundle) begun(t ledger.Task) *ledger.Attempt {
	b.t.Helper()
	a := b.begin(t, ledger.BeginOptions{})
	require.Equal(b.t, ledger.Begun, a.Verdict)
	return a
}

func (b *bundle) lookup(key string) *ledger.Record {
	b.t.Helper()
	r, err := b.Lookup(b.ctx, key)
	require.NoError(b.t, err)
	return r
}

func (b *bundle) commit(a *ledger.Attempt, s ledger.State) {
	b.t.Helper()
	require.NoError(b.t, b.Commit(b.ctx, a, ledger.Outcome{State: s, Error: ledger.Error{Code: "x"}}))
}

func (b *bundle) sent(a *ledger.Attempt, id string) {
	b.t.Helper()
	require.NoError(b.t, b.CommitSent(b.ctx, a, ledger.SentOutcome{MessageID: id}))
}

func (b *bundle) requireFenced(err error, s ledger.State) {
	b.t.Helper()
	var fenced *ledger.FencedError
	require.ErrorAs(b.t, err, &fenced)
	require.Equal(b.t, s, fenced.State)
}

func (b *bundle) listed(s ledger.State) []string {
	b.t.Helper()
	records, err := b.List(b.ctx, ledger.Query{State: s, Limit: 10})
	require.NoError(b.t, err)
	var keys []string
	for _, r := range records {
		keys = append(keys, r.Key)
	}
	return keys
}

func TestSentMessageIsFoundByKeyAndByMessageID(t *testing.T) {
	t.Parallel()
	onEach(t, func(b *bundle) {
		a := b.begun(task("k"))
		require.Equal(b.t, 1, a.Number)
		require.WithinDuration(b.t, time.Now(), a.Now, time.Minute)
		r := b.lookup("k")
		require.Equal(b.t, ledger.Sending, r.State)

		require.NoError(b.t, b.CommitSent(b.ctx, a, ledger.SentOutcome{MessageID: "19", ConversationID: "613"}))
		r = b.lookup("k")
		require.WithinDuration(b.t, time.Now(), r.SentAt, time.Minute)
		r.SentAt = time.Time{}
		require.Equal(b.t, &ledger.Record{
			Key: "k", Workspace: "main", State: ledger.Sent, Attempts: 1,
			MessageID: "19", ConversationID: "613", ContactIDs: []string{"c1", "c2"},
			QueuedAt: time.UnixMilli(1_700_000_000_123).UTC(), Metadata: map[string]string{"order": "1042"},
			Priority: "normal",
		}, r)

		byID, err := b.LookupMessage(b.ctx, "19")
		require.NoError(b.t, err)
		require.Equal(b.t, "k", byID.Key)
		_, err = b.LookupMessage(b.ctx, "20")
		require.ErrorIs(b.t, err, ledger.ErrNotFound)
		_, err = b.Lookup(b.ctx, "other")
		require.ErrorIs(b.t, err, ledger.ErrNotFound)
	})
}

func TestRecordsAndIndexExpire(t *testing.T) {
	t.Parallel()
	onEach(t, func(b *bundle) {
		b.sent(b.begun(task("k")), "19")
		ttl, err := b.rdb.PTTL(b.ctx, ledger.RecordKey("main", "k")).Result()
		require.NoError(b.t, err)
		require.InDelta(b.t, ledger.DefaultTTL.Seconds(), ttl.Seconds(), 60)
		// The index entry lives in a bucket that may live some longer.
		ttl, err = b.rdb.PTTL(b.ctx, ledger.IndexBuckets("main", "19")[0]).Result()
		require.NoError(b.t, err)
		require.Greater(b.t, ttl, ledger.DefaultTTL-time.Minute)
		require.Less(b.t, ttl, ledger.DefaultTTL+2*24*time.Hour)
	})
}

func TestSentIsNeverLeft(t *testing.T) {
	t.Parallel()
	onEach(t, func(b *bundle) {
		a := b.begun(task("k"))
		b.sent(a, "19")
		for _, o := range []ledger.BeginOptions{{}, {Settled: 1}} {
			again := b.begin(task("k"), o)
			require.Equal(b.t, ledger.Refused, again.Verdict)
			require.Equal(b.t, ledger.Sent, again.State)
		}
		other := task("k")
		other.Enqueued = "enqueueing-2"
		require.Equal(b.t, ledger.Refused, b.begin(other, ledger.BeginOptions{}).Verdict)

		b.requireFenced(b.Commit(b.ctx, a, ledger.Outcome{State: ledger.Waiting}), ledger.Sent)
		b.requireFenced(b.Commit(b.ctx, a, ledger.Outcome{State: ledger.Failed}), ledger.Sent)
		b.requireFenced(b.Hold(b.ctx, a), ledger.Sent)
		b.requireFenced(b.Cancel(b.ctx, task("k")), ledger.Sent)
		require.Equal(b.t, ledger.Sent, b.lookup("k").State)
	})
}

func TestOfTwoWorkersOneIsRefused(t *testing.T) {
	t.Parallel()
	onEach(t, func(b *bundle) {
		a := b.begun(task("k"))
		second := b.begin(task("k"), ledger.BeginOptions{})
		require.Equal(b.t, ledger.Busy, second.Verdict)
		require.InDelta(b.t, time.Minute.Seconds(), second.Until.Sub(a.Now).Seconds(), 1)
		// The second one's outcome, had it sent all the same, changes nothing.
		b.requireFenced(b.Commit(b.ctx, second, ledger.Outcome{State: ledger.Failed}), ledger.Sending)
	})
}

func TestWaitingKeepsItsCountsAndItsTime(t *testing.T) {
	t.Parallel()
	onEach(t, func(b *bundle) {
		first := b.begun(task("k"))
		since := first.Now.Add(-3 * time.Second)
		next, failing := first.Now.Add(2*time.Second), first.Now.Add(-time.Second)
		o := ledger.Outcome{
			State: ledger.Waiting, NextAttemptAt: next, ContactMissingSince: since, ContactTries: 2, Failures: 1, FailingSince: failing,
			Error: ledger.Error{Code: "not_found", Message: "User Not Found", Status: 404, RequestID: "r1"},
		}
		require.NoError(b.t, b.Commit(b.ctx, first, o))
		require.NoError(b.t, b.Commit(b.ctx, first, o), "a repeat is answered as the first time")
		r := b.lookup("k")
		require.Equal(b.t, ledger.Waiting, r.State)
		require.Equal(b.t, next, r.NextAttemptAt)
		require.Equal(b.t, &o.Error, r.LastError)
		require.Equal(b.t, []byte("the task"), r.Payload, "asynq may lose the task")
		require.Equal(b.t, []string{"k"}, b.listed(ledger.Waiting))

		second := b.begun(task("k"))
		require.Equal(b.t, 2, second.Number)
		require.Equal(b.t, failing, second.FailingSince)
		require.Equal(b.t, since, second.ContactMissingSince)
		require.Equal(b.t, 2, second.ContactTries)
		require.Equal(b.t, 1, second.Failures)
		left, err := b.rdb.ZCard(b.ctx, "dispatch:{main}:list:waiting").Result()
		require.NoError(b.t, err)
		require.Zero(b.t, left)
		require.Zero(b.t, b.lookup("k").NextAttemptAt)

		// What the first attempt still had to say is too late.
		b.requireFenced(b.Commit(b.ctx, first, ledger.Outcome{State: ledger.Failed}), ledger.Sending)
	})
}

func TestFailedKeepsItsPayloadAndCanRunAgain(t *testing.T) {
	t.Parallel()
	onEach(t, func(b *bundle) {
		a := b.begun(task("k"))
		require.NoError(b.t, b.Commit(b.ctx, a, ledger.Outcome{
			State: ledger.Failed, Error: ledger.Error{Code: "parameter_invalid"}, Failures: 3, FailingSince: a.Now,
		}))
		r := b.lookup("k")
		require.Equal(b.t, ledger.Failed, r.State)
		require.Equal(b.t, []byte("the task"), r.Payload)
		require.Equal(b.t, []string{"k"}, b.listed(ledger.Failed))

		again := b.begun(task("k"))
		require.Equal(b.t, 2, again.Number)
		require.Zero(b.t, again.Failures, "its deadlines count anew")
		require.Zero(b.t, again.FailingSince)
		b.sent(again, "19")
		r = b.lookup("k")
		require.Empty(b.t, r.Payload, "a sent record holds no message")
		require.Nil(b.t, r.LastError)
		require.Empty(b.t, b.listed(ledger.Failed))
	})
}

func TestAKeyThatWasFailedIsNotSentByAnotherEnqueueing(t *testing.T) {
	t.Parallel()
	onEach(t, func(b *bundle) {
		b.commit(b.begun(task("k")), ledger.Failed)
		other := task("k")
		other.Enqueued = "enqueueing-2"
		require.Equal(b.t, ledger.Superseded, b.begin(other, ledger.BeginOptions{}).Verdict)
	})
}

func TestAttemptOfADeadWorkerBecomesUncertain(t *testing.T) {
	t.Parallel()
	onEach(t, func(b *bundle) {
		dead := b.begin(task("k"), ledger.BeginOptions{Lease: time.Millisecond})
		second := b.eventually(func() *ledger.Attempt { return b.begin(task("k"), ledger.BeginOptions{}) }, ledger.Unsettled)
		require.Equal(b.t, 1, second.Number)
		r := b.lookup("k")
		require.Equal(b.t, ledger.Uncertain, r.State)
		require.Equal(b.t, "worker_lost", r.LastError.Code)
		require.False(b.t, second.FailingSince.IsZero(), "a message that kills its workers comes to an end")
		require.Equal(b.t, []string{"k"}, b.listed(ledger.Uncertain))

		// Settled: it may be sent again, and is marked for it.
		third := b.begin(task("k"), ledger.BeginOptions{Settled: 1, Lease: time.Minute})
		require.Equal(b.t, ledger.Begun, third.Verdict)
		require.Equal(b.t, 2, third.Number)
		require.True(b.t, b.lookup("k").PossibleDuplicate)
		b.requireFenced(b.Commit(b.ctx, dead, ledger.Outcome{State: ledger.Waiting}), ledger.Sending)

		// The dead one lives and did send: that is the truth.
		b.sent(dead, "19")
		require.Equal(b.t, ledger.Sent, b.lookup("k").State)
		// So did the third: both copies are known.
		b.sent(third, "20")
		for _, id := range []string{"19", "20"} {
			r, err := b.LookupMessage(b.ctx, id)
			require.NoError(b.t, err)
			require.Equal(b.t, "k", r.Key)
			require.True(b.t, r.PossibleDuplicate)
			require.Equal(b.t, "19", r.MessageID)
		}
	})
}

// eventually begins until Redis' clock is past the lease.
func (b *bundle) eventually(begin func() *ledger.Attempt, want ledger.Verdict) *ledger.Attempt {
	b.t.Helper()
	var a *ledger.Attempt
	require.Eventually(b.t, func() bool { a = begin(); return a.Verdict == want }, 5*time.Second, time.Millisecond)
	return a
}

func TestUncertainAttemptThatSpeaksLateIsHeard(t *testing.T) {
	t.Parallel()
	onEach(t, func(b *bundle) {
		slow := b.begin(task("k"), ledger.BeginOptions{Lease: time.Millisecond})
		b.eventually(func() *ledger.Attempt { return b.begin(task("k"), ledger.BeginOptions{}) }, ledger.Unsettled)
		b.commit(slow, ledger.Waiting)
		require.Equal(b.t, ledger.Waiting, b.lookup("k").State)
	})
}

func TestHeldIsNotSentAgain(t *testing.T) {
	t.Parallel()
	onEach(t, func(b *bundle) {
		a := b.begun(task("k"))
		b.commit(a, ledger.Uncertain)
		require.Equal(b.t, ledger.Unsettled, b.begin(task("k"), ledger.BeginOptions{}).Verdict)
		require.NoError(b.t, b.Hold(b.ctx, a))
		require.NoError(b.t, b.Hold(b.ctx, a))
		r := b.lookup("k")
		require.Equal(b.t, ledger.Held, r.State)
		require.Equal(b.t, []byte("the task"), r.Payload)
		require.Equal(b.t, []string{"k"}, b.listed(ledger.Held))
		require.Empty(b.t, b.listed(ledger.Uncertain))
		for _, o := range []ledger.BeginOptions{{}, {Settled: 1}} {
			again := b.begin(task("k"), o)
			require.Equal(b.t, ledger.Refused, again.Verdict)
			require.Equal(b.t, ledger.Held, again.State)
		}
		b.requireFenced(b.Commit(b.ctx, a, ledger.Outcome{State: ledger.Waiting}), ledger.Held)
	})
}

func TestExpiredIsNotSent(t *testing.T) {
	t.Parallel()
	onEach(t, func(b *bundle) {
		past := time.Now().Add(-time.Hour)
		a := b.begin(task("never-tried"), ledger.BeginOptions{ExpiresAt: past})
		require.Equal(b.t, ledger.Refused, a.Verdict)
		require.Equal(b.t, ledger.Expired, a.State)
		require.Equal(b.t, []byte("the task"), b.lookup("never-tried").Payload)

		b.commit(b.begun(task("waited")), ledger.Waiting)
		require.Equal(b.t, ledger.Expired, b.begin(task("waited"), ledger.BeginOptions{ExpiresAt: past}).State)
		require.Empty(b.t, b.listed(ledger.Waiting))

		b.commit(b.begun(task("uncertain")), ledger.Uncertain)
		for settled := range 2 {
			a = b.begin(task("uncertain"), ledger.BeginOptions{ExpiresAt: past, Settled: settled})
		}
		require.Equal(b.t, ledger.Held, a.State, "it may exist: a person has to look")
		require.Equal(b.t, []string{"uncertain"}, b.listed(ledger.Held))

		future := time.Now().Add(time.Hour)
		require.Equal(b.t, ledger.Begun, b.begin(task("in-time"), ledger.BeginOptions{ExpiresAt: future}).Verdict)
	})
}

func TestCancelTakesBackWhatWasNotSent(t *testing.T) {
	t.Parallel()
	onEach(t, func(b *bundle) {
		require.NoError(b.t, b.Cancel(b.ctx, task("queued")))
		require.NoError(b.t, b.Cancel(b.ctx, task("queued")))
		b.commit(b.begun(task("waiting")), ledger.Waiting)
		require.NoError(b.t, b.Cancel(b.ctx, task("waiting")))
		for _, key := range []string{"queued", "waiting"} {
			a := b.begin(task(key), ledger.BeginOptions{})
			require.Equal(b.t, ledger.Refused, a.Verdict)
			require.Equal(b.t, ledger.Cancelled, a.State)
		}
		require.ElementsMatch(b.t, []string{"queued", "waiting"}, b.listed(ledger.Cancelled))

		b.begun(task("sending"))
		b.requireFenced(b.Cancel(b.ctx, task("sending")), ledger.Sending)
	})
}

// deaf drops the answer to the next script, which runs all the same.
type deaf struct {
	redis.Hook

	now *bool
}

func (d deaf) DialHook(next redis.DialHook) redis.DialHook { return next }

func (d deaf) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

func (d deaf) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		err := next(ctx, cmd)
		if err == nil && *d.now && strings.HasPrefix(cmd.Name(), "eval") {
			err = io.ErrUnexpectedEOF
			cmd.SetErr(err)
		}
		return err
	}
}

func TestAttemptWhoseBeginGotNoAnswerCanBeAbandoned(t *testing.T) {
	t.Parallel()
	onEach(t, func(b *bundle) {
		first := b.begun(task("k"))
		since := first.Now.Add(-time.Minute)
		require.NoError(b.t, b.Commit(b.ctx, first, ledger.Outcome{State: ledger.Waiting, ContactMissingSince: since, ContactTries: 3}))

		lost := new(bool)
		b.rdb.AddHook(deaf{now: lost})
		*lost = true
		a, err := b.Begin(b.ctx, task("k"), ledger.BeginOptions{Lease: time.Minute})
		*lost = false
		require.ErrorIs(b.t, err, io.ErrUnexpectedEOF)
		require.Equal(b.t, ledger.Busy, b.begin(task("k"), ledger.BeginOptions{}).Verdict, "it was begun")

		require.NoError(b.t, b.Abandon(b.ctx, a))
		require.NoError(b.t, b.Abandon(b.ctx, first), "another attempt's changes nothing")
		require.Equal(b.t, ledger.Waiting, b.lookup("k").State)
		again := b.begun(task("k"))
		require.Equal(b.t, since, again.ContactMissingSince)
		require.Equal(b.t, 3, again.ContactTries)
		require.False(b.t, b.lookup("k").PossibleDuplicate)
		require.NoError(b.t, b.Abandon(b.ctx, a), "too late")
		require.Equal(b.t, ledger.Sending, b.lookup("k").State)
	})
}

func TestAbandoningARepeatedAttemptLeavesTheDoubt(t *testing.T) {
	t.Parallel()
	onEach(t, func(b *bundle) {
		first := b.begun(task("k"))
		require.NoError(b.t, b.Commit(b.ctx, first, ledger.Outcome{State: ledger.Uncertain}))
		lost := new(bool)
		b.rdb.AddHook(deaf{now: lost})
		*lost = true
		a, err := b.Begin(b.ctx, task("k"), ledger.BeginOptions{Lease: time.Minute, Settled: 1})
		*lost = false
		require.ErrorIs(b.t, err, io.ErrUnexpectedEOF)
		require.Equal(b.t, ledger.Sending, b.lookup("k").State)

		require.NoError(b.t, b.Abandon(b.ctx, a))
		require.Equal(b.t, ledger.Uncertain, b.lookup("k").State)
		again := b.begin(task("k"), ledger.BeginOptions{Lease: time.Minute})
		require.Equal(b.t, ledger.Unsettled, again.Verdict)
		require.WithinDuration(b.t, first.Now, again.UnsettledSince, time.Second)
		require.NoError(b.t, b.Abandon(b.ctx, a), "a repeat changes nothing")
		again = b.begin(task("k"), ledger.BeginOptions{Lease: time.Minute, Settled: 2})
		require.Equal(b.t, ledger.Begun, again.Verdict)
		require.True(b.t, b.lookup("k").PossibleDuplicate)
	})
}

func TestSentWithoutIDIsSent(t *testing.T) {
	t.Parallel()
	onEach(t, func(b *bundle) {
		a := b.begun(task("k"))
		cause := &ledger.Error{Code: "unusable_answer", Status: 200}
		require.NoError(b.t, b.CommitSent(b.ctx, a, ledger.SentOutcome{Error: cause}))
		r := b.lookup("k")
		require.Equal(b.t, ledger.Sent, r.State)
		require.Empty(b.t, r.MessageID)
		require.Equal(b.t, cause, r.LastError)
		require.Equal(b.t, ledger.Refused, b.begin(task("k"), ledger.BeginOptions{}).Verdict)
	})
}

func TestListShowsTheLatestFirst(t *testing.T) {
	t.Parallel()
	onEach(t, func(b *bundle) {
		for i := range 5 {
			b.commit(b.begun(task(fmt.Sprint("k", i))), ledger.Waiting)
			b.tick()
		}
		// Its record is gone, as after its TTL.
		require.NoError(b.t, b.rdb.Del(b.ctx, ledger.RecordKey("main", "k3")).Err())
		records, err := b.List(b.ctx, ledger.Query{State: ledger.Waiting, Limit: 3})
		require.NoError(b.t, err)
		var keys []string
		for _, r := range records {
			keys = append(keys, r.Key)
		}
		require.Equal(b.t, []string{"k4", "k2", "k1"}, keys)
		_, err = b.List(b.ctx, ledger.Query{State: ledger.Replied})
		require.ErrorContains(b.t, err, "cannot be listed")
	})
}

// tick waits until Redis' clock has moved on by a millisecond.
func (b *bundle) tick() {
	b.t.Helper()
	now := func() time.Time {
		t, err := b.rdb.Time(b.ctx).Result()
		require.NoError(b.t, err)
		return t.Truncate(time.Millisecond)
	}
	for start := now(); !now().After(start); {
		continue
	}
}

func TestReplyIsPublishedOnce(t *testing.T) {
	t.Parallel()
	onEach(t, func(b *bundle) {
		a := b.begun(task("k"))
		b.sent(a, "19")
		at := time.UnixMilli(1_700_000_000_000).UTC()
		reply := ledger.Reply{
			Key: "k", MessageID: "19", ConversationID: "613", PartID: "p1", At: at,
			FirstEvent: []byte("first"), LaterEvent: []byte("later"),
		}
		for i := range 3 {
			published, err := b.Replied(b.ctx, reply)
			require.NoError(b.t, err)
			require.Equal(b.t, i == 0, published)
		}
		reply.PartID, reply.At = "p2", at.Add(time.Hour)
		published, err := b.Replied(b.ctx, reply)
		require.NoError(b.t, err)
		require.True(b.t, published)

		r := b.lookup("k")
		require.Equal(b.t, ledger.Replied, r.State)
		require.Equal(b.t, "613", r.ConversationID)
		require.Equal(b.t, at, r.RepliedAt, "the first reply's time")
		sentAt := r.SentAt
		b.tick()
		b.sent(a, "19")
		require.Equal(b.t, ledger.Replied, b.lookup("k").State)
		require.Equal(b.t, sentAt, b.lookup("k").SentAt)
		events, err := b.rdb.XRange(b.ctx, ledger.ReplyStreamKey("main"), "-", "+").Result()
		require.NoError(b.t, err)
		require.Len(b.t, events, 2)
		require.Equal(b.t, "first", events[0].Values["event"])
		require.Equal(b.t, "later", events[1].Values["event"])

		require.Equal(b.t, ledger.Refused, b.begin(task("k"), ledger.BeginOptions{}).Verdict)
		reply.Key = "unknown"
		_, err = b.Replied(b.ctx, reply)
		require.ErrorIs(b.t, err, ledger.ErrNotFound)
	})
}

func TestWorkspacesDoNotSeeEachOther(t *testing.T) {
	t.Parallel()
	onEach(t, func(b *bundle) {
		b.sent(b.begun(task("k")), "19")
		other, err := ledger.New(b.rdb, "other", 0)
		require.NoError(b.t, err)
		_, err = other.Lookup(b.ctx, "k")
		require.ErrorIs(b.t, err, ledger.ErrNotFound)
		_, err = other.LookupMessage(b.ctx, "19")
		require.ErrorIs(b.t, err, ledger.ErrNotFound)
	})
}

func TestRecordJSONHasTheContractsFields(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 11, 22, 15, 0, 0, 0, time.UTC)
	b, err := json.Marshal(ledger.Record{
		Key: "k", Workspace: "main", State: ledger.Replied, Attempts: 2, MessageID: "19", ConversationID: "613",
		ContactIDs: []string{"c"}, QueuedAt: at, NextAttemptAt: at, SentAt: at, RepliedAt: at,
		LastError: &ledger.Error{Code: "c", Message: "m", Status: 404, RequestID: "r"},
		Metadata:  map[string]string{"order": "1042"}, PossibleDuplicate: true, Payload: []byte("x"), Priority: "high",
	})
	require.NoError(t, err)
	require.JSONEq(t, `{"key":"k","workspace":"main","state":"replied","attempts":2,"message_id":"19",
		"conversation_id":"613","contact_ids":["c"],"queued_at":"2026-11-22T15:00:00Z",
		"next_attempt_at":"2026-11-22T15:00:00Z","sent_at":"2026-11-22T15:00:00Z","replied_at":"2026-11-22T15:00:00Z",
		"last_error":{"code":"c","message":"m","status":404,"request_id":"r"},"metadata":{"order":"1042"},
		"possible_duplicate":true}`, string(b))
}

func TestNewRefusesWhatCannotWork(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"", "Main", "a b", "{x}", "a:b"} {
		_, err := ledger.New(nil, name, 0)
		require.ErrorContains(t, err, "workspace", name)
	}
	_, err := ledger.New(nil, "main", time.Second)
	require.ErrorContains(t, err, "record TTL")
}
