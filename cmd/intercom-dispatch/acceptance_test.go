package main

import (
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/intercom-dispatch/intercom-dispatch/intercom/intercomtest"
	"github.com/intercom-dispatch/intercom-dispatch/internal/redistest"
)

func TestEachOfManyMessagesIsCreatedOnce(t *testing.T) {
	t.Parallel()
	t.Run("redis-server", func(t *testing.T) {
		t.Parallel()
		deliverMany(t, redistest.Start(t, redistest.Options{}), 500)
	})
	// Miniredis takes milliseconds for a script.
	t.Run("miniredis", func(t *testing.T) {
		t.Parallel()
		deliverMany(t, redistest.Mini(t), 60)
	})
}

// deliverMany sends n messages, every fifth of them to a contact that appears
// in a few seconds and every seventh of them as an email.
func deliverMany(t *testing.T, r *redistest.Server, n int) {
	t.Helper()
	s := newSiteOn(t, r, intercomtest.Config{})
	w := s.worker()
	began := time.Now()
	keys, lines := make([]string, n), make([]string, n)
	for i := range n {
		contact := fmt.Sprintf("contact-%d", i)
		keys[i] = fmt.Sprintf("order-%d", i)
		lines[i] = inApp(keys[i], contact, "about "+keys[i])
		c := intercomtest.Contact{ID: contact}
		if i%5 == 0 {
			c.MessageableAt = began.Add(3*time.Second + time.Duration(i*397%3000)*time.Millisecond)
		}
		if i%7 == 0 {
			lines[i] = email(keys[i], contact, "about "+keys[i])
		}
		s.fake.AddContact(c)
	}
	results := s.enqueue(lines...)
	require.Len(t, results, n)
	for i, r := range results {
		require.Equal(t, lineResult{Line: i + 1, Key: keys[i], Status: "enqueued"}, r)
	}
	s.awaitCreated(n, 40*time.Second)
	// What was created is recorded when the worker is gone.
	w.signal(syscall.SIGTERM)
	require.Equal(t, 0, w.status())
	require.Less(t, time.Since(began), 40*time.Second)
	checkCreatedOnce(t, s, keys)
}

func checkCreatedOnce(t *testing.T, s *site, keys []string) {
	t.Helper()
	ids, emails := map[string]string{}, 0
	for _, m := range s.fake.Created() {
		key := strings.TrimPrefix(m.Body, "about ")
		require.NotContains(t, ids, key, "created twice")
		ids[key] = m.ID
		if m.MessageType == "email" {
			emails++
		}
	}
	require.Len(t, ids, len(keys))
	require.Equal(t, (len(keys)+6)/7, emails)
	requests, waited := map[string]int{}, 0
	for _, r := range s.fake.Requests() {
		for _, id := range r.ContactIDs {
			requests[id]++
		}
	}
	records := s.records(keys...)
	require.Len(t, records, len(keys))
	for i, r := range records {
		require.Equal(t, keys[i], r.Key)
		require.Equal(t, "sent", r.State)
		require.Equal(t, ids[r.Key], r.MessageID)
		require.False(t, r.PossibleDuplicate)
		require.Equal(t, []string{fmt.Sprintf("contact-%d", i)}, r.ContactIDs)
		require.Equal(t, requests[r.ContactIDs[0]], r.Attempts)
		if i%5 != 0 {
			require.Equal(t, 1, r.Attempts)
		} else if r.Attempts > 1 {
			waited++
		}
	}
	require.NotZero(t, waited, "no contact was missing at first")
}

func TestScheduledMessagesAreNeverEarlyAndHardlyLate(t *testing.T) {
	t.Parallel()
	const latest = 1500 * time.Millisecond
	s := newSite(t, everybody())
	s.worker()
	due := map[string]time.Time{}
	var lines []string
	// The first is a second away when all of them are in Redis.
	base := time.Now().Add(time.Second)
	for i := range 20 {
		key := fmt.Sprintf("later-%d", i)
		due[key] = base.Add(time.Duration(i) * 151 * time.Millisecond).Truncate(time.Millisecond)
		lines = append(lines, inApp(key, "ada", key, fmt.Sprintf(`,"at":%q`, due[key].Format(time.RFC3339Nano))))
	}
	s.enqueue(lines...)
	for _, m := range s.awaitCreated(len(lines), patience) {
		late := m.At.Sub(due[m.Body])
		require.GreaterOrEqual(t, late, time.Duration(0), "%s was early", m.Body)
		require.LessOrEqual(t, late, latest, "%s was late", m.Body)
	}
}
