package main

import (
	"context"
	"net/http"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/intercom-dispatch/intercom-dispatch/intercom/intercomtest"
	"github.com/intercom-dispatch/intercom-dispatch/internal/redistest"
)

func TestAWorkerThatIsToldToStopFinishesItsRequest(t *testing.T) {
	t.Parallel()
	s := newSite(t, everybody())
	w := s.worker()
	s.fake.InjectFault(intercomtest.Fault{Name: "slow", Latency: 1500 * time.Millisecond})
	before := s.fake.Log().Arrived
	s.enqueue(inApp("slow", "ada", "Hello"))
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	require.NoError(t, s.fake.WaitFor(ctx, func(l intercomtest.Log) bool { return l.Arrived > before }))
	require.Equal(t, "sending", s.records("slow")[0].State)
	w.signal(syscall.SIGTERM)
	require.Equal(t, 0, w.status())

	created := s.fake.Created()
	require.Len(t, created, 1)
	r := s.records("slow")[0]
	require.Equal(t, "sent", r.State)
	require.Equal(t, created[0].ID, r.MessageID)

	// The next worker has nothing to do for it.
	s.fake.ClearFaults()
	s.worker()
	s.enqueue(inApp("next", "ada", "Hello again"))
	s.awaitState("next", "sent")
	require.Len(t, s.fake.Created(), 2)
}

func TestAWorkerTellsHowItIs(t *testing.T) {
	t.Parallel()
	s := newSite(t, everybody())
	w := s.worker()
	url := w.adminURL()
	s.enqueue(inApp("one", "ada", private))
	s.awaitState("one", "sent")

	status, body := fetch(t, http.MethodGet, url+"/healthz", "")
	require.Equal(t, http.StatusOK, status, body)
	status, body = fetch(t, http.MethodGet, url+"/readyz", "")
	require.Equal(t, http.StatusOK, status, body)
	_, metrics := fetch(t, http.MethodGet, url+"/metrics", "")
	for _, line := range []string{
		`dispatch_attempts_total{outcome="sent"} 1`, `dispatch_messages_total{state="sent"} 1`,
		`dispatch_deliveries_in_flight 0`, `dispatch_redis_up{workspace="main"} 1`,
		`dispatch_queue_tasks{queue="normal",state="pending",workspace="main"} 0`,
		`dispatch_request_seconds_count 1`, `dispatch_delivery_seconds_count 1`,
		`dispatch_ledger_errors_total 0`, `dispatch_resent_total 0`, "go_goroutines", "process_open_fds",
	} {
		require.Contains(t, metrics, line)
	}
	status, _ = fetch(t, http.MethodGet, url+"/", "")
	require.Equal(t, http.StatusNotFound, status, "there is no web UI without --monitor")
	require.NotContains(t, w.stderr.String(), siteToken)
	require.NotContains(t, w.stderr.String(), private)
}

func TestAWorkerOutlivesItsRedis(t *testing.T) {
	t.Parallel()
	s := newSiteOn(t, redistest.Start(t, redistest.Options{AppendOnly: true}), everybody())
	w := s.worker()
	url := w.adminURL()
	becomes := func(status int, says string) {
		require.Eventually(t, func() bool {
			got, body, err := tryFetch(t, http.MethodGet, url+"/readyz", "")
			return err == nil && got == status && strings.Contains(body, says)
		}, patience, 100*time.Millisecond, "/readyz did not become %d", status)
	}
	becomes(http.StatusOK, `"ok":true`)
	s.redis.Kill()
	becomes(http.StatusServiceUnavailable, `"redis":{"ok":false,"error":"`)
	status, _ := fetch(t, http.MethodGet, url+"/healthz", "")
	require.Equal(t, http.StatusOK, status, "the process itself is well")
	s.redis.Restart()
	becomes(http.StatusOK, `"ok":true`)
	s.enqueue(inApp("after", "ada", "Hello"))
	s.awaitCreated(1, patience)
	w.interrupt()
}

