package main

import (
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/hibiken/asynq"
	"github.com/stretchr/testify/require"

	"github.com/intercom-dispatch/intercom-dispatch/intercom/intercomtest"
	"github.com/intercom-dispatch/intercom-dispatch/ledger"
)

// done is what retry, cancel and resolve print with --json. The fields are
// spelt out here because they are promised to users.
type done struct {
	Key               string `json:"key"`
	Action            string `json:"action"`
	Resolution        string `json:"resolution"`
	Done              bool   `json:"done"`
	StateBefore       string `json:"state_before"`
	State             string `json:"state"`
	PossibleDuplicate bool   `json:"possible_duplicate"`
	DryRun            bool   `json:"dry_run"`
	Error             string `json:"error"`
}

// list returns the keys that `message list` prints.
func (s *site) list(args ...string) []string {
	s.t.Helper()
	r := s.finish(append([]string{"message", "list", "--json"}, args...)...)
	require.Equal(s.t, 0, r.status, r.stderr)
	var keys []string
	for _, m := range decodeLines[record](s.t, r.stdout) {
		keys = append(keys, m.Key)
	}
	return keys
}

// awaitArchived waits until asynq has so many tasks in its archive: the worker
// writes the record first.
func (s *site) awaitArchived(n int) *asynq.Inspector {
	s.t.Helper()
	inspector := asynq.NewInspectorFromRedisClient(s.redis.Client(s.t))
	require.Eventually(s.t, func() bool {
		q, err := inspector.GetQueueInfo("intercom-main-normal")
		return err == nil && q.Archived == n
	}, patience, 50*time.Millisecond)
	return inspector
}

// refusedMessages enqueues messages that Intercom refuses, and returns their
// keys when all have failed.
func (s *site) refusedMessages(n int) []string {
	s.t.Helper()
	s.fake.InjectFault(intercomtest.Fault{
		Status: 422, Body: `{"type":"error.list","errors":[{"code":"parameter_invalid","message":"Body is invalid"}]}`,
	})
	keys, lines := make([]string, n), make([]string, n)
	for i := range n {
		keys[i] = fmt.Sprintf("order-%d", i)
		lines[i] = inApp(keys[i], "contact-"+keys[i], keys[i])
	}
	s.enqueue(lines...)
	inspector := s.awaitArchived(n)
	_, err := inspector.DeleteAllArchivedTasks("intercom-main-normal")
	require.NoError(s.t, err)
	s.fake.ClearFaults()
	return keys
}

// createdOnce checks that these messages exist, each once.
func (s *site) createdOnce(keys ...string) {
	s.t.Helper()
	var bodies []string
	for _, m := range s.fake.Created() {
		bodies = append(bodies, m.Body)
	}
	require.ElementsMatch(s.t, keys, bodies)
}

func TestFailedMessagesOutliveAsynqsArchiveAndAreSentOnceMore(t *testing.T) {
	t.Parallel()
	const n = 200
	s := withUnsubscribed(t)
	w := s.worker()
	keys := s.refusedMessages(n)
	require.ElementsMatch(t, keys, s.list("--state", "failed", "--limit", "1000"))
	s.enqueue(email("unsubscribed", "linus", private))
	s.awaitState("unsubscribed", "failed")
	require.Len(t, s.list("--state", "failed", "--code", "parameter_invalid", "--limit", "1000"), n)
	require.Empty(t, s.list("--state", "failed", "--code", "gave_up"))
	r := s.finish("message", "list", "--state", "failed")
	require.Equal(t, 101, strings.Count(r.stdout, "\n"))
	require.Contains(t, r.stderr, "only the latest 100 are listed")

	r = s.finish("message", "retry", "order-7")
	require.Equal(t, result{stdout: "retried  order-7  (was failed: 422 parameter_invalid)\n1 retried\n"}, r)
	s.awaitState("order-7", "sent")
	s.createdOnce("order-7")

	bulk := []string{"message", "retry", "--state", "failed", "--code", "parameter_invalid"}
	before := s.finish("message", "list", "--state", "failed", "--limit", "1000", "--json").stdout
	r = s.finish(append(bulk, "--dry-run", "--json")...)
	require.Equal(t, 0, r.status, r.stderr)
	would := decodeLines[done](t, r.stdout)
	require.Len(t, would, n-1)
	for _, d := range would {
		require.Equal(t, done{Key: d.Key, Action: "retry", Done: true, StateBefore: "failed", State: "waiting", DryRun: true}, d)
	}
	require.Equal(t, before, s.finish("message", "list", "--state", "failed", "--limit", "1000", "--json").stdout)
	s.createdOnce("order-7")

	r = s.finish(append(bulk, "--limit", "2", "--dry-run")...)
	require.Regexp(t, `^(would retry  order-\d+ +\(is failed: 422 parameter_invalid\)\n){2}2 messages would be retried\n$`, r.stdout)
	r = s.finish(append(bulk, "--json")...)
	require.Equal(t, 0, r.status, r.stderr)
	require.Equal(t, "199 retried\n", r.stderr)
	require.Len(t, decodeLines[done](t, r.stdout), n-1)
	s.awaitCreated(n, patience)
	w.signal(syscall.SIGTERM)
	require.Equal(t, 0, w.status())
	s.createdOnce(keys...)
	for _, m := range s.records(keys...) {
		require.Equal(t, "sent", m.State)
		require.Equal(t, 2, m.Attempts)
		require.False(t, m.PossibleDuplicate)
	}
	require.Equal(t, result{stdout: "0 retried\n"}, s.finish(bulk...))
}

