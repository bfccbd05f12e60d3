package main

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/intercom-dispatch/intercom-dispatch/intercom/intercomtest"
	"github.com/intercom-dispatch/intercom-dispatch/internal/task"
)

const manyReplies = 50

// askMany sends messages with metadata to as many contacts and returns their ids
// by key.
func (s *site) askMany(n int) (ids map[string]string) {
	s.t.Helper()
	var keys, lines []string
	for i := range n {
		keys = append(keys, fmt.Sprintf("question-%d", i))
		lines = append(lines, inApp(keys[i], fmt.Sprintf("contact-%d", i), "Shall we?", fmt.Sprintf(`,"metadata":{"order":"%d"}`, i)))
	}
	s.enqueue(lines...)
	s.awaitCreated(n, patience)
	s.awaitDone(patience)
	ids = map[string]string{}
	for _, r := range s.records(keys...) {
		require.Equal(s.t, "sent", r.State)
		ids[r.Key] = r.MessageID
	}
	return ids
}

// awaitEvents returns the reply events once there are so many.
func (s *site) awaitEvents(n int, limit time.Duration) []replyEvent {
	s.t.Helper()
	var events []replyEvent
	require.Eventually(s.t, func() bool {
		events = decodeLines[replyEvent](s.t, s.finish("replies", "tail", "--from-start", "--no-follow").stdout)
		return len(events) >= n
	}, limit, 200*time.Millisecond, "there are not %d replies", n)
	require.Len(s.t, events, n)
	return events
}

// requireEachOnce holds events and records against the replies that contacts gave.
func (s *site) requireEachOnce(events []replyEvent, replies []intercomtest.ReplyInfo) {
	s.t.Helper()
	byPart := map[string]replyEvent{}
	var keys []string
	for _, e := range events {
		require.NotContains(s.t, byPart, e.PartID, "an event twice")
		byPart[e.PartID] = e
		keys = append(keys, e.Key)
	}
	for _, r := range replies {
		e := byPart[r.PartID]
		require.Equal(s.t, r.MessageID, e.MessageID)
		require.Equal(s.t, r.ConversationID, e.ConversationID)
		require.Equal(s.t, r.ContactID, e.ContactID)
		require.Equal(s.t, map[string]string{"order": e.Key[len("question-"):]}, e.Metadata)
		require.True(s.t, e.First)
	}
	for _, r := range s.records(keys...) {
		require.Equal(s.t, "replied", r.State, r.Key)
		require.NotEmpty(s.t, r.ConversationID)
	}
}

// TestEachReplyIsOneEventHoweverItsNotificationsCome has the notifications come
// forged first, out of order, and some of them three times.
func TestEachReplyIsOneEventHoweverItsNotificationsCome(t *testing.T) {
	t.Parallel()
	cfg := everybody()
	cfg.HoldNotifications = true
	s := newSite(t, cfg)
	url := s.worker("--webhook").webhookURL()
	s.fake.SetWebhookURL(url)
	var replies []intercomtest.ReplyInfo
	for _, id := range s.askMany(manyReplies) {
		info, err := s.fake.Reply(t.Context(), id, "Yes!")
		require.NoError(t, err)
		replies = append(replies, info)
	}
	for i, n := range rand.Perm(len(replies)) {
		r := replies[n]
		if i%3 == 0 {
			forged, err := s.fake.RedeliverForged(t.Context(), r.NotificationID)
			require.NoError(t, err)
			require.Equal(t, http.StatusUnauthorized, forged.Status)
			status, _ := fetch(t, http.MethodPost, url, string(forged.Body))
			require.Equal(t, http.StatusUnauthorized, status, "without a signature")
		}
		for range 1 + i%2*2 {
			d, err := s.fake.Redeliver(t.Context(), r.NotificationID)
			require.NoError(t, err)
			require.Equal(t, http.StatusOK, d.Status)
		}
	}
	s.requireEachOnce(s.awaitEvents(len(replies), patience), replies)
}

// TestAPollerFindsWhatNoWebhookTellsOf has no webhook at all, or one that gets half
// of the notifications.
func TestAPollerFindsWhatNoWebhookTellsOf(t *testing.T) {
	t.Parallel()
	for name, webhook := range map[string]bool{"no webhook": false, "half of the notifications lost": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cfg := everybody()
			cfg.HoldNotifications = true
			s := newSite(t, cfg)
			w := s.worker("--webhook", "--poll-replies")
			s.worker("--poll-replies")
			if webhook {
				s.fake.SetWebhookURL(w.webhookURL())
			}
			var replies []intercomtest.ReplyInfo
			for _, id := range s.askMany(manyReplies) {
				info, err := s.fake.Reply(t.Context(), id, "Yes!")
				require.NoError(t, err)
				replies = append(replies, info)
			}
			if webhook {
				for _, r := range replies[:manyReplies/2] {
					_, err := s.fake.Redeliver(t.Context(), r.NotificationID)
					require.NoError(t, err)
				}
			}
			events := s.awaitEvents(manyReplies, 2*time.Minute)
			s.requireEachOnce(events, replies)
			matched := map[string]int{}
			for _, e := range events {
				matched[e.MatchedBy]++
			}
			if webhook {
				require.Equal(t, map[string]int{"webhook": manyReplies / 2, "search": manyReplies / 2}, matched)
				// Those that were late after all change nothing.
				for _, r := range replies {
					_, err := s.fake.Redeliver(t.Context(), r.NotificationID)
					require.NoError(t, err)
				}
				require.Eventually(t, func() bool { return s.notifications() == 0 }, patience, 50*time.Millisecond)
				s.awaitEvents(manyReplies, patience)
			} else {
				require.Equal(t, map[string]int{"search": manyReplies}, matched)
			}
		})
	}
}

// notifications returns how many are queued and not worked off.
func (s *site) notifications() int {
	s.t.Helper()
	info, err := s.inspector().GetQueueInfo(task.NotificationQueue("main"))
	require.NoError(s.t, err)
	return unfinishedTasks(info)
}