func TestTheMonitorShowsTheQueuesButNoTexts(t *testing.T) {
	t.Parallel()
	s := newSite(t, intercomtest.Config{})
	m := s.start("monitor")
	url := m.adminURL()
	// It waits in its queue: there is no worker.
	s.enqueue(inApp("one", "ada", private, `,"metadata":{"order":"1042"}`))

	status, page := fetch(t, http.MethodGet, url+"/", "")
	require.Equal(t, http.StatusOK, status)
	require.Contains(t, page, "<html")
	status, queues := fetch(t, http.MethodGet, url+"/api/queues", "")
	require.Equal(t, http.StatusOK, status)
	require.Contains(t, queues, "intercom-main-normal")
	status, tasks := fetch(t, http.MethodGet, url+"/api/queues/intercom-main-normal/pending_tasks", "")
	require.Equal(t, http.StatusOK, status)
	require.Contains(t, tasks, `"one"`)
	require.Contains(t, tasks, "1042")
	require.NotContains(t, tasks, private)
	status, metrics := fetch(t, http.MethodGet, url+"/metrics", "")
	require.Equal(t, http.StatusOK, status)
	require.Contains(t, metrics, `dispatch_queue_tasks{queue="normal",state="pending",workspace="main"} 1`)

	status, _ = fetch(t, http.MethodDelete, url+"/api/queues/intercom-main-normal/pending_tasks/one", "", "Origin", "http://evil.example")
	require.Equal(t, http.StatusForbidden, status)
	require.Equal(t, "queued", s.records("one")[0].State)
	m.interrupt()
}

func TestOneWorkerDoesItAll(t *testing.T) {
	t.Parallel()
	s := newSite(t, everybody())
	w := s.worker("--webhook", "--monitor", "--admin-read-only")
	s.fake.SetWebhookURL(w.webhookURL())
	s.enqueue(inApp("one", "ada", "Hello"))
	_, err := s.fake.Reply(t.Context(), s.awaitState("one", "sent").MessageID, "Hi!")
	require.NoError(t, err)
	s.awaitState("one", "replied")

	url := w.adminURL()
	status, page := fetch(t, http.MethodGet, url+"/", "")
	require.Equal(t, http.StatusOK, status)
	require.Contains(t, page, "<html")
	status, _ = fetch(t, http.MethodPost, url+"/api/queues/intercom-main-normal:pause", "")
	require.Equal(t, http.StatusMethodNotAllowed, status)
	w.signal(syscall.SIGTERM)
	require.Equal(t, 0, w.status())
	require.NotContains(t, w.stderr.String(), siteSecret)
}

func TestACorrectedTokenFileNeedsNoRestart(t *testing.T) {
	t.Parallel()
	s := newSite(t, everybody())
	path := writeFile(t, "wrong-"+private+"\n")
	p := start(t, call{args: []string{"worker", "--intercom-token-file", path}, env: s.env()})
	require.Contains(t, p.logged("the Intercom token was not confirmed; messages will wait")["error"], "401")
	keys := []string{"one", "two", "three"}
	s.enqueue(inApp(keys[0], "ada", "Hello"), inApp(keys[1], "ada", "Hello"), inApp(keys[2], "ada", "Hello"))
	held := p.logged("workspace is on hold")
	require.Equal(t, "unauthorized", held["code"])
	require.Empty(t, s.fake.Created())
	// The process knows of its hold a moment before Redis does.
	var body string
	require.Eventually(t, func() bool {
		var status int
		status, body = fetch(t, http.MethodGet, p.adminURL()+"/readyz", "")
		return status == http.StatusServiceUnavailable
	}, patience, 10*time.Millisecond)
	require.Contains(t, body, "Intercom refuses the access token")
	require.Contains(t, s.finish("doctor").stdout, "Intercom refuses the access token")

	require.NoError(t, os.WriteFile(path, []byte(siteToken+"\n"), 0o600))
	require.Len(t, s.awaitCreated(len(keys), patience), len(keys))
	for _, key := range keys {
		s.awaitState(key, "sent")
	}
	require.Len(t, s.fake.Created(), len(keys))
	p.logged("workspace goes on")
	status, _ := fetch(t, http.MethodGet, p.adminURL()+"/readyz", "")
	require.Equal(t, http.StatusOK, status)
	require.NotContains(t, p.stderr.String(), private)
	require.NotContains(t, p.stderr.String(), siteToken)
	p.interrupt()
}
