package replies_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/intercom-dispatch/intercom-dispatch/intercom"
	"github.com/intercom-dispatch/intercom-dispatch/replies"
)

const secret = "client-s3cret"

const replied = `{"type":"notification_event","app_id":"a86dr8yl","id":"notif_1","topic":"conversation.user.replied","data":{"item":{"id":"1295"}}}`

// queue keeps what it is given, or fails.
type queue struct {
	mu   sync.Mutex
	raw  []string
	ids  []intercom.ID
	fail func(ctx context.Context) error
}

func (q *queue) QueueNotification(ctx context.Context, n *intercom.Notification, raw []byte) error {
	if q.fail != nil {
		if err := q.fail(ctx); err != nil {
			return err
		}
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	q.raw, q.ids = append(q.raw, string(raw)), append(q.ids, n.ID)
	return nil
}

type bundle struct {
	*replies.Receiver
	queue *queue
	logs  *observer.ObservedLogs
}

func setup(t *testing.T, changes ...func(*replies.ReceiverConfig)) bundle {
	t.Helper()
	core, logs := observer.New(zap.DebugLevel)
	q := &queue{}
	cfg := replies.ReceiverConfig{Secrets: []string{secret}, Queue: q, Log: zap.New(core)}
	for _, change := range changes {
		change(&cfg)
	}
	r, err := replies.NewReceiver(cfg)
	require.NoError(t, err)
	return bundle{r, q, logs}
}

func signed(t *testing.T, body string) *http.Request {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/webhooks/intercom", strings.NewReader(body))
	r.Header.Set(intercom.SignatureHeader, intercom.Sign(secret, []byte(body)))
	return r
}

func (b bundle) do(r *http.Request) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	b.ServeHTTP(w, r)
	return w
}

func TestASignedNotificationIsQueuedBeforeTheAnswer(t *testing.T) {
	t.Parallel()
	b := setup(t)
	w := b.do(signed(t, replied))
	require.Equal(t, http.StatusOK, w.Code)
	require.Equal(t, []string{replied}, b.queue.raw)
	require.Equal(t, []intercom.ID{"notif_1"}, b.queue.ids)

	lines := b.logs.TakeAll()
	require.Len(t, lines, 1)
	require.Equal(t, zap.InfoLevel, lines[0].Level)
	fields := lines[0].ContextMap()
	require.Equal(t, "queued", fields["outcome"])
	require.Equal(t, "conversation.user.replied", fields["topic"])
	require.Equal(t, "notif_1", fields["notification_id"])
	require.Equal(t, "a86dr8yl", fields["app_id"])
	require.Contains(t, fields, "duration")
}

func TestEveryConversationAndContactTopicIsQueuedAndNothingElse(t *testing.T) {
	t.Parallel()
	for topic, want := range map[string]struct {
		queued  bool
		outcome string
		level   zapcore.Level
	}{
		intercom.TopicConversationUserCreated: {true, "queued", zap.InfoLevel},
		intercom.TopicContactMerged:           {true, "queued", zap.InfoLevel},
		intercom.TopicPing:                    {false, "pinged", zap.InfoLevel},
		"ticket.created":                      {false, "ignored", zap.DebugLevel},
		"conversations.x":                     {false, "ignored", zap.DebugLevel},
	} {
		t.Run(topic, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			w := b.do(signed(t, `{"id":null,"topic":"`+topic+`","data":null}`))
			require.Equal(t, http.StatusOK, w.Code)
			require.Equal(t, want.queued, len(b.queue.raw) == 1)
			line := b.logs.TakeAll()[0]
			require.Equal(t, want.level, line.Level)
			require.Equal(t, want.outcome, line.ContextMap()["outcome"])
		})
	}
}

