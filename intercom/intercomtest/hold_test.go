package intercomtest_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/intercom-dispatch/intercom-dispatch/intercom/intercomtest"
)

// ids are the notifications that a receiver got, in order.
func (r *receiver) ids(tb testing.TB) []string {
	tb.Helper()
	var ids []string
	for _, got := range r.received() {
		ids = append(ids, *got.envelope(tb).ID)
	}
	return ids
}

func TestHeldNotificationsAreReleasedInTheChosenOrder(t *testing.T) {
	t.Parallel()
	f, r := notified(t, intercomtest.Config{HoldNotifications: true})
	message := f.create(inapp)
	var ids []string
	for range 5 {
		info, err := f.Reply(t.Context(), message, "x")
		require.NoError(t, err)
		ids = append(ids, info.NotificationID)
	}
	held := f.Held()
	require.Len(t, held, 5)
	require.Equal(t, ids[0], held[0].ID)
	require.Equal(t, "conversation.user.replied", held[0].Topic)
	require.Empty(t, f.Deliveries())

	require.NoError(t, f.Release(t.Context(), ids[3], ids[1]))
	f.await(r, 2)
	require.Equal(t, []string{ids[3], ids[1]}, r.ids(t))
	require.ErrorIs(t, f.Release(t.Context(), ids[0], ids[1]), intercomtest.ErrNotFound, "it is not held any more")
	require.ErrorIs(t, f.Release(t.Context(), ids[0], ids[0]), intercomtest.ErrNotFound, "not twice")
	require.Len(t, f.Held(), 3, "then none is released")

	require.NoError(t, f.Release(t.Context()))
	f.await(r, 5)
	require.Equal(t, []string{ids[3], ids[1], ids[0], ids[2], ids[4]}, r.ids(t))
	require.Empty(t, f.Held())
	require.NoError(t, f.Release(t.Context()), "nothing is left")
}

func TestHoldingEndsForLaterNotificationsOnly(t *testing.T) {
	t.Parallel()
	f, r := notified(t, intercomtest.Config{})
	f.HoldNotifications(true)
	require.NoError(t, f.ArchiveContact(t.Context(), "jo"))
	f.HoldNotifications(false)
	require.NoError(t, f.UnarchiveContact(t.Context(), "jo"))
	require.Equal(t, "contact.unarchive", f.await(r, 1).Topic)
	require.Len(t, f.Held(), 1)
	_, err := f.Redeliver(t.Context(), f.Held()[0].ID)
	require.NoError(t, err, "also one that is held")
	require.NoError(t, f.Release(t.Context()))
	require.Equal(t, "contact.archived", f.await(r, 3).Topic)
}

func TestReleaseAfterCloseIsAnError(t *testing.T) {
	t.Parallel()
	f, _ := notified(t, intercomtest.Config{HoldNotifications: true})
	require.NoError(t, f.ArchiveContact(t.Context(), "jo"))
	f.Close()
	require.Error(t, f.Release(context.Background()))
	require.Len(t, f.Held(), 1)
}

func TestWhatTheQueueHasNoRoomForStaysHeld(t *testing.T) {
	t.Parallel()
	const room = 10_000
	stop := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-stop }))
	t.Cleanup(server.Close)
	t.Cleanup(func() { close(stop) })
	f := newFake(t, intercomtest.Config{WebhookURL: server.URL, HoldNotifications: true})
	var last string
	for range room + 3 { // One may be under way besides.
		var err error
		last, err = f.Notify(t.Context(), "x", nil)
		require.NoError(t, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, f.Release(ctx), context.Canceled)
	held := f.Held()
	require.Contains(t, []int{2, 3}, len(held))
	require.Equal(t, last, held[len(held)-1].ID)
}

func TestAsManyNotificationsAreDeliveredAtATimeAsConfigured(t *testing.T) {
	t.Parallel()
	for _, concurrency := range []int{1, 4} {
		var all sync.WaitGroup
		all.Add(concurrency)
		together := make(chan struct{})
		go func() {
			defer close(together)
			all.Wait()
		}()
		arrive := make(chan struct{}, concurrency)
		for range concurrency {
			arrive <- struct{}{}
		}
		server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			select {
			case <-arrive:
				all.Done()
			default:
			}
			select {
			case <-together:
			case <-r.Context().Done():
			}
		}))
		t.Cleanup(server.Close)
		f := newFake(t, intercomtest.Config{WebhookURL: server.URL, WebhookConcurrency: concurrency})
		for range concurrency {
			_, err := f.Notify(t.Context(), "x", nil)
			require.NoError(t, err)
		}
		require.NoError(t, f.WaitFor(t.Context(), delivered(concurrency)))
		for _, d := range f.Deliveries() {
			require.True(t, d.OK(), "each waits for all others: %s", d.Err)
		}
	}
}

