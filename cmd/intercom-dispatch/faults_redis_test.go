package main

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/intercom-dispatch/intercom-dispatch/intercom/intercomtest"
	"github.com/intercom-dispatch/intercom-dispatch/internal/redistest"
)

// durable is a site whose Redis loses nothing that it has answered.
func durable(t *testing.T) *site {
	t.Helper()
	return newSiteOn(t, redistest.Start(t, redistest.Options{AppendOnly: true, Fsync: "always"}), everybody())
}

// enqueueAll runs enqueue until all lines are in.
func (s *site) enqueueAll(lines []string) {
	s.t.Helper()
	file := s.file(lines...)
	for until := time.Now().Add(2 * patience); ; {
		r := s.finish("enqueue", file, "--json")
		if r.status == 0 {
			return
		}
		require.Less(s.t, time.Now(), until, r.stdout+r.stderr)
	}
}

func TestMessagesAreCreatedOnceWhileRedisIsKilledAndRestarted(t *testing.T) {
	t.Parallel()
	s := durable(t)
	s.fake.InjectFault(intercomtest.Fault{Latency: 300 * time.Millisecond})
	f := s.fleet(2, "--concurrency", "8")
	var createdBefore []int
	crashes := make(chan struct{})
	go func() {
		defer close(crashes)
		for range 3 {
			time.Sleep(1500 * time.Millisecond)
			createdBefore = append(createdBefore, len(s.fake.Created()))
			s.redis.Kill()
			// Longer than go-redis goes on by itself.
			time.Sleep(2 * time.Second)
			s.redis.Restart()
		}
	}()
	var keys []string
	for i := range 20 {
		hold, holdLines := messages(10, fmt.Sprintf("hold-%d", i), plain("hold"))
		resend, resendLines := messages(10, fmt.Sprintf("resend-%d", i), plain("resend"))
		s.enqueueAll(append(holdLines, resendLines...))
		keys = append(append(keys, hold...), resend...)
	}
	<-crashes
	require.NotZero(t, createdBefore[0])
	require.Less(t, createdBefore[2], len(keys), "the last crash was not under load")
	s.awaitDone(2 * time.Minute)
	f.end()
	for _, r := range s.requireSentOnce(keys) {
		require.False(t, r.PossibleDuplicate, r.Key)
	}
}

func TestResultsThatCameWhileRedisWasAwayAreRecorded(t *testing.T) {
	t.Parallel()
	s := durable(t)
	s.fake.InjectFault(intercomtest.Fault{Latency: time.Second, AfterCreate: true})
	f := s.fleet(2, "--concurrency", "10")
	keys, lines := messages(60, "order", plain("resend"))
	s.enqueue(lines...)
	s.awaitCreated(30, patience)
	s.redis.Kill()
	time.Sleep(20 * time.Second)
	underWay := len(s.fake.Created())
	require.Less(t, underWay, len(keys))
	s.redis.Restart()
	s.awaitCreated(len(keys), time.Minute)
	s.awaitDone(time.Minute)
	f.end()
	for _, r := range s.requireSentOnce(keys) {
		require.False(t, r.PossibleDuplicate, r.Key)
	}
	require.Len(t, s.messageRequests(), len(keys))
}
