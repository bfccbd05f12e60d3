package main

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/intercom-dispatch/intercom-dispatch/intercom"
)

// replyEvent is an event as `replies tail` prints it.
type replyEvent struct {
	ID             string            `json:"id"`
	Version        int               `json:"version"`
	Workspace      string            `json:"workspace"`
	Key            string            `json:"key"`
	Metadata       map[string]string `json:"metadata"`
	MessageID      string            `json:"message_id"`
	ConversationID string            `json:"conversation_id"`
	PartID         string            `json:"part_id"`
	ContactID      string            `json:"contact_id"`
	AuthorType     string            `json:"author_type"`
	Text           string            `json:"text"`
	HTML           string            `json:"html"`
	Time           time.Time         `json:"time"`
	First          bool              `json:"first"`
	MatchedBy      string            `json:"matched_by"`
}

// asked is a site with a worker and a webhook receiver, each a process of its
// own, and a message that was sent.
type asked struct {
	*site

	worker, webhook *process
	messageID       string
}

func ask(t *testing.T) asked {
	t.Helper()
	s := asked{site: newSite(t, everybody())}
	s.worker = s.site.worker()
	s.webhook = s.start("webhook")
	// As when its URL is saved in Intercom: HEAD, and a ping.
	require.NoError(t, s.fake.Subscribe(t.Context(), s.webhook.webhookURL()))
	ping, err := s.fake.Ping(t.Context())
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, ping.Status)
	s.enqueue(inApp("question", "ada", "Shall we ship?", `,"metadata":{"order":"1042"}`))
	s.messageID = s.awaitState("question", "sent").MessageID
	return s
}

func TestARepliesEventReachesTheBackend(t *testing.T) {
	t.Parallel()
	s := ask(t)
	id := s.messageID
	require.Equal(t, result{}, s.finish("replies", "tail", "--from-start", "--no-follow"), "no reply yet")

	info, err := s.fake.Reply(t.Context(), id, "Yes, please — 3 < 5 & so on!")
	require.NoError(t, err)
	replied := s.awaitState("question", "replied")
	require.Equal(t, info.ConversationID, replied.ConversationID)
	requireBetween(t, info.At.Truncate(time.Second), replied.RepliedAt, time.Now())
	require.Equal(t, id, replied.MessageID)

	// Intercom delivers at least once.
	d, err := s.fake.Redeliver(t.Context(), info.NotificationID)
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, d.Status)
	require.Eventually(t, func() bool {
		_, metrics := fetch(t, http.MethodGet, s.worker.adminURL()+"/metrics", "")
		return strings.Contains(metrics, `dispatch_notifications_total{outcome="repeated"} 1`)
	}, patience, 100*time.Millisecond, "the repeated notification was not worked off")

	r := s.finish("replies", "tail", "--from-start", "--no-follow")
	require.Equal(t, 0, r.status)
	events := decodeLines[replyEvent](t, r.stdout)
	require.Len(t, events, 1)
	e := events[0]
	require.NotEmpty(t, e.ID)
	require.WithinDuration(t, info.At, e.Time, time.Second)
	e.ID, e.Time = "", time.Time{}
	require.Equal(t, replyEvent{
		Version: 1, Workspace: "main", Key: "question", Metadata: map[string]string{"order": "1042"},
		MessageID: id, ConversationID: info.ConversationID, PartID: info.PartID, ContactID: "ada",
		AuthorType: "user", Text: "Yes, please — 3 < 5 & so on!", First: true, MatchedBy: "webhook",
	}, e)
	require.Equal(t, result{}, s.finish("replies", "tail", "--no-follow"), "only new ones without --from-start")
}

// TestAReplyReachesTheBackendWithoutAWebhook has nothing that Intercom could call.
func TestAReplyReachesTheBackendWithoutAWebhook(t *testing.T) {
	t.Parallel()
	s := newSite(t, everybody())
	w := s.worker("--poll-replies")
	s.enqueue(inApp("question", "ada", "Shall we ship?", `,"metadata":{"order":"1042"}`))
	_, err := s.fake.Reply(t.Context(), s.awaitState("question", "sent").MessageID, "Yes, please!")
	require.NoError(t, err)
	s.awaitState("question", "replied") // The first look is after 15 s.

	r := s.finish("replies", "tail", "--from-start", "--no-follow")
	require.Equal(t, 0, r.status)
	events := decodeLines[replyEvent](t, r.stdout)
	require.Len(t, events, 1)
	require.Equal(t, "Yes, please!", events[0].Text)
	require.Equal(t, map[string]string{"order": "1042"}, events[0].Metadata)
	require.Equal(t, "search", events[0].MatchedBy)
	require.True(t, events[0].First)
	_, metrics := fetch(t, http.MethodGet, w.adminURL()+"/metrics", "")
	require.Contains(t, metrics, "dispatch_poll_messages 1")
	require.Contains(t, metrics, `dispatch_poll_replies_total{outcome="reply"} 1`)
	w.interrupt()
}

func TestRepliesTailFollowsUntilItIsInterrupted(t *testing.T) {
	t.Parallel()
	s := ask(t)
	tail := s.start("replies", "tail", "--from-start")
	for _, text := range []string{"Yes!", "And thank you."} {
		_, err := s.fake.Reply(t.Context(), s.messageID, text)
		require.NoError(t, err)
		tail.stdout.await(t, "the reply", func(line string) bool {
			return decodeLines[replyEvent](t, line)[0].Text == text
		})
	}
	tail.interrupt()
	require.Empty(t, tail.stderr.String())
	require.Len(t, decodeLines[replyEvent](t, tail.stdout.String()), 2)
	s.webhook.interrupt()
}

func TestTheWebhookRefusesWhatIntercomDidNotSign(t *testing.T) {
	t.Parallel()
	s := ask(t)
	info, err := s.fake.Reply(t.Context(), s.messageID, "Yes!")
	require.NoError(t, err)
	s.awaitState("question", "replied")

	forged, err := s.fake.RedeliverForged(t.Context(), info.NotificationID)
	require.NoError(t, err)
	require.Equal(t, http.StatusUnauthorized, forged.Status)
	url, body := s.webhook.webhookURL(), `{"type":"notification_event","topic":"conversation.user.replied","data":{}}`
	for _, signature := range []string{"", "sha1=", "sha1=00", intercom.Sign("guess", []byte(body)), intercom.Sign("", []byte(body))} {
		status, answer := fetch(t, http.MethodPost, url, body, intercom.SignatureHeader, signature)
		require.Equal(t, http.StatusUnauthorized, status, signature)
		require.NotContains(t, answer, siteSecret)
	}
	status, answer := fetch(t, http.MethodGet, url, "")
	require.Equal(t, http.StatusMethodNotAllowed, status)
	require.Contains(t, answer, "send notifications with POST")
	status, _ = fetch(t, http.MethodPost, url[:len(url)-1], body)
	require.Equal(t, http.StatusNotFound, status)
	require.NotContains(t, s.webhook.stderr.String(), siteSecret)
	require.NotContains(t, s.webhook.stderr.String(), "Yes!")
	require.Len(t, decodeLines[replyEvent](t, s.finish("replies", "tail", "--from-start", "--no-follow").stdout), 1)
}
