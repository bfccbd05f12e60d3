package ledger_test

import (
	"fmt"
	"maps"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/intercom-dispatch/intercom-dispatch/internal/redistest"
	"github.com/intercom-dispatch/intercom-dispatch/ledger"
)

func drawText() *rapid.Generator[string] {
	return rapid.OneOf(
		rapid.String(),
		rapid.StringMatching(`[0-9a-f]{24}`), rapid.StringMatching(`[0-9A-Fa-f]{24}`), rapid.StringMatching(`[0-9a-f]{22,26}`),
	)
}

func drawKey() *rapid.Generator[string] {
	const uuid = `[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}`
	return rapid.OneOf(
		rapid.StringMatching(`[a-z0-9:._-]{1,20}`),
		rapid.StringMatching(uuid), rapid.StringMatching(`[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}`),
		rapid.StringMatching(`[0-9a-f]{32}`), rapid.StringMatching(`\{`+uuid+`\}`), rapid.StringMatching(`[0-9a-f-]{36}`),
		rapid.StringMatching("[\x00\x01][\x00\x01a]{0,18}"),
	)
}

// TestASentRecordReadsBackAsItWas lets any record be written, sent, by its first
// attempt or another, and replied to.
func TestASentRecordReadsBackAsItWas(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, s *redistest.Server) {
		t.Helper()
		b := newBundle(t, s)
		rapid.Check(t, func(t *rapid.T) {
			require.NoError(t, b.rdb.FlushAll(b.ctx).Err())
			task := ledger.Task{
				Key: drawKey().Draw(t, "key"), Enqueued: "e", Digest: "d",
				Priority: rapid.OneOf(rapid.SampledFrom([]string{"high", "normal", "bulk", ""}), rapid.String()).Draw(t, "priority"),
				QueuedAt: rapid.SampledFrom([]time.Time{{}, time.Now().Add(-time.Minute), time.Now().Add(time.Hour), time.UnixMilli(1)}).
					Draw(t, "queued at").Truncate(time.Millisecond).UTC(),
				ContactIDs: rapid.OneOf(rapid.Just([]string(nil)), rapid.SliceOfN(drawText(), 0, 3),
					rapid.SliceOfN(rapid.StringMatching(`[0-9a-f]{24}`), 1, 1)).Draw(t, "contacts"),
				Metadata: rapid.MapOfN(drawText(), drawText(), 0, 3).Draw(t, "metadata"),
				OrderKey: rapid.OneOf(rapid.Just(""), drawText()).Draw(t, "order key"),
				PassHeld: rapid.Bool().Draw(t, "pass held"),
				Payload:  []byte("the task"),
			}
			id := rapid.OneOf(rapid.StringMatching(`[1-9][0-9]{0,19}`), rapid.StringMatching(`[0-9a-zA-Z_-]{1,30}`), rapid.Just("007")).Draw(t, "id")
			attempts := rapid.IntRange(1, 3).Draw(t, "attempts")
			conversation := rapid.SampledFrom([]string{"", "613"}).Draw(t, "conversation")

			var a *ledger.Attempt
			for n := range attempts {
				var err error
				a, err = b.Begin(b.ctx, task, ledger.BeginOptions{Lease: time.Minute})
				require.NoError(t, err)
				require.Equal(t, ledger.Begun, a.Verdict)
				if n < attempts-1 {
					require.NoError(t, b.Commit(b.ctx, a, ledger.Outcome{State: ledger.Waiting, Error: ledger.Error{Code: "x"}, Failures: 1}))
				}
			}
			require.NoError(t, b.CommitSent(b.ctx, a, ledger.SentOutcome{MessageID: id, ConversationID: conversation}))
			want := &ledger.Record{
				Key: task.Key, Workspace: "main", State: ledger.Sent, Attempts: attempts, MessageID: id, ConversationID: conversation,
				ContactIDs: task.ContactIDs, QueuedAt: task.QueuedAt, Metadata: task.Metadata, Priority: task.Priority,
				OrderKey: task.OrderKey, PassHeld: task.PassHeld,
			}
			if len(want.Metadata) == 0 {
				want.Metadata = nil
			}
			b.requireRecord(t, want, a.Now)
			again, err := b.Begin(b.ctx, task, ledger.BeginOptions{Lease: time.Minute})
			require.NoError(t, err)
			require.Equal(t, ledger.Refused, again.Verdict)
			require.Equal(t, attempts, again.Number)

			require.NoError(t, b.CommitSent(b.ctx, a, ledger.SentOutcome{MessageID: id}), "a repeat")
			b.requireRecord(t, want, a.Now)

			at := time.UnixMilli(1_700_000_000_000).UTC()
			_, err = b.Replied(b.ctx, ledger.Reply{Key: task.Key, MessageID: id, ConversationID: "614", PartID: "p", At: at})
			require.NoError(t, err)
			want.State, want.ConversationID, want.RepliedAt = ledger.Replied, "614", at
			b.requireRecord(t, want, a.Now)
		})
	})
}

