package main

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/intercom-dispatch/intercom-dispatch/intercom/intercomtest"
)

func TestRollingRestartsDeliverEachMessageOnceInOneAttempt(t *testing.T) {
	t.Parallel()
	s := newSite(t, everybody())
	s.fake.InjectFault(intercomtest.Fault{Latency: 1500 * time.Millisecond})
	f := s.fleet(2, "--concurrency", "8")
	keys, lines := messages(200, "order", plain("hold"))
	s.enqueue(lines...)
	s.awaitTasks(16, activeTasks, patience)
	for i := range 4 {
		f.roll(i % 2)
	}
	require.Less(t, len(s.fake.Created()), len(keys), "the restarts were not under load")
	s.awaitCreated(len(keys), time.Minute)
	s.awaitDone(patience)
	f.end()
	for _, r := range s.requireSentOnce(keys) {
		require.Equal(t, 1, r.Attempts, r.Key)
		require.False(t, r.PossibleDuplicate, r.Key)
	}
	require.Len(t, s.messageRequests(), len(keys))
}