func TestRetryingTwiceAndEnqueueingAgainSendsOnce(t *testing.T) {
	t.Parallel()
	s := newSite(t, everybody())
	w := s.worker()
	s.refusedMessages(1)
	w.signal(syscall.SIGTERM)
	require.Equal(t, 0, w.status())

	for range 2 {
		require.Equal(t, 0, s.finish("message", "retry", "order-0", "order-0").status)
		require.Equal(t, "duplicate", s.enqueue(inApp("order-0", "contact-order-0", "order-0"))[0].Status)
	}
	w = s.worker()
	s.awaitState("order-0", "sent")
	require.Equal(t, exitFailed, s.finish("message", "retry", "order-0").status)
	w.signal(syscall.SIGTERM)
	require.Equal(t, 0, w.status())
	s.createdOnce("order-0")
}

// heldMessages leaves messages of which only the fake knows whether they exist.
func (s *site) heldMessages(keys ...string) {
	s.t.Helper()
	for _, key := range keys {
		cut := intercomtest.CutBeforeCreate
		if strings.HasPrefix(key, "there") {
			cut = intercomtest.CutAfterCreate
		}
		s.fake.InjectFault(intercomtest.Fault{Contact: key, Cut: cut, Times: 1})
		s.enqueue(inApp(key, key, key))
		s.awaitState(key, "held")
	}
	s.awaitArchived(len(keys))
}

func TestAPersonDecidesAboutHeldMessages(t *testing.T) {
	t.Parallel()
	s := newSite(t, everybody())
	w := s.worker("--if-uncertain", "hold")
	s.heldMessages("there", "there too", "resend", "drop", "rest")
	require.Len(t, s.list("--state", "held"), 5)
	ids := map[string]string{}
	for _, m := range s.fake.Created() {
		ids[m.Body] = m.ID
	}

	r := s.finish("message", "resolve", "there", "--sent", ids["there"])
	require.Equal(t, result{stdout: "marked as sent  there  (was held: no_answer)\n1 marked as sent\n"}, r)
	require.Equal(t, ids["there"], s.records("there")[0].MessageID)
	r = s.finish("message", "resolve", "there too", "--sent", ids["there"])
	require.Equal(t, exitFailed, r.status)
	require.Equal(t, fmt.Sprintf("refused         there too  the id %s belongs to the message \"there\"\n0 marked as sent, 1 not\n", ids["there"]), r.stdout)

	r = s.finish("message", "resolve", "resend", "--resend")
	require.Equal(t, result{stdout: "retried  resend  (was held: no_answer; it may arrive twice)\n1 retried\n"}, r)
	require.True(t, s.awaitState("resend", "sent").PossibleDuplicate)

	r = s.finish("message", "resolve", "drop", "--drop", "--json")
	require.Equal(t, 0, r.status)
	require.JSONEq(t, `{"key":"drop","action":"resolve","resolution":"drop","done":true,"state_before":"held","state":"cancelled"}`, r.stdout)

	r = s.finish("message", "retry", "rest", "there too")
	require.Equal(t, "retried  rest       (was held: no_answer; it may arrive twice)\n"+
		"retried  there too  (was held: no_answer; it may arrive twice)\n2 retried\n", r.stdout)
	s.awaitState("rest", "sent")
	s.awaitState("there too", "sent")
	w.signal(syscall.SIGTERM)
	require.Equal(t, 0, w.status())
	s.createdOnce("there", "there too", "there too", "resend", "rest")
}

