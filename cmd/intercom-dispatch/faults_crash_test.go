package main

import (
	"net/http"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/intercom-dispatch/intercom-dispatch/intercom/intercomtest"
)

// hostile are the flags of workers that are killed. What they began is over
// 17 s later: the lease of an attempt.
var hostile = []string{"--settle-delay", "3s", "--request-timeout", "2s", "--concurrency", "16"}

const (
	kills        = 6
	betweenKills = 700 * time.Millisecond
	// slowly makes the messages take longer than the killing.
	slowly = 250 * time.Millisecond
)

// injectTrouble lets 5 % of all requests go wrong, and the others to /messages
// take a while before or after the message was created.
func (s *site) injectTrouble() {
	const chance = 0.05 / 4
	for _, f := range []intercomtest.Fault{
		{Name: "answer lost", Path: "*", Chance: chance, Cut: intercomtest.CutAfterCreate},
		{Name: "request lost", Path: "*", Chance: chance, Cut: intercomtest.CutBeforeCreate},
		{Name: "500 not created", Path: "*", Chance: chance, Status: http.StatusInternalServerError},
		{Name: "500 created", Path: "*", Chance: chance, Status: http.StatusInternalServerError, AfterCreate: true},
		{Name: "slow to create", Chance: 0.5, Latency: slowly},
		{Name: "slow to answer", Latency: slowly, AfterCreate: true},
	} {
		s.fake.InjectFault(f)
	}
}

// deliverInTrouble delivers messages with two workers that are killed in turn.
func deliverInTrouble(t *testing.T, lines []string) *site {
	t.Helper()
	cfg := everybody()
	cfg.IndexLag, cfg.Seed = 500*time.Millisecond, 17
	s := newSite(t, cfg)
	s.injectTrouble()
	f := s.fleet(2, hostile...)
	s.enqueue(lines...)
	began := time.Now()
	for i := range kills {
		time.Sleep(betweenKills)
		f.replace(i % 2)
	}
	s.awaitDone(3 * time.Minute)
	t.Logf("%d messages took %s", len(lines), time.Since(began).Round(time.Second))
	f.end()
	t.Logf("requests by fault: %v", s.faultCounts())
	return s
}

func (s *site) faultCounts() map[string]int {
	counts := map[string]int{}
	for _, r := range s.fake.Requests() {
		counts[r.Path+" "+r.FaultName]++
	}
	return counts
}

func TestMessagesThatOpenConversationsAreCreatedOnceThroughCrashesAndFaults(t *testing.T) {
	t.Parallel()
	keys, lines := messages(600, "order", opening("resend"))
	s := deliverInTrouble(t, lines)
	again := 0
	for _, r := range s.requireSentOnce(keys) {
		if r.PossibleDuplicate {
			again++
			require.Greater(t, r.Attempts, 1, r.Key)
		}
	}
	t.Logf("%d were sent again after an attempt that was looked for and not found", again)
}

func TestHeldMessagesAreNeverCreatedTwiceThroughCrashesAndFaults(t *testing.T) {
	t.Parallel()
	keys, lines := messages(400, "order", plain("hold"))
	s := deliverInTrouble(t, lines)
	created := s.created()
	states := map[string]int{}
	for _, r := range s.records(keys...) {
		copies := created[r.Key]
		require.LessOrEqual(t, len(copies), 1, r.Key)
		require.False(t, r.PossibleDuplicate, r.Key)
		states[r.State]++
		if r.State == "held" {
			continue
		}
		require.Len(t, copies, 1, r.Key)
		s.requireSentAs(r, copies[0])
	}
	require.Equal(t, len(keys), states["sent"]+states["held"], states)
	require.NotZero(t, states["held"], "nothing was uncertain")
	t.Logf("states: %v", states)
}

func TestAKilledWorkersMessagesAreDeliveredByAnother(t *testing.T) {
	t.Parallel()
	s := newSite(t, everybody())
	const n = 10
	const shut = 25 * time.Second
	reset := strconv.FormatInt(time.Now().Add(shut).Unix(), 10)
	s.fake.InjectFault(intercomtest.Fault{
		Contact: "contact-throttled-0", Times: 1, Status: http.StatusTooManyRequests, Header: http.Header{"X-RateLimit-Reset": {reset}},
	})
	s.fake.InjectFault(intercomtest.Fault{Times: n, Latency: patience})
	victim := s.worker("--concurrency", "20")
	// Ten are in mid-request. Then the rate limit is used up, and the worker
	// takes ten more that it does not begin.
	begun, lines := messages(n, "begun", plain("resend"))
	s.enqueue(lines...)
	s.awaitArrived(1 + n) // The first one is to /me.
	_, lines = messages(1, "throttled", plain("resend"))
	s.enqueue(lines...)
	require.Eventually(t, func() bool { return len(s.messageRequests()) == 1 }, patience, 20*time.Millisecond)
	waiting, lines := messages(n, "waiting", plain("hold"))
	s.enqueue(lines...)
	s.awaitTasks(2*n, activeTasks, patience)

	s.start("worker")
	s.awaitMembers(2)
	require.Empty(t, s.fake.Created())
	victim.kill()
	s.awaitCreated(2*n, takenOver+shut)
	s.awaitTasks(1, unfinishedTasks, patience)
	for _, r := range s.requireSentOnce(begun) {
		require.Equal(t, 2, r.Attempts)
		require.True(t, r.PossibleDuplicate)
	}
	for _, r := range s.requireSentOnce(waiting) {
		require.Equal(t, 1, r.Attempts)
		require.False(t, r.PossibleDuplicate)
	}
}

// messageRequests returns the requests to create a message that have ended.
func (s *site) messageRequests() []intercomtest.Request {
	var found []intercomtest.Request
	for _, r := range s.fake.Requests() {
		if r.Path == "/messages" {
			found = append(found, r)
		}
	}
	return found
}
