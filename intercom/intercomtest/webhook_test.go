package intercomtest_test

import (
	"context"
	"crypto/hmac"
	"crypto/sha1"
	"encoding/hex"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/intercom-dispatch/intercom-dispatch/intercom/intercomtest"
)

// receiver takes notifications and answers them with statuses in turn, the
// last one for ever.
type receiver struct {
	mu       sync.Mutex
	statuses []int
	got      []received
}

type received struct {
	method, signature string
	body              []byte
}

func (r *receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	body, _ := io.ReadAll(req.Body)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.got = append(r.got, received{req.Method, req.Header.Get("X-Hub-Signature"), body})
	status := http.StatusOK
	if len(r.statuses) > 0 {
		status = r.statuses[0]
		if len(r.statuses) > 1 {
			r.statuses = r.statuses[1:]
		}
	}
	w.WriteHeader(status)
}

func (r *receiver) received() []received {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]received(nil), r.got...)
}

// envelope is what a receiver reads of a notification.
type envelope struct {
	Type             string  `json:"type"`
	Topic            string  `json:"topic"`
	AppID            string  `json:"app_id"`
	ID               *string `json:"id"`
	CreatedAt        int64   `json:"created_at"`
	DeliveryAttempts int     `json:"delivery_attempts"`
	FirstSentAt      int64   `json:"first_sent_at"`
	Data             struct {
		Type string          `json:"type"`
		Item json.RawMessage `json:"item"`
	} `json:"data"`
}

func (r received) envelope(tb testing.TB) envelope {
	tb.Helper()
	var e envelope
	require.NoError(tb, json.Unmarshal(r.body, &e), "%s", r.body)
	return e
}

func signature(secret string, body []byte) string {
	mac := hmac.New(sha1.New, []byte(secret))
	mac.Write(body)
	return "sha1=" + hex.EncodeToString(mac.Sum(nil))
}

func delivered(n int) func(intercomtest.Log) bool {
	return func(l intercomtest.Log) bool { return len(l.Deliveries) >= n }
}

func TestReplyIsNotifiedWithASignature(t *testing.T) {
	t.Parallel()
	var r receiver
	server := httptest.NewServer(&r)
	defer server.Close()
	f := newFake(t, intercomtest.Config{WebhookURL: server.URL, ClientSecret: "shh", AppID: "abc"})
	id := f.create(inapp)
	info, err := f.Reply(t.Context(), id, "<p>Hi <b>Ada</b></p>")
	require.NoError(t, err)
	require.NoError(t, f.WaitFor(t.Context(), delivered(1)))

	got := r.received()[0]
	require.Equal(t, signature("shh", got.body), got.signature)
	e := got.envelope(t)
	require.Equal(t, "notification_event", e.Type)
	require.Equal(t, "notification_event_data", e.Data.Type)
	require.Equal(t, "conversation.user.replied", e.Topic)
	require.Equal(t, "abc", e.AppID)
	require.Equal(t, info.NotificationID, *e.ID)
	require.Regexp(t, `^notif_[0-9a-f-]{36}$`, *e.ID)
	require.Equal(t, 1, e.DeliveryAttempts)
	c := reply{status: 200, body: e.Data.Item}.conversation(t)
	require.Equal(t, info.ConversationID, c.ID)
	require.Equal(t, id, c.Source.ID)
	require.Equal(t, "Hello", c.Source.Body)
	require.Len(t, c.Parts.Parts, 1)
	require.Equal(t, "Hi Ada", c.Parts.Parts[0].Body)
	require.Equal(t, info.PartID, c.Parts.Parts[0].ID)

	d := f.Deliveries()[0]
	require.Equal(t, http.StatusOK, d.Status)
	require.Equal(t, got.body, d.Body)
	require.Equal(t, got.signature, d.Signature)
}

func TestFirstReplyCanComeUnderTheOtherTopic(t *testing.T) {
	t.Parallel()
	var r receiver
	server := httptest.NewServer(&r)
	defer server.Close()
	f := newFake(t, intercomtest.Config{WebhookURL: server.URL, FirstReplyTopic: "conversation.user.created"})
	id := f.create(inapp)
	for range 2 {
		_, err := f.Reply(t.Context(), id, "x")
		require.NoError(t, err)
	}
	require.NoError(t, f.WaitFor(t.Context(), delivered(2)))
	require.Equal(t, "conversation.user.created", f.Deliveries()[0].Topic)
	require.Equal(t, "conversation.user.replied", f.Deliveries()[1].Topic)
	item := r.received()[1].envelope(t).Data.Item
	require.Len(t, reply{status: http.StatusOK, body: item}.conversation(t).Parts.Parts, 1, "the new part only")
}

func TestCreatedContactsAreNotified(t *testing.T) {
	t.Parallel()
	var r receiver
	server := httptest.NewServer(&r)
	defer server.Close()
	f := newFake(t, intercomtest.Config{})
	f.SetWebhookURL(server.URL)
	user := f.post("/contacts", `{"external_id":"7"}`).json(t)
	f.post("/contacts", `{"role":"lead"}`)
	require.NoError(t, f.WaitFor(t.Context(), delivered(2)))
	require.Equal(t, "contact.user.created", f.Deliveries()[0].Topic)
	require.Equal(t, "contact.lead.created", f.Deliveries()[1].Topic)
	var item struct {
		ID string `json:"id"`
	}
	require.NoError(t, json.Unmarshal(r.received()[0].envelope(t).Data.Item, &item))
	require.Equal(t, user["id"], item.ID)
}

