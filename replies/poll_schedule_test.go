package replies_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/intercom-dispatch/intercom-dispatch/ledger"
	"github.com/intercom-dispatch/intercom-dispatch/replies"
)

const day = 24 * time.Hour

var sentAt = time.Date(2026, 11, 22, 15, 0, 0, 0, time.UTC)

func TestMessagesAreLookedAtOftenAtFirstAndMoreRarelyWithAge(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		age, answered time.Duration // since it was sent; then the last reply, 0 for none
		ttl           time.Duration
		want          time.Duration // 0: not any more
	}{
		"first":                        {age: 15 * time.Second, want: 15 * time.Second},
		"clocks differ":                {age: -time.Minute, want: 15 * time.Second},
		"after a minute and a half":    {age: 90 * time.Second, want: 18 * time.Second},
		"after an hour":                {age: time.Hour, want: 12 * time.Minute},
		"after a day":                  {age: day, want: 24 * time.Hour / 5},
		"after five days":              {age: 5 * day, want: 12 * time.Hour},
		"nearly over":                  {age: 30*day - time.Hour, want: time.Hour},
		"over":                         {age: 30 * day},
		"the record ends":              {age: 2*day - time.Hour, ttl: 2 * day, want: time.Hour},
		"the record is gone":           {age: 2 * day, ttl: 2 * day},
		"just answered":                {age: 5 * day, answered: 5*day - time.Minute, want: 15 * time.Second},
		"answered an hour ago":         {age: 5 * day, answered: 5*day - time.Hour, want: 12 * time.Minute},
		"answered, as any other":       {age: 20 * day, answered: 2 * day, want: 12 * time.Hour},
		"answered early, over":         {age: 30 * day, answered: 2 * day},
		"answered late, on":            {age: 33 * day, answered: 29 * day, want: 12 * time.Hour},
		"answered late, over":          {age: 36 * day, answered: 29 * day},
		"answered, and the record end": {age: 3 * day, answered: day, ttl: 2 * day},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := &ledger.Poll{MessageID: "1", SentAt: sentAt}
			if tt.answered > 0 {
				p.AnsweredAt = sentAt.Add(tt.answered)
			}
			ttl := tt.ttl
			if ttl == 0 {
				ttl = ledger.DefaultTTL
			}
			now := sentAt.Add(tt.age)
			next := replies.NextPoll(ttl, now, p)
			if tt.want == 0 {
				require.Zero(t, next)
				return
			}
			require.Equal(t, tt.want.String(), next.Sub(now).String())
		})
	}
}

// looks returns the ages at which a message is looked at, each a little late. A
// reply comes so long after it was sent, unless that is negative.
func looks(ttl, late, reply time.Duration) []time.Duration {
	p := &ledger.Poll{SentAt: sentAt}
	var ages []time.Duration
	for now := sentAt.Add(ledger.FirstPoll); !now.IsZero(); {
		now = now.Add(late)
		age := now.Sub(sentAt)
		ages = append(ages, age)
		if reply >= 0 && reply <= age {
			p.AnsweredAt = sentAt.Add(reply)
		}
		now = replies.NextPoll(ttl, now, p)
	}
	return ages
}

// TestWhatPollingCosts is what the documentation says of it.
func TestWhatPollingCosts(t *testing.T) {
	t.Parallel()
	all := looks(ledger.DefaultTTL, 0, -1)
	require.Len(t, all, 104)
	within := func(d time.Duration) (n int) {
		for _, age := range all {
			if age <= d {
				n++
			}
		}
		return n
	}
	require.Equal(t, 4, within(time.Minute))
	require.Equal(t, 26, within(time.Hour))
	require.Equal(t, 43, within(day))
	require.Equal(t, 225, replies.PollBatch)
}

func TestTheScheduleNeverEndsEarlyAndAlwaysEnds(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		ttl := time.Duration(rapid.Int64Range(int64(time.Minute), int64(120*day)).Draw(t, "ttl"))
		reply := time.Duration(rapid.Int64Range(-1, int64(min(ttl, replies.PollUnanswered))).Draw(t, "reply"))
		late := time.Duration(rapid.Int64Range(0, int64(time.Minute)).Draw(t, "late"))
		all := looks(ttl, late, reply)
		end := min(replies.PollUnanswered, ttl)
		if reply >= 0 {
			end = max(end, reply+min(replies.PollAnswered, ttl))
		}
		if last := all[len(all)-1]; last < end || last > end+replies.PollShortest+late {
			t.Fatalf("the last look is at %s, the end at %s", last, end)
		}
		for i, age := range all[1:] {
			gap, silence := age-all[i], all[i]
			if reply >= 0 && reply <= all[i] {
				silence -= reply
			}
			if gap > min(max(silence/5, replies.PollShortest), replies.PollLongest)+late {
				t.Fatalf("%s passes after the look at %s", gap, all[i])
			}
		}
		if len(all) > 175 {
			t.Fatalf("%d looks", len(all))
		}
	})
}

// TestAConversationIsReadOnceMoreIfAReplyMayHaveComeInTheSameSecond is about
// times in whole seconds.
func TestAConversationIsReadOnceMoreIfAReplyMayHaveComeInTheSameSecond(t *testing.T) {
	t.Parallel()
	reply := sentAt
	none := time.Time{}
	require.Equal(t, reply, replies.ReadUntil(none, reply, reply.Add(time.Minute)))
	require.Equal(t, reply, replies.ReadUntil(none, reply, reply.Add(2*time.Second)))
	for _, asked := range []time.Duration{0, 999 * time.Millisecond, 1999 * time.Millisecond} {
		require.True(t, replies.ReadUntil(none, reply, reply.Add(asked)).Before(reply))
	}
	before := reply.Add(-time.Second)
	require.Equal(t, before, replies.ReadUntil(before, reply, reply.Add(-time.Hour)), "nothing is unread again")
}