// requireRecord finds the record by its key and by its message id. Its time of
// sending is the attempt's.
func (b *bundle) requireRecord(t *rapid.T, want *ledger.Record, sentAt time.Time) {
	byKey, err := b.Lookup(b.ctx, want.Key)
	require.NoError(t, err)
	byID, err := b.LookupMessage(b.ctx, want.MessageID)
	require.NoError(t, err)
	require.Equal(t, byKey, byID)
	require.WithinDuration(t, sentAt, byKey.SentAt, time.Minute)
	byKey.SentAt = time.Time{}
	require.Equal(t, want, byKey)
}

// TestPackedRecordsOfTheVersionBeforeAreRead has them as they were written before
// there were orders, byte for byte.
func TestPackedRecordsOfTheVersionBeforeAreRead(t *testing.T) {
	t.Parallel()
	onEach(t, func(b *bundle) {
		queued := "\xf6\xa1\xab\xfe\xf9\x62" // 1700000000123
		for key, packed := range map[string]string{
			"plain":    "\x02" + queued + "\x04\x04c1",
			"metadata": "\x0a" + queued + "\x04\x04c1" + "\x02\x0aorder\x081042",
			"sent":     "\x0a" + queued + "\x04\x04c1" + "\x02\x0aorder\x081042" + "\xd0\x0f",
		} {
			require.NoError(b.t, b.rdb.HSet(b.ctx, ledger.RecordKey("main", key), "s", "waiting", "z", packed).Err())
			want := &ledger.Record{
				Key: key, Workspace: "main", State: ledger.Waiting, ContactIDs: []string{"c1"}, Priority: "normal",
				QueuedAt: time.UnixMilli(1_700_000_000_123).UTC(),
			}
			if key != "plain" {
				want.Metadata = map[string]string{"order": "1042"}
			}
			if key == "sent" {
				want.SentAt = want.QueuedAt.Add(time.Second)
			}
			require.Equal(b.t, want, b.lookup(key))
		}
	})
}

// former writes a record, and the index entry of its id, as versions did that
// packed neither.
func (b *bundle) former(key string, fields map[string]string) {
	b.t.Helper()
	record := map[string]string{
		"e": "enqueueing-1", "d": "d1", "q": "normal", "qa": "1700000000123", "c": `["c1","c2"]`, "md": `{"order":"1042"}`,
		"a": "2", "b": "1700000001000",
	}
	maps.Copy(record, fields)
	require.NoError(b.t, b.rdb.HSet(b.ctx, ledger.RecordKey("main", key), record).Err())
	if id := fields["id"]; id != "" {
		require.NoError(b.t, b.rdb.Set(b.ctx, "dispatch:{main}:id:"+id, key, time.Hour).Err())
	}
}

