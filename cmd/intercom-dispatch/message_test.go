package main

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/intercom-dispatch/intercom-dispatch/intercom/intercomtest"
)

// withUnsubscribed is a workspace in which linus has unsubscribed from emails,
// which Intercom refuses for good.
func withUnsubscribed(t *testing.T) *site {
	t.Helper()
	s := newSite(t, everybody())
	s.fake.AddContact(intercomtest.Contact{ID: "linus", UnsubscribedFromEmails: true})
	return s
}

func TestMessageGetTellsEverythingAsJSON(t *testing.T) {
	t.Parallel()
	s := withUnsubscribed(t)
	s.worker()
	began := time.Now().Add(-time.Second)
	at := began.Add(time.Hour).UTC().Truncate(time.Millisecond)
	s.enqueue(
		inApp("sent", "ada", "Hello", `,"metadata":{"order":"1042","customer":"7"},"order_key":"the \"first\""`),
		email("failed", "linus", private),
		inApp("waiting", "never-jo", "Hello"),
		inApp("queued", "ada", "Hello", fmt.Sprintf(`,"at":%q,"order_key":"the \"second\""`, at.Format(time.RFC3339Nano))),
	)
	sent := s.awaitState("sent", "sent")
	s.awaitState("failed", "failed")
	s.awaitState("waiting", "waiting")

	require.Equal(t, "main", sent.Workspace)
	require.Equal(t, 1, sent.Attempts)
	require.Equal(t, s.fake.Created()[0].ID, sent.MessageID)
	require.Equal(t, []string{"ada"}, sent.ContactIDs)
	require.Equal(t, map[string]string{"order": "1042", "customer": "7"}, sent.Metadata)
	require.Equal(t, `the "first"`, sent.OrderKey)
	require.Nil(t, sent.LastError)
	requireBetween(t, began, sent.QueuedAt, time.Now())
	requireBetween(t, began, sent.SentAt, time.Now())
	require.Empty(t, sent.NextAttemptAt+sent.RepliedAt)

	failed := s.records("failed")[0]
	require.Equal(t, 403, failed.LastError.Status)
	require.Equal(t, "forbidden", failed.LastError.Code)
	require.NotEmpty(t, failed.LastError.Message)
	require.NotEmpty(t, failed.LastError.RequestID)
	require.Empty(t, failed.MessageID+failed.NextAttemptAt+failed.SentAt)

	waiting := s.records("waiting")[0]
	require.Equal(t, 404, waiting.LastError.Status)
	require.Equal(t, "not_found", waiting.LastError.Code)
	requireBetween(t, began, waiting.NextAttemptAt, time.Now().Add(time.Minute))

	queued := s.records("queued")[0]
	require.Equal(t, "queued", queued.State)
	require.Equal(t, `the "second"`, queued.OrderKey)
	require.Zero(t, queued.Attempts)
	requireBetween(t, at, queued.NextAttemptAt, at)
}

func requireBetween(t *testing.T, from time.Time, text string, to time.Time) {
	t.Helper()
	at, err := time.Parse(time.RFC3339, text)
	require.NoError(t, err)
	require.WithinRange(t, at, from, to)
}

func TestMessageGetShowsPeopleWhatHappened(t *testing.T) {
	t.Parallel()
	s := withUnsubscribed(t)
	s.worker()
	s.enqueue(inApp("sent", "ada", private, `,"metadata":{"order":"1042"},"order_key":"contact-7"`), email("failed", "linus", private))
	s.awaitState("sent", "sent")
	s.awaitState("failed", "failed")

	r := s.finish("message", "get", "sent", "unknown", "failed")
	require.Equal(t, exitUnknown, r.status)
	require.Equal(t, `intercom-dispatch: no message with key "unknown" in workspace "main"`+"\n", r.stderr)
	require.Regexp(t, `(?s)^sent\n  state +sent\n  attempts +1\n  message id +`+s.fake.Created()[0].ID+
		`\n  contacts +ada\n  order key +contact-7\n  queued at +20\S+ \S+Z\n  sent at +20\S+ \S+Z\n  metadata order +1042\n`+
		`failed\n  state +failed\n.*  last error +403 forbidden: .*unsubscribed.* \(request \S+\)\n$`, r.stdout)
	require.NotContains(t, r.stdout, private)
}

func TestMessageGetOfAnUnknownKeyPrintsTheOthers(t *testing.T) {
	t.Parallel()
	s := newSite(t, everybody())
	s.enqueue(inApp("known", "ada", "Hello"), inApp("known too", "ada", "Hello"))
	r := s.finish("message", "get", "--json", "known", "unknown", "known too")
	require.Equal(t, exitUnknown, r.status)
	records := decodeLines[record](t, r.stdout)
	require.Len(t, records, 2)
	require.Equal(t, "known", records[0].Key)
	require.Equal(t, "known too", records[1].Key)
	require.Contains(t, r.stderr, `no message with key "unknown"`)

	// Another workspace has messages of its own.
	r = s.finish("message", "get", "--json", "known", "--workspace", "other")
	require.Equal(t, exitUnknown, r.status)
	require.Empty(t, r.stdout)
}

func TestMessageListShowsTheLatestFirst(t *testing.T) {
	t.Parallel()
	s := withUnsubscribed(t)
	s.worker()
	for i := range 3 {
		key := fmt.Sprintf("failed-%d", i)
		s.enqueue(email(key, "linus", private))
		s.awaitState(key, "failed")
	}
	s.enqueue(inApp("waiting", "never-jo", private))
	s.awaitState("waiting", "waiting")

	list := func(args ...string) []string {
		r := s.finish(append([]string{"message", "list", "--json"}, args...)...)
		require.Equal(t, 0, r.status, r.stderr)
		require.NotContains(t, r.stdout, private)
		var keys []string
		for _, m := range decodeLines[record](t, r.stdout) {
			require.True(t, strings.HasPrefix(m.Key, m.State))
			require.NotEmpty(t, m.LastError.Code)
			keys = append(keys, m.Key)
		}
		return keys
	}
	require.Equal(t, []string{"failed-2", "failed-1", "failed-0"}, list("--state", "failed"))
	require.Equal(t, []string{"failed-2", "failed-1"}, list("--state", "failed", "--limit", "2"))
	require.Equal(t, []string{"waiting"}, list("--state", "waiting"))
	require.Empty(t, list("--state", "held"))

	r := s.finish("message", "list", "--state", "failed")
	lines := strings.Split(strings.TrimSpace(r.stdout), "\n")
	require.Len(t, lines, 4)
	require.Regexp(t, `^KEY +STATE +ATTEMPTS +NEXT ATTEMPT +LAST ERROR$`, lines[0])
	require.Regexp(t, `^failed-2 +failed +1 +403 forbidden: `, lines[1])
	require.NotContains(t, r.stdout, private)
	require.Equal(t, "none\n", s.finish("message", "list", "--state", "held").stdout)
	require.False(t, slices.Contains(lines, ""))
}
