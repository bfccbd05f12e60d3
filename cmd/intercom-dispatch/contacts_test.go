package main

import (
	"context"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/intercom-dispatch/intercom-dispatch/intercom/intercomtest"
)

// missingFor is how long the contact of these tests is missing.
const missingFor = 20 * time.Second

// waitForContact has two workers deliver messages to a contact that appears after
// a while, and returns how long after that the last one was created.
func waitForContact(t *testing.T, appear func(*site)) time.Duration {
	t.Helper()
	const n = 200
	s := newSite(t, intercomtest.Config{})
	worker := s.worker("--webhook")
	s.worker()
	s.fake.SetWebhookURL(worker.webhookURL())
	var keys, lines []string
	for i := range n {
		keys = append(keys, fmt.Sprintf("welcome-%d", i))
		lines = append(lines, inApp(keys[i], "newcomer", "about "+keys[i]))
	}
	s.enqueue(lines...)
	time.Sleep(missingFor) // That the contact is missing for so long is what is tested.
	require.Empty(t, s.fake.Created())
	appear(s)
	appeared := time.Now()
	all := s.awaitCreated(n, 2*time.Minute)
	first, last := all[0].At, all[n-1].At
	s.awaitDone(patience)

	created := s.created()
	for _, r := range s.records(keys...) {
		require.Equal(t, "sent", r.State)
		require.Len(t, created[r.Key], 1, r.Key)
	}
	missing := 0
	for _, r := range s.fake.Requests() {
		if r.Path == "/messages" && r.Status == http.StatusNotFound {
			missing++
		}
	}
	require.Less(t, missing, 30)
	require.Less(t, last.Sub(first), 9*time.Second, "they have not left when the first had shown that the contact is there")
	t.Logf("%d answers of 404; all were created %s after the contact had appeared, and %s after the first of them",
		missing, last.Sub(appeared), last.Sub(first))
	return last.Sub(appeared)
}

func TestAContactsNotificationSendsAllThatWaitForIt(t *testing.T) {
	t.Parallel()
	took := waitForContact(t, func(s *site) {
		_, err := s.fake.CreateContact(context.WithoutCancel(t.Context()), intercomtest.Contact{ID: "newcomer"})
		require.NoError(t, err)
	})
	// Without it they would wait for the probe after 31 s.
	require.Less(t, took, 9*time.Second)
}

func TestAProbeSendsAllThatWaitForTheContact(t *testing.T) {
	t.Parallel()
	waitForContact(t, func(s *site) { s.fake.AddContact(intercomtest.Contact{ID: "newcomer"}) })
}
