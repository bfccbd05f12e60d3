package main

import (
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/intercom-dispatch/intercom-dispatch/intercom/intercomtest"
)

// startVia starts a worker one of whose servers it reaches through a proxy.
func (s *site) startVia(env string, args ...string) *process {
	s.t.Helper()
	c := s.call(append([]string{"worker"}, args...)...)
	c.env = append(c.env, env)
	return start(s.t, c)
}

func TestAWorkerKilledAtEachStepLeavesWhatThePolicySays(t *testing.T) {
	t.Parallel()
	cfg := everybody()
	cfg.IndexLag = 500 * time.Millisecond
	s := newSite(t, cfg)
	reset := strconv.FormatInt(time.Now().Add(15*time.Second).Unix(), 10)
	s.fake.InjectFault(intercomtest.Fault{
		Contact: "contact-throttled-0", Times: 1, Status: http.StatusTooManyRequests, Header: http.Header{"X-RateLimit-Reset": {reset}},
	})
	p := startProxy(t, strings.TrimPrefix(s.url, "http://"), keeping(map[string]stop{
		"contact-begun-": keepRequest, "contact-late-": delayRequest, "contact-left-": keepAnswer,
	}))
	flags := []string{"--settle-delay", "3s", "--request-timeout", "10s", "--concurrency", "20"}
	victim := s.startVia("INTERCOM_BASE_URL=http://"+p.addr(), flags...)
	s.awaitMembers(1)

	// Each step has a message of each kind. "begun" stands in the record, and
	// the request has not left; that of "late" reaches Intercom when the worker
	// is known to be gone; of "left" the answer is on its way; the rest waits for
	// the rate limit and has not begun.
	kinds := map[string]func(string) string{
		"hold": plain("hold"), "resend": plain("resend"),
		"found-hold": opening("hold"), "found-resend": opening("resend"),
	}
	enqueueStep := func(step string) {
		var lines []string
		for kind, line := range kinds {
			lines = append(lines, line(step+"-"+kind))
		}
		s.enqueue(lines...)
	}
	enqueueStep("begun")
	enqueueStep("late")
	enqueueStep("left")
	p.await(3 * len(kinds))
	_, throttled := messages(1, "throttled", plain("hold"))
	s.enqueue(throttled...)
	require.Eventually(t, func() bool { return len(s.messageRequests()) == len(kinds)+1 }, patience, 20*time.Millisecond)
	enqueueStep("waiting")
	s.awaitTasks(4*len(kinds), activeTasks, patience)
	victim.kill()

	successor := s.worker(flags...)
	successor.logged("task is pending again")
	// The first look for it, a second later, comes too early.
	time.Sleep(2 * time.Second)
	p.release()
	s.awaitDone(time.Minute)
	created := s.created()
	check := func(key, state string, copies, attempts int, duplicate bool) {
		r := s.records(key)[0]
		t.Logf("%s: %s, created %d times, %d attempts, possible duplicate %v", key, r.State, len(created[key]), r.Attempts, r.PossibleDuplicate)
		require.Equal(t, state, r.State, key)
		require.Len(t, created[key], copies, key)
		require.Equal(t, attempts, r.Attempts, key)
		require.Equal(t, duplicate, r.PossibleDuplicate, key)
		if state == "sent" {
			require.Contains(t, idsOf(created[key]), r.MessageID, key)
		}
	}
	check("begun-hold", "held", 0, 1, false)
	check("begun-resend", "sent", 1, 2, true)
	check("begun-found-hold", "held", 0, 1, false)
	check("begun-found-resend", "sent", 1, 2, true)
	check("late-hold", "held", 1, 1, false)
	check("late-resend", "sent", 2, 2, true)
	check("late-found-hold", "sent", 1, 1, false)
	check("late-found-resend", "sent", 1, 1, false)
	check("left-hold", "held", 1, 1, false)
	check("left-resend", "sent", 2, 2, true)
	check("left-found-hold", "sent", 1, 1, false)
	check("left-found-resend", "sent", 1, 1, false)
	for kind := range kinds {
		check("waiting-"+kind, "sent", 1, 1, false)
	}
	check("throttled-0", "sent", 1, 2, false)
}

func idsOf(messages []intercomtest.CreatedMessage) []string {
	var ids []string
	for _, m := range messages {
		ids = append(ids, m.ID)
	}
	return ids
}

func TestAKilledMatchersNotificationsAreMatchedByAnother(t *testing.T) {
	t.Parallel()
	s := newSite(t, everybody())
	// The matcher is stopped as it looks up the message that was answered.
	p := startProxy(t, s.redis.Addr, func(piece string) stop {
		if strings.Contains(strings.ToLower(piece), "\r\nget\r\n") && strings.Contains(piece, "dispatch:{main}:id:") {
			return keepRequest
		}
		return passOn
	})
	victim := s.startVia("REDIS_URL=redis://" + p.addr() + "/0")
	webhook := s.start("webhook")
	require.NoError(t, s.fake.Subscribe(t.Context(), webhook.webhookURL()))
	keys, lines := messages(3, "question", plain("hold"))
	s.enqueue(lines...)
	s.awaitCreated(len(keys), patience)
	s.awaitDone(patience)
	for key, m := range s.created() {
		_, err := s.fake.Reply(t.Context(), m[0].ID, "Yes, "+key)
		require.NoError(t, err)
	}
	p.await(len(keys))

	s.start("worker")
	s.awaitMembers(2)
	victim.kill()
	killed := time.Now()
	tail := s.start("replies", "tail", "--from-start")
	texts := map[string]bool{}
	tail.stdout.await(t, "all replies", func(line string) bool {
		texts[decodeLines[replyEvent](t, line)[0].Text] = true
		return len(texts) == len(keys)
	})
	require.Less(t, time.Since(killed), takenOver)
	for _, key := range keys {
		s.awaitState(key, "replied")
	}
	require.Len(t, decodeLines[replyEvent](t, tail.stdout.String()), len(keys))
}
