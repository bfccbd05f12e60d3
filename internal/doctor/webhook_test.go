package doctor_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/intercom-dispatch/intercom-dispatch/intercom"
	"github.com/intercom-dispatch/intercom-dispatch/internal/doctor"
	"github.com/intercom-dispatch/intercom-dispatch/internal/redistest"
	"github.com/intercom-dispatch/intercom-dispatch/replies"
)

const secret = "secret-of-the-test"

// countingQueue counts the notifications that it is given.
type countingQueue struct{ n atomic.Int64 }

func (q *countingQueue) QueueNotification(context.Context, *intercom.Notification, []byte) error {
	q.n.Add(1)
	return nil
}

func TestTheReceiverPasses(t *testing.T) {
	t.Parallel()
	queue := &countingQueue{}
	receiver, err := replies.NewReceiver(replies.ReceiverConfig{Secrets: []string{secret}, Queue: queue})
	require.NoError(t, err)
	url := serve(t, receiver)
	redis := parse(t, redistest.Mini(t).URL())
	requireResult(t, examine(t, doctor.Config{Redis: redis, WebhookURL: url})["webhook"], doctor.OK,
		"HEAD is answered with 200", "a wrong signature is answered with 401", "it answers within")

	r := examine(t, doctor.Config{Redis: redis, WebhookURL: url, Secrets: []string{secret}})["webhook"]
	requireResult(t, r, doctor.OK, "a ping signed with client secret 1 is answered with 200")
	r = examine(t, doctor.Config{Redis: redis, WebhookURL: url, Secrets: []string{secret, "other-secret"}})["webhook"]
	requireResult(t, r, doctor.Fail, "client secret 2 is refused", "Developer Hub")
	require.NotContains(t, r.Found+r.Advice, secret)
	require.NotContains(t, r.Found+r.Advice, "other-secret")
	require.Zero(t, queue.n.Load())
}

func TestWebhooksThatIntercomCouldNotUse(t *testing.T) {
	t.Parallel()
	status := func(head, post int) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodHead {
				w.WriteHeader(head)
				return
			}
			w.WriteHeader(post)
		})
	}
	slow := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost {
			time.Sleep(600 * time.Millisecond)
			w.WriteHeader(http.StatusUnauthorized)
		}
	})
	elsewhere := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "https://example.com/", http.StatusMovedPermanently)
	})
	redis := parse(t, redistest.Mini(t).URL())
	for name, tt := range map[string]struct {
		handler http.Handler
		status  doctor.Status
		says    []string
	}{
		"accepts everything": {status(200, 200), doctor.Fail, []string{"a wrong signature is answered with 200", "does not check signatures"}},
		"no HEAD":            {status(405, 401), doctor.Fail, []string{"HEAD is answered with 405", "/webhooks/intercom"}},
		"not there":          {http.NotFoundHandler(), doctor.Fail, []string{"404", "/webhooks/intercom"}},
		"gone":               {status(200, 410), doctor.Fail, []string{"410", "ends the subscription"}},
		"redirect":           {elsewhere, doctor.Fail, []string{"301"}},
		"slow":               {slow, doctor.Warn, []string{"ms to answer", "500 ms"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			url := strings.Replace(serve(t, tt.handler), "://", "://user:url-password@", 1) + "/?key=url-key"
			r := examine(t, doctor.Config{Redis: redis, WebhookURL: url})["webhook"]
			requireResult(t, r, tt.status, tt.says...)
			require.NotContains(t, r.Found+r.Advice, "url-")
		})
	}
}

func TestAWebhookThatIsNotThere(t *testing.T) {
	t.Parallel()
	gone := httptest.NewServer(http.NotFoundHandler())
	gone.Close()
	url := strings.Replace(gone.URL, "://", "://user:url-password@", 1) + "/?key=url-key"
	r := examine(t, doctor.Config{Redis: parse(t, redistest.Mini(t).URL()), WebhookURL: url})["webhook"]
	requireResult(t, r, doctor.Fail, "cannot be reached", "refused")
	require.NotContains(t, r.Found+r.Advice, "url-")
}