func TestAnyNotificationCanBeSent(t *testing.T) {
	t.Parallel()
	f, r := notified(t, intercomtest.Config{AppID: "mine", ClientSecret: "shh"})
	id, err := f.Notify(t.Context(), "contact.unsubscribed", map[string]any{"id": "jo"})
	require.NoError(t, err)
	e := f.await(r, 1)
	require.Equal(t, id, *e.ID)
	require.Equal(t, "mine", e.AppID)
	require.Equal(t, "contact.unsubscribed", e.Topic)
	require.JSONEq(t, `{"id":"jo"}`, string(e.Data.Item))

	_, err = f.NotifyFrom(t.Context(), "theirs", "x", nil)
	require.NoError(t, err)
	require.Equal(t, "theirs", f.await(r, 2).AppID)
	got := r.received()[1]
	require.Equal(t, signature("shh", got.body), got.signature)

	_, err = f.Notify(t.Context(), "", nil)
	require.ErrorContains(t, err, "topic")
	_, err = f.Notify(t.Context(), "x", make(chan int))
	require.ErrorContains(t, err, "item")
	f.SetWebhookURL("")
	_, err = f.Notify(t.Context(), "x", nil)
	require.ErrorContains(t, err, "no webhook URL")
}

func TestControlAPISendsHoldsAndRepeatsNotifications(t *testing.T) {
	t.Parallel()
	f, r := notified(t, intercomtest.Config{})
	notify := func(body string) string {
		got := f.plainly("POST", "/_fake/notifications", body)
		require.Equal(t, http.StatusCreated, got.status, "%s", got.body)
		return got.json(t)["id"].(string)
	}
	id := notify(`{"topic":"x","item":{"a":[1]},"app_id":"theirs"}`)
	e := f.await(r, 1)
	require.Equal(t, "theirs", e.AppID)
	require.JSONEq(t, `{"a":[1]}`, string(e.Data.Item))
	got := f.plainly("POST", "/_fake/notifications/"+id+"/redeliver", `{"forged":true}`)
	require.Equal(t, http.StatusOK, got.status)
	require.NotEqual(t, signature("fake_secret", r.received()[1].body), got.json(t)["signature"])
	got = f.plainly("POST", "/_fake/notifications/"+id+"/redeliver", `{}`)
	require.Equal(t, signature("fake_secret", r.received()[2].body), got.json(t)["signature"])
	require.InDelta(t, 3, got.json(t)["attempt"], 0)

	require.Equal(t, http.StatusNoContent, f.plainly("POST", "/_fake/notifications/hold", `{"hold":true}`).status)
	first, second := notify(`{"topic":"y"}`), notify(`{"topic":"z"}`)
	held := f.plainly("GET", "/_fake/notifications/held", "").json(t)["held"].([]any)
	require.Len(t, held, 2)
	require.Equal(t, first, held[0].(map[string]any)["id"])
	require.Equal(t, "y", held[0].(map[string]any)["topic"])
	require.Equal(t, http.StatusNoContent, f.plainly("POST", "/_fake/notifications/release", `{"ids":["`+second+`"]}`).status)
	require.Equal(t, second, *f.await(r, 4).ID)
	require.Equal(t, http.StatusNoContent, f.plainly("POST", "/_fake/notifications/release", `{}`).status)
	require.Equal(t, first, *f.await(r, 5).ID)

	require.Equal(t, http.StatusNotFound, f.plainly("POST", "/_fake/notifications/release", `{"ids":["x"]}`).status)
	require.Equal(t, http.StatusNotFound, f.plainly("POST", "/_fake/notifications/x/redeliver", `{}`).status)
	require.Equal(t, http.StatusBadRequest, f.plainly("POST", "/_fake/notifications", `{"item":{}}`).status)
	require.Equal(t, http.StatusBadRequest, f.plainly("POST", "/_fake/notifications/hold", `{"held":true}`).status)
}