func TestHeldMessagesAreResolvedInBulk(t *testing.T) {
	t.Parallel()
	s := newSite(t, everybody())
	s.worker("--if-uncertain", "hold")
	s.heldMessages("there", "a", "b")
	bulk := []string{"message", "resolve", "--state", "held", "--code", "no_answer", "--drop"}
	r := s.finish(append(bulk, "--dry-run")...)
	require.Equal(t, result{stdout: "would drop  b      (is held: no_answer)\nwould drop  a      (is held: no_answer)\n" +
		"would drop  there  (is held: no_answer)\n3 messages would be dropped\n"}, r)
	require.Len(t, s.list("--state", "held"), 3)
	require.Equal(t, "3 dropped\n", s.finish(append(bulk, "--json")...).stderr)
	require.Empty(t, s.list("--state", "held"))
	require.Len(t, s.list("--state", "cancelled"), 3)
	s.awaitArchived(0)
	s.createdOnce("there")
}

func TestABulkLeavesAloneWhatHasMovedOnSinceItWasListed(t *testing.T) {
	t.Parallel()
	bulk := &selection{State: "failed", Code: "parameter_invalid"}
	code := func(c string) *ledger.Error { return &ledger.Error{Code: c} }
	require.NoError(t, bulk.stillSelected(&ledger.Record{State: ledger.Failed, LastError: code("parameter_invalid")}))
	held := &ledger.Record{State: ledger.Held, LastError: code("no_answer")}
	require.EqualError(t, bulk.stillSelected(held), "it is held by now")
	require.Error(t, bulk.stillSelected(&ledger.Record{State: ledger.Failed, LastError: code("gave_up")}))
	require.Error(t, bulk.stillSelected(&ledger.Record{State: ledger.Failed}))
	require.NoError(t, (&selection{Keys: []string{"k"}}).stillSelected(held))
}

func TestMessagesAreTakenBack(t *testing.T) {
	t.Parallel()
	s := withUnsubscribed(t)
	s.worker()
	s.enqueue(
		inApp("queued", "ada", "Hello", `,"at":"`+time.Now().Add(time.Hour).Format(time.RFC3339)+`"`),
		inApp("waiting", "never-jo", "Hello"), inApp("waits too", "never-jo", "Hello"),
		inApp("sent", "ada", "Hello"), email("failed", "linus", private),
	)
	s.awaitState("waiting", "waiting")
	s.awaitState("waits too", "waiting")
	s.awaitState("sent", "sent")
	s.awaitState("failed", "failed")

	r := s.finish("message", "cancel", "queued", "waiting", "sent", "failed", "unknown", "--dry-run")
	require.Equal(t, exitFailed, r.status)
	require.Equal(t, `would cancel  queued   (is queued)
would cancel  waiting  (is waiting: 404 not_found)
refused       sent     it is sent
refused       failed   it is failed; "message resolve --drop" ends it
refused       unknown  no such message
2 messages would be cancelled, 3 not
`, r.stdout)
	require.Equal(t, "queued", s.records("queued")[0].State)

	r = s.finish("message", "cancel", "queued", "waiting", "--json")
	require.Equal(t, 0, r.status)
	require.Equal(t, []done{
		{Key: "queued", Action: "cancel", Done: true, StateBefore: "queued", State: "cancelled"},
		{Key: "waiting", Action: "cancel", Done: true, StateBefore: "waiting", State: "cancelled"},
	}, decodeLines[done](t, r.stdout))
	require.Equal(t, 0, s.finish("message", "cancel", "--state", "waiting", "--code", "not_found").status)
	require.ElementsMatch(t, []string{"queued", "waiting", "waits too"}, s.list("--state", "cancelled"))
	require.Equal(t, 0, s.finish("message", "resolve", "failed", "--drop").status)

	// What a message says that was never attempted is gone with its task.
	r = s.finish("message", "retry", "queued", "--json")
	require.Equal(t, exitFailed, r.status)
	d := decodeLines[done](t, r.stdout)[0]
	require.Contains(t, d.Error, "not kept any more")
	require.Equal(t, "cancelled", d.State)
	require.False(t, d.Done)
	r = s.finish("message", "retry", "unknown", "--json")
	require.Equal(t, exitUnknown, r.status)
	require.Equal(t, []done{{Key: "unknown", Action: "retry", Error: "no such message"}}, decodeLines[done](t, r.stdout))
	require.Equal(t, exitFailed, s.finish("message", "retry", "unknown", "sent").status)
}
