package main

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/intercom-dispatch/intercom-dispatch/intercom/intercomtest"
	"github.com/intercom-dispatch/intercom-dispatch/internal/task"
)

func TestARevokedTokenHoldsTheWorkspaceUntilItIsRestored(t *testing.T) {
	t.Parallel()
	for _, workers := range []int{1, 2} {
		t.Run(fmt.Sprintf("%d workers", workers), func(t *testing.T) {
			t.Parallel()
			revokeAndRestore(t, workers)
		})
	}
}

func revokeAndRestore(t *testing.T, workers int) {
	t.Helper()
	const concurrency = 10
	s := newSite(t, everybody())
	s.fake.InjectFault(intercomtest.Fault{Latency: 100 * time.Millisecond})
	inspector := s.inspector()
	bulk := func(key string) string { return inApp(key, "contact-"+key, "about "+key, `,"priority":"bulk"`) }
	later, lines := messages(3, "later", bulk)
	s.enqueue(lines...)
	require.NoError(t, inspector.PauseQueue(task.Queue("main", task.Bulk)))
	urgent := func(key string) string { return inApp(key, "contact-"+key, "about "+key, `,"priority":"high"`) }
	keys, lines := messages(100, "urgent", urgent)
	normal, normalLines := messages(100, "order", plain("hold"))
	s.enqueue(append(lines, normalLines...)...)
	keys = append(keys, normal...)

	f := s.fleet(workers, "--concurrency", fmt.Sprint(concurrency))
	s.awaitCreated(20, patience)
	s.fake.SetToken("another")
	s.awaitPaused(task.High, task.Normal, task.Bulk)
	noticed := time.Now()
	refused := s.refused("/messages")
	require.NotEmpty(t, refused)
	require.Less(t, noticed.Sub(refused[0].At), time.Second)

	// Two more looks at the token, by one process for all.
	require.Eventually(t, func() bool { return len(s.refused("/me")) >= 2 }, patience, 50*time.Millisecond)
	last := s.refused("/me")[1]
	require.Greater(t, last.At.Sub(refused[0].At), 2*time.Second)
	require.Len(t, s.refused("/me"), 2)
	before := len(s.fake.Created())
	require.Less(t, before, len(keys))
	s.fake.SetToken(siteToken)
	s.awaitCreated(len(keys), patience)
	s.awaitTasks(len(later), unfinishedTasks, patience)
	s.requireSentOnce(keys)
	require.LessOrEqual(t, len(s.refused("/messages")), workers*concurrency)
	t.Logf("%d were refused, %d had been created, paused after %s", len(s.refused("/messages")), before, noticed.Sub(refused[0].At))

	// The operator's own pause has outlived the hold.
	s.awaitPaused(task.Bulk)
	require.NoError(t, inspector.UnpauseQueue(task.Queue("main", task.Bulk)))
	s.awaitDone(patience)
	f.end()
	s.requireSentOnce(append(keys, later...))
}

// refused returns the requests to a path whose token was refused.
func (s *site) refused(path string) []intercomtest.Request {
	var found []intercomtest.Request
	for _, r := range s.fake.Requests() {
		if r.Path == path && r.Status == http.StatusUnauthorized {
			found = append(found, r)
		}
	}
	return found
}

// awaitPaused waits until these queues are paused, and no others.
func (s *site) awaitPaused(priorities ...string) {
	s.t.Helper()
	inspector := s.inspector()
	require.Eventually(s.t, func() bool {
		var paused []string
		for _, p := range task.Priorities() {
			info, err := inspector.GetQueueInfo(task.Queue("main", p))
			if err == nil && info.Paused {
				paused = append(paused, p)
			}
		}
		return fmt.Sprint(paused) == fmt.Sprint(priorities)
	}, patience, 20*time.Millisecond, "not just %v are paused", priorities)
}