func TestRecordsOfTheVersionBeforeMoveOn(t *testing.T) {
	t.Parallel()
	onEach(t, func(b *bundle) {
		want := &ledger.Record{
			Workspace: "main", Attempts: 2, ContactIDs: []string{"c1", "c2"}, QueuedAt: time.UnixMilli(1_700_000_000_123).UTC(),
			Metadata: map[string]string{"order": "1042"}, Priority: "normal",
		}
		requireRecord := func(key string, s ledger.State, id string, attempts int) {
			got := b.lookup(key)
			got.SentAt, got.RepliedAt, got.ConversationID = time.Time{}, time.Time{}, ""
			want.Key, want.State, want.MessageID, want.Attempts = key, s, id, attempts
			require.Equal(b.t, want, got)
		}

		b.former("sent", map[string]string{"s": "sent", "id": "19", "sa": "1700000002000"})
		requireRecord("sent", ledger.Sent, "19", 2)
		byID, err := b.LookupMessage(b.ctx, "19")
		require.NoError(b.t, err)
		require.Equal(b.t, "sent", byID.Key)
		_, err = b.Replied(b.ctx, ledger.Reply{Key: "sent", MessageID: "19", ConversationID: "613", PartID: "p", At: time.Now()})
		require.NoError(b.t, err)
		requireRecord("sent", ledger.Replied, "19", 2)

		b.former("waiting", map[string]string{"s": "waiting"})
		b.sent(b.begun(task("waiting")), "20")
		requireRecord("waiting", ledger.Sent, "20", 3)

		b.former("uncertain", map[string]string{"s": "uncertain", "us": "1700000001000", "un": "2", "ua": "1700000001000", "p": "the task"})
		var taken *ledger.TakenError
		require.ErrorAs(b.t, b.Settle(b.ctx, b.lookup("uncertain"), ledger.Found{MessageID: "19"}), &taken)
		require.Equal(b.t, "sent", taken.Key)
		require.NoError(b.t, b.Settle(b.ctx, b.lookup("uncertain"), ledger.Found{MessageID: "21"}))
		requireRecord("uncertain", ledger.Sent, "21", 2)
	})
}

func TestAMessageResolvedWithoutAnAttemptHasNone(t *testing.T) {
	t.Parallel()
	onEach(t, func(b *bundle) {
		require.NoError(b.t, b.Cancel(b.ctx, task("k")))
		require.NoError(b.t, b.Resolve(b.ctx, b.lookup("k"), ledger.Found{MessageID: "19"}))
		require.Equal(b.t, ledger.Sent, b.lookup("k").State)
		require.Zero(b.t, b.lookup("k").Attempts)
	})
}

// sameBucket returns so many message ids that share a coarse bucket.
func sameBucket(n int) (ids []string) {
	want := ledger.IndexBuckets("main", "0")[0]
	for i := 0; len(ids) < n; i++ {
		if id := fmt.Sprint(i); ledger.IndexBuckets("main", id)[0] == want {
			ids = append(ids, id)
		}
	}
	return ids
}

func TestEachMessageIsFoundWhereABucketHasEnough(t *testing.T) {
	t.Parallel()
	onEach(t, func(b *bundle) {
		ids := sameBucket(200)
		for _, id := range ids {
			b.sent(b.begun(task("k"+id)), id)
		}
		n, err := b.rdb.HLen(b.ctx, ledger.IndexBuckets("main", ids[0])[0]).Result()
		require.NoError(b.t, err)
		require.Equal(b.t, int64(128), n, "it does not get longer than it may be")
		for _, id := range ids {
			r, err := b.LookupMessage(b.ctx, id)
			require.NoError(b.t, err)
			require.Equal(b.t, "k"+id, r.Key)
			ttl, err := b.rdb.PTTL(b.ctx, ledger.IndexBuckets("main", id)[0]).Result()
			require.NoError(b.t, err)
			require.Greater(b.t, ttl, ledger.DefaultTTL-time.Minute)
		}
		// What is in either bucket is known to be taken.
		for _, id := range []string{ids[0], ids[199]} {
			b.uncertain("twin" + id)
			var taken *ledger.TakenError
			require.ErrorAs(b.t, b.Settle(b.ctx, b.lookup("twin"+id), ledger.Found{MessageID: id}), &taken)
			require.Equal(b.t, "k"+id, taken.Key)
		}
	})
}

func TestWhatIsOverLeavesItsBucket(t *testing.T) {
	t.Parallel()
	s := redistest.Mini(t)
	b := newBundle(t, s)
	ids := sameBucket(300)
	now := time.UnixMilli(1_800_000_000_000)
	s.Miniredis().SetTime(now)
	for _, id := range ids[:150] {
		b.sent(b.begun(task("k"+id)), id)
	}
	// Meanwhile the bucket is kept by what is added now and then.
	now = now.Add(ledger.DefaultTTL + 2*time.Hour)
	s.Miniredis().SetTime(now)
	for _, id := range ids[150:] {
		b.sent(b.begun(task("k"+id)), id)
	}
	bucket, err := b.rdb.HKeys(b.ctx, ledger.IndexBuckets("main", ids[0])[0]).Result()
	require.NoError(t, err)
	require.NotContains(t, bucket, ids[0])
	for _, id := range ids[150:] {
		r, err := b.LookupMessage(b.ctx, id)
		require.NoError(t, err)
		require.Equal(t, "k"+id, r.Key)
	}
}