func TestFailedNotificationIsTriedOnceMoreAMinuteLater(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := receiver{statuses: []int{http.StatusInternalServerError}}
		f := newFake(t, intercomtest.Config{
			WebhookURL: "http://receiver.test", HTTPClient: &http.Client{Transport: intercomtest.HandlerTransport(&r)},
		})
		id := f.create(inapp)
		start := time.Now()
		_, err := f.Reply(t.Context(), id, "x")
		require.NoError(t, err)
		require.NoError(t, f.WaitFor(t.Context(), delivered(2)))
		require.Equal(t, time.Minute, time.Since(start))
		first, second := r.received()[0].envelope(t), r.received()[1].envelope(t)
		require.Equal(t, *first.ID, *second.ID)
		require.Equal(t, 2, second.DeliveryAttempts)
		require.Equal(t, first.FirstSentAt, second.FirstSentAt)
		time.Sleep(time.Hour)
		require.Len(t, r.received(), 2, "then it is lost")
	})
}

func TestSlowReceiverIsGivenFiveSeconds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		slow := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
		f := newFake(t, intercomtest.Config{
			WebhookURL: "http://receiver.test", HTTPClient: &http.Client{Transport: intercomtest.HandlerTransport(slow)},
		})
		start := time.Now()
		d, err := f.Ping(t.Context())
		require.NoError(t, err)
		require.Equal(t, 5*time.Second, time.Since(start))
		require.False(t, d.OK())
		require.Zero(t, d.Status)
		require.NotEmpty(t, d.Err)
	})
}

func TestNotificationsCanBeRepeatedForgedAndPinged(t *testing.T) {
	t.Parallel()
	var r receiver
	server := httptest.NewServer(&r)
	defer server.Close()
	f := newFake(t, intercomtest.Config{WebhookURL: server.URL})
	info, err := f.Reply(t.Context(), f.create(inapp), "x")
	require.NoError(t, err)
	require.NoError(t, f.WaitFor(t.Context(), delivered(1)))

	d, err := f.Redeliver(t.Context(), info.NotificationID)
	require.NoError(t, err)
	require.True(t, d.OK())
	require.Equal(t, 2, d.Attempt)
	_, err = f.RedeliverForged(t.Context(), info.NotificationID)
	require.NoError(t, err)
	_, err = f.Ping(t.Context())
	require.NoError(t, err)
	_, err = f.Redeliver(t.Context(), "notif_x")
	require.ErrorIs(t, err, intercomtest.ErrNotFound)

	got := r.received()
	require.Len(t, got, 4)
	require.Equal(t, signature("fake_secret", got[1].body), got[1].signature)
	require.NotEqual(t, signature("fake_secret", got[2].body), got[2].signature)
	require.Regexp(t, `^sha1=[0-9a-f]{40}$`, got[2].signature)
	ping := got[3].envelope(t)
	require.Equal(t, "ping", ping.Topic)
	require.Nil(t, ping.ID)
	require.Equal(t, signature("fake_secret", got[3].body), got[3].signature)
}

func TestGoneReceiverEndsItsSubscription(t *testing.T) {
	t.Parallel()
	r := receiver{statuses: []int{http.StatusGone}}
	server := httptest.NewServer(&r)
	defer server.Close()
	f := newFake(t, intercomtest.Config{WebhookURL: server.URL, WebhookRetryAfter: time.Nanosecond})
	id := f.create(inapp)
	_, err := f.Reply(t.Context(), id, "x")
	require.NoError(t, err)
	require.NoError(t, f.WaitFor(t.Context(), delivered(2)))
	info, err := f.Reply(t.Context(), id, "x")
	require.NoError(t, err)
	require.Empty(t, info.NotificationID)
	require.Len(t, r.received(), 1)
}

func TestSubscribeAsksTheReceiverFirst(t *testing.T) {
	t.Parallel()
	r := receiver{statuses: []int{http.StatusNotFound, http.StatusOK}}
	server := httptest.NewServer(&r)
	defer server.Close()
	f := newFake(t, intercomtest.Config{})
	require.ErrorContains(t, f.Subscribe(t.Context(), server.URL), "404")
	require.NoError(t, f.Subscribe(t.Context(), server.URL))
	got := r.received()
	require.Equal(t, []string{"HEAD", "HEAD", "POST"}, []string{got[0].method, got[1].method, got[2].method})
	require.Equal(t, "ping", got[2].envelope(t).Topic)
}

func TestCloseEndsDeliveriesAndWaitsForThem(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		slow := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
		f := newFake(t, intercomtest.Config{
			WebhookURL: "http://receiver.test", HTTPClient: &http.Client{Transport: intercomtest.HandlerTransport(slow)},
		})
		id := f.create(inapp)
		for range 3 {
			_, err := f.Reply(t.Context(), id, "x")
			require.NoError(t, err)
		}
		synctest.Wait()
		start := time.Now()
		f.Close()
		f.Close()
		require.Zero(t, time.Since(start))
		require.Len(t, f.Deliveries(), 1, "the one that was under way has ended")
		info, err := f.Reply(context.Background(), id, "after")
		require.Error(t, err)
		require.NotEmpty(t, info.PartID, "the answer itself was given")
	})
}
