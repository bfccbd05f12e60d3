package main

import (
	"fmt"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/intercom-dispatch/intercom-dispatch/intercom/intercomtest"
)

// TestEachContactsMessagesArriveInOrder delivers with four workers, of which one is
// killed, while one request of ten fails.
func TestEachContactsMessagesArriveInOrder(t *testing.T) {
	t.Parallel()
	const contacts, each = 20, 50
	cfg := everybody()
	cfg.IndexLag, cfg.Seed = 200*time.Millisecond, 5
	s := newSite(t, cfg)
	for _, f := range []intercomtest.Fault{
		{Name: "away", Chance: 0.08, Status: http.StatusServiceUnavailable},
		{Name: "500 not created", Chance: 0.01, Status: http.StatusInternalServerError},
		{Name: "answer lost", Chance: 0.01, Cut: intercomtest.CutAfterCreate},
		{Name: "slow", Latency: 20 * time.Millisecond},
	} {
		s.fake.InjectFault(f)
	}
	f := s.fleet(4, "--settle-delay", "3s", "--request-timeout", "2s", "--concurrency", "16")
	want := map[string][]string{}
	var lines []string
	for i := range each {
		for c := range contacts {
			key := fmt.Sprintf("%d-%02d", c, i)
			contact := fmt.Sprintf("contact-%d", c)
			want[contact] = append(want[contact], "about "+key)
			lines = append(lines, fmt.Sprintf(`{"key":%q,"order_key":%q,"message":{"create_conversation_without_contact_reply":true,`+
				`"message_type":"in_app","body":"about %s","from":{"type":"admin","id":1},"to":{"type":"user","id":%q}}}`, key, contact, key, contact))
		}
	}
	began := time.Now()
	s.enqueue(lines...)
	s.awaitCreated(contacts*each/4, time.Minute)
	f.replace(0)
	s.awaitDone(4 * time.Minute)
	t.Logf("%d messages took %s; requests by fault: %v", len(lines), time.Since(began).Round(time.Second), s.faultCounts())
	f.end()

	got := map[string][]string{}
	for _, m := range s.fake.Created() {
		got[m.Recipients.To[0]] = append(got[m.Recipients.To[0]], m.Body)
	}
	for contact, bodies := range want {
		require.True(t, slices.Equal(bodies, got[contact]), "%s got %v", contact, got[contact])
	}
}
