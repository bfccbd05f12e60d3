package main

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/intercom-dispatch/intercom-dispatch/replies"
)

// deadEvent is a dead event as `replies dead --json` prints it.
type deadEvent struct {
	ID         string      `json:"id"`
	Group      string      `json:"group"`
	Event      *replyEvent `json:"event"`
	Data       string      `json:"data"`
	Deliveries int         `json:"deliveries"`
	Error      string      `json:"error"`
	Time       time.Time   `json:"time"`
}

// consume runs a consumer in the group until it has got n events.
func (s *site) consume(group string, n int, result error) []replies.Event {
	s.t.Helper()
	var got []replies.Event
	ctx, cancel := context.WithTimeout(s.t.Context(), patience)
	defer cancel()
	cfg := replies.ConsumeConfig{Redis: s.redis.Client(s.t)}
	require.NoError(s.t, replies.Consume(ctx, cfg, group, func(_ context.Context, e replies.Event) error {
		if got = append(got, e); len(got) == n {
			cancel()
		}
		return result
	}))
	require.Len(s.t, got, n)
	return got
}

func TestDeadEventsAreListedDeliveredAgainAndDropped(t *testing.T) {
	t.Parallel()
	s := ask(t)
	require.Equal(t, result{stdout: "none\n"}, s.finish("replies", "dead"))
	for _, text := range []string{"Yes, " + private, "And one more"} {
		_, err := s.fake.Reply(t.Context(), s.messageID, text)
		require.NoError(t, err)
	}
	s.consume("orders", 2, errors.Join(errors.New("no such\norder"), replies.ErrDead))
	s.consume("mails", 2, nil)

	r := s.finish("replies", "dead", "--json")
	require.Equal(t, 0, r.status, r.stderr)
	dead := decodeLines[deadEvent](t, r.stdout)
	require.Len(t, dead, 2)
	for _, d := range dead {
		require.Equal(t, "orders", d.Group)
		require.Equal(t, "question", d.Event.Key)
		require.Equal(t, 1, d.Deliveries)
		require.Contains(t, d.Error, "no such\norder")
		require.WithinDuration(t, time.Now(), d.Time, time.Minute)
	}
	require.Equal(t, result{}, s.finish("replies", "dead", "--json", "--group", "mails"))
	r = s.finish("replies", "dead", "--limit", "1")
	require.Equal(t, 0, r.status)
	require.Contains(t, r.stderr, "only the latest 1")
	require.Equal(t, 2, strings.Count(r.stdout, "\n"), r.stdout)
	require.Regexp(t, `^ID +GROUP +KEY +DELIVERIES +DEAD SINCE +ERROR\n`+dead[0].ID+` +orders +question +1 +20\S+ \S+Z +no such order `, r.stdout)
	require.NotContains(t, r.stdout, private)

	r = s.finish("replies", "redeliver", dead[0].ID, "1-1")
	require.Equal(t, exitUnknown, r.status)
	require.Equal(t, "redelivered  "+dead[0].ID+"\n", r.stdout)
	require.Contains(t, r.stderr, `no dead event with id "1-1" in workspace "main"`)
	require.Equal(t, dead[0].Event.PartID, s.consume("orders", 1, nil)[0].PartID)

	require.Equal(t, result{stdout: "dropped  " + dead[1].ID + "\n"}, s.finish("replies", "drop", dead[1].ID))
	require.Equal(t, exitUnknown, s.finish("replies", "drop", dead[1].ID).status)
	require.Equal(t, result{stdout: "none\n"}, s.finish("replies", "dead"))
}

func TestAWorkerLeavesTextsOutOfReplyEvents(t *testing.T) {
	t.Parallel()
	s := newSite(t, everybody())
	require.Equal(t, true, s.worker("--omit-reply-text").logged("worker starting")["omit_reply_text"])
	webhook := s.start("webhook")
	require.NoError(t, s.fake.Subscribe(t.Context(), webhook.webhookURL()))
	s.enqueue(inApp("question", "ada", "Shall we ship?"))
	_, err := s.fake.Reply(t.Context(), s.awaitState("question", "sent").MessageID, "Yes, "+private)
	require.NoError(t, err)
	s.awaitState("question", "replied")
	r := s.finish("replies", "tail", "--from-start", "--no-follow")
	require.Len(t, decodeLines[replyEvent](t, r.stdout), 1)
	require.Contains(t, r.stdout, `"text":""`)
	require.NotContains(t, r.stdout, private)
}