func TestRequestsThatAreNotNotificationsAreRefused(t *testing.T) {
	t.Parallel()
	with := func(method, body string, change func(*http.Request)) func(*testing.T) *http.Request {
		return func(t *testing.T) *http.Request {
			t.Helper()
			r := signed(t, body)
			r.Method = method
			if change != nil {
				change(r)
			}
			return r
		}
	}
	set := func(signature string) func(*http.Request) {
		return func(r *http.Request) { r.Header.Set(intercom.SignatureHeader, signature) }
	}
	for name, c := range map[string]struct {
		request func(*testing.T) *http.Request
		status  int
		text    string
		outcome string
	}{
		"HEAD":            {with(http.MethodHead, "", nil), 200, "", "probed"},
		"GET":             {with(http.MethodGet, "", nil), 405, "send notifications with POST", "wrong_method"},
		"PUT":             {with(http.MethodPut, replied, nil), 405, "send notifications with POST", "wrong_method"},
		"no signature":    {with(http.MethodPost, replied, func(r *http.Request) { r.Header.Del(intercom.SignatureHeader) }), 401, "X-Hub-Signature is missing", "unsigned"},
		"other signature": {with(http.MethodPost, replied, set(intercom.Sign("other", []byte(replied)))), 401, "does not match", "wrong_signature"},
		"garbage":         {with(http.MethodPost, replied, set("garbage")), 401, "is no signature", "unsigned"},
		"short signature": {with(http.MethodPost, replied, set("sha1=00")), 401, "is no signature", "unsigned"},
		"long signature":  {with(http.MethodPost, replied, set(intercom.Sign(secret, []byte(replied))+"00")), 401, "is no signature", "unsigned"},
		"no hexadecimals": {with(http.MethodPost, replied, set("sha1="+strings.Repeat("x", 40))), 401, "is no signature", "unsigned"},
		"another digest":  {with(http.MethodPost, replied, set("sha256="+strings.Repeat("0", 40))), 401, "is no signature", "unsigned"},
		"unsigned garbage is not parsed": {
			with(http.MethodPost, "{", set(intercom.Sign("other", []byte("{")))), 401, "does not match", "wrong_signature",
		},
		"no JSON":  {with(http.MethodPost, "{", nil), 400, "not a notification", "unreadable"},
		"no topic": {with(http.MethodPost, "{}", nil), 400, "not a notification", "unreadable"},
		"too large": {
			with(http.MethodPost, strings.Repeat(" ", replies.DefaultMaxBody+1), nil), 413, "too large", "too_large",
		},
		"too large, of unknown length": {
			with(http.MethodPost, strings.Repeat(" ", replies.DefaultMaxBody+1), func(r *http.Request) { r.ContentLength = -1 }),
			413, "too large", "too_large",
		},
		"cut": {
			with(http.MethodPost, replied, func(r *http.Request) { r.Body = io.NopCloser(cutBody{}) }), 400, "could not be read", "cut_short",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			w := b.do(c.request(t))
			require.Equal(t, c.status, w.Code)
			require.Contains(t, w.Body.String(), c.text)
			require.LessOrEqual(t, strings.Count(w.Body.String(), "\n"), 1)
			require.NotContains(t, w.Body.String(), secret)
			if c.status == http.StatusMethodNotAllowed {
				require.Equal(t, "HEAD, POST", w.Header().Get("Allow"))
			}
			require.Empty(t, b.queue.raw)
			lines := b.logs.TakeAll()
			require.Len(t, lines, 1)
			require.Equal(t, c.outcome, lines[0].ContextMap()["outcome"])
		})
	}
}

type cutBody struct{}

func (cutBody) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

func TestANotificationOfTheLargestSizeIsTaken(t *testing.T) {
	t.Parallel()
	b := setup(t, func(c *replies.ReceiverConfig) { c.MaxBody = int64(len(replied)) })
	require.Equal(t, http.StatusOK, b.do(signed(t, replied)).Code)
	require.Equal(t, http.StatusRequestEntityTooLarge, b.do(signed(t, replied+" ")).Code)
}

func TestBothSecretsAreGoodWhileOneIsReplaced(t *testing.T) {
	t.Parallel()
	b := setup(t, func(c *replies.ReceiverConfig) { c.Secrets = []string{"next", secret} })
	for key, want := range map[string]int{"next": http.StatusOK, secret: http.StatusOK, "last": http.StatusUnauthorized} {
		r := signed(t, replied)
		r.Header.Set(intercom.SignatureHeader, intercom.Sign(key, []byte(replied)))
		require.Equal(t, want, b.do(r).Code, key)
	}
	require.Len(t, b.queue.raw, 2)
}

func TestAFailingQueueMakesIntercomTryAgain(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.queue.fail = func(context.Context) error { return errors.New("redis is away") }
	w := b.do(signed(t, replied))
	require.Equal(t, http.StatusServiceUnavailable, w.Code)
	require.NotContains(t, w.Body.String(), "redis")
	fields := b.logs.TakeAll()[0].ContextMap()
	require.Equal(t, "queue_failed", fields["outcome"])
	require.Equal(t, "redis is away", fields["error"])
	require.Equal(t, "notif_1", fields["notification_id"])
}

func TestANotificationIsQueuedThoughItsSenderHungUp(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.queue.fail = func(ctx context.Context) error { return ctx.Err() }
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.Equal(t, http.StatusOK, b.do(signed(t, replied).WithContext(ctx)).Code)
	require.Len(t, b.queue.raw, 1)
}

func TestReceiverAnswersOverHTTP(t *testing.T) {
	t.Parallel()
	b := setup(t)
	s := httptest.NewServer(b)
	t.Cleanup(s.Close)
	for _, c := range []struct {
		method string
		status int
	}{{http.MethodHead, 200}, {http.MethodGet, 405}, {http.MethodPost, 200}} {
		r := signed(t, replied)
		out, err := http.NewRequestWithContext(t.Context(), c.method, s.URL, strings.NewReader(replied))
		require.NoError(t, err)
		out.Header = r.Header
		res, err := s.Client().Do(out)
		require.NoError(t, err)
		require.NoError(t, res.Body.Close())
		require.Equal(t, c.status, res.StatusCode)
	}
}

func TestNewReceiverNamesTheFieldThatCannotBeUsed(t *testing.T) {
	t.Parallel()
	for want, change := range map[string]func(*replies.ReceiverConfig){
		"Secrets are required":         func(c *replies.ReceiverConfig) { c.Secrets = nil },
		"Secrets holds an empty":       func(c *replies.ReceiverConfig) { c.Secrets = []string{secret, " "} },
		"Queue is required":            func(c *replies.ReceiverConfig) { c.Queue = nil },
		"Timeout must not be negative": func(c *replies.ReceiverConfig) { c.Timeout = -1 },
		"BodyTimeout must not be":      func(c *replies.ReceiverConfig) { c.BodyTimeout = -1 },
		"MaxBody must not be negative": func(c *replies.ReceiverConfig) { c.MaxBody = -1 },
		"MaxMemory must not be":        func(c *replies.ReceiverConfig) { c.MaxMemory = -1 },
		"MaxMemory must be at least":   func(c *replies.ReceiverConfig) { c.MaxMemory = replies.DefaultMaxBody },
		"MaxWaiting must not be":       func(c *replies.ReceiverConfig) { c.MaxWaiting = -1 },
	} {
		cfg := replies.ReceiverConfig{Secrets: []string{secret}, Queue: &queue{}}
		change(&cfg)
		_, err := replies.NewReceiver(cfg)
		require.ErrorContains(t, err, want)
		require.NotContains(t, err.Error(), secret)
	}
}

func TestAReceiverWithoutALogWorks(t *testing.T) {
	t.Parallel()
	b := setup(t, func(c *replies.ReceiverConfig) { c.Log = nil })
	require.Equal(t, http.StatusOK, b.do(signed(t, replied)).Code)
}
