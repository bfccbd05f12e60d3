package replies_test

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/intercom-dispatch/intercom-dispatch/intercom"
	"github.com/intercom-dispatch/intercom-dispatch/internal/redistest"
	"github.com/intercom-dispatch/intercom-dispatch/replies"
)

// priority is the time within which Intercom wants to be answered.
const priority = 500 * time.Millisecond

func TestASlowQueueIsGivenUpInTime(t *testing.T) {
	t.Parallel()
	for name, fail := range map[string]func(ctx context.Context, release <-chan struct{}) error{
		"that heeds its context": func(ctx context.Context, _ <-chan struct{}) error {
			<-ctx.Done()
			return ctx.Err()
		},
		"that does not": func(_ context.Context, release <-chan struct{}) error {
			<-release
			return nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b := setup(t)
				release := make(chan struct{})
				b.queue.fail = func(ctx context.Context) error { return fail(ctx, release) }
				began := time.Now()
				require.Equal(t, http.StatusServiceUnavailable, b.do(signed(t, replied)).Code)
				require.Equal(t, replies.DefaultQueueTimeout, time.Since(began))
				require.Less(t, replies.DefaultQueueTimeout, priority-100*time.Millisecond)
				require.Equal(t, "queue_failed", b.logs.TakeAll()[0].ContextMap()["outcome"])
				close(release)
				require.NoError(t, b.Close(t.Context()))
			})
		})
	}
}

// gate stands between a client and Redis. While it is shut nothing goes
// through, and nothing breaks.
type gate struct {
	listener net.Listener
	mu       sync.RWMutex // held while it is shut
}

func newGate(t *testing.T, target string) *gate {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	g := &gate{listener: l}
	var conns sync.WaitGroup
	conns.Go(func() {
		for {
			from, err := l.Accept()
			if err != nil {
				return
			}
			to, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", target)
			if err != nil {
				_ = from.Close()
				continue
			}
			conns.Go(func() { g.pass(from, to) })
			conns.Go(func() { g.pass(to, from) })
			t.Cleanup(func() { _, _ = from.Close(), to.Close() })
		}
	})
	t.Cleanup(func() { _ = l.Close() })
	return g
}

func (g *gate) pass(from, to net.Conn) {
	buf := make([]byte, 64<<10)
	for {
		n, err := from.Read(buf)
		if err != nil {
			_ = to.Close()
			return
		}
		g.mu.RLock()
		_, _ = to.Write(buf[:n])
		g.mu.RUnlock()
	}
}

func TestANotificationThatAHungRedisDidNotTakeIsTakenLater(t *testing.T) {
	t.Parallel()
	for _, heeding := range []bool{true, false} {
		t.Run(fmt.Sprintf("heeding=%v", heeding), func(t *testing.T) {
			t.Parallel()
			redistest.Each(t, func(t *testing.T, s *redistest.Server) {
				t.Helper()
				g := newGate(t, s.Addr)
				rdb := redis.NewClient(&redis.Options{
					Addr: g.listener.Addr().String(), ContextTimeoutEnabled: heeding, ReadTimeout: patience, MaxRetries: -1,
				})
				t.Cleanup(func() { _ = rdb.Close() })
				queue, err := replies.NewAppQueue(replies.AppQueueConfig{Redis: rdb})
				require.NoError(t, err)
				// A busy machine must not look like a hung Redis.
				b := setup(t, func(c *replies.ReceiverConfig) { c.Queue, c.Timeout = queue, patience })
				hurried := setup(t, func(c *replies.ReceiverConfig) { c.Queue = queue })
				pending := func() []string { return pendingNotifications(t, s, "main") }

				g.mu.Lock()
				require.Equal(t, http.StatusServiceUnavailable, hurried.do(signed(t, replied)).Code)
				require.Empty(t, pending())
				g.mu.Unlock()
				// Intercom's second try. The first may be in Redis by now: it is the same.
				require.Equal(t, http.StatusOK, b.do(signed(t, replied)).Code)
				require.NoError(t, hurried.Close(t.Context()))
				require.Equal(t, []string{"notif_1"}, pending())
			})
		})
	}
}

// pendingNotifications are the ids of the tasks in a workspace's queue.
func pendingNotifications(t *testing.T, s *redistest.Server, workspace string) []string {
	t.Helper()
	ids, err := s.Client(t).LRange(t.Context(), "asynq:{intercom-"+workspace+"-notifications}:pending", 0, -1).Result()
	require.NoError(t, err)
	return ids
}

func TestWhatTheQueueHasNotAnsweredIsBounded(t *testing.T) {
	t.Parallel()
	b := setup(t, func(c *replies.ReceiverConfig) { c.MaxWaiting, c.Timeout = 1, patience })
	given, release := make(chan struct{}), make(chan struct{})
	b.queue.fail = func(context.Context) error {
		given <- struct{}{}
		<-release
		return nil
	}
	first := make(chan int, 1)
	go func() { first <- b.do(signed(t, replied)).Code }()
	<-given
	require.Equal(t, http.StatusServiceUnavailable, b.do(signed(t, replied)).Code)
	require.Equal(t, "busy", b.logs.TakeAll()[0].ContextMap()["outcome"])

	closed := make(chan error, 1)
	go func() { closed <- b.Close(t.Context()) }()
	short, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	require.ErrorIs(t, b.Close(short), context.DeadlineExceeded, "it does not wait for the queue")
	close(release)
	require.Equal(t, http.StatusOK, <-first)
	require.NoError(t, <-closed)
	require.Equal(t, http.StatusServiceUnavailable, b.do(signed(t, replied)).Code, "nobody would wait for it")
	require.Len(t, b.queue.raw, 1)
}

func TestTheMemoryOfBodiesIsBounded(t *testing.T) {
	t.Parallel()
	const most = 32 << 10
	long := replied + strings.Repeat(" ", most-len(replied))
	b := setup(t, func(c *replies.ReceiverConfig) { c.MaxBody, c.MaxMemory, c.Timeout = most, 2*most, patience })
	given, release := make(chan struct{}), make(chan struct{})
	var held atomic.Bool
	b.queue.fail = func(context.Context) error {
		if held.CompareAndSwap(false, true) {
			given <- struct{}{}
			<-release
		}
		return nil
	}
	first := make(chan int, 1)
	go func() { first <- b.do(signed(t, long)).Code }()
	<-given
	w := b.do(signed(t, long))
	require.Equal(t, http.StatusServiceUnavailable, w.Code)
	require.Equal(t, "close", w.Header().Get("Connection"))
	require.Equal(t, http.StatusOK, b.do(signed(t, replied)).Code, "there is room for a short one")
	close(release)
	require.Equal(t, http.StatusOK, <-first)
	require.Zero(t, b.Held())
	for range 10 { // Everything was given back.
		require.Equal(t, http.StatusOK, b.do(signed(t, long)).Code)
		forged := signed(t, long)
		forged.Header.Set(intercom.SignatureHeader, intercom.Sign("other", []byte(long)))
		require.Equal(t, http.StatusUnauthorized, b.do(forged).Code)
		require.Equal(t, http.StatusRequestEntityTooLarge, b.do(signed(t, long+" ")).Code)
		require.Zero(t, b.Held())
	}
}

// half sends the beginning of a request over a connection of its own, and
// returns the status of the answer.
func half(t *testing.T, b bundle, header, body string) int {
	t.Helper()
	s := httptest.NewServer(b)
	t.Cleanup(s.Close)
	conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", s.Listener.Addr().String())
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	require.NoError(t, conn.SetDeadline(time.Now().Add(patience)))
	_, err = fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: example.com\r\n%s\r\n\r\n%s", replies.WebhookPath, header, body)
	require.NoError(t, err)
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	require.NoError(t, err)
	require.NoError(t, res.Body.Close())
	require.True(t, res.Close, "the connection is of no more use")
	return res.StatusCode
}

func TestABodyThatComesSlowlyIsCutOff(t *testing.T) {
	t.Parallel()
	b := setup(t, func(c *replies.ReceiverConfig) { c.BodyTimeout = 50 * time.Millisecond })
	header := fmt.Sprintf("Content-Length: %d\r\n%s: %s", len(replied), intercom.SignatureHeader, intercom.Sign(secret, []byte(replied)))
	require.Equal(t, http.StatusRequestTimeout, half(t, b, header, replied[:10]))
	require.Equal(t, "too_slow", b.logs.TakeAll()[0].ContextMap()["outcome"])
	require.Empty(t, b.queue.raw)
	require.Zero(t, b.Held())
}

func TestARequestIsRefusedByItsHeadersBeforeItsBodyComes(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		header string
		status int
	}{
		"no signature":    {"Content-Length: 1000", http.StatusUnauthorized},
		"chunked":         {"Transfer-Encoding: chunked", http.StatusUnauthorized},
		"no hexadecimals": {"Content-Length: 1000\r\nX-Hub-Signature: sha1=nothing", http.StatusUnauthorized},
		"too large": {
			"Content-Length: 1000000000\r\nX-Hub-Signature: sha1=" + strings.Repeat("0", 40), http.StatusRequestEntityTooLarge,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			require.Equal(t, c.status, half(t, setup(t), c.header, ""))
		})
	}
}

func TestStrangersDoNotFillTheLog(t *testing.T) {
	t.Parallel()
	registry := prometheus.NewRegistry()
	b := setup(t, func(c *replies.ReceiverConfig) { c.Metrics = registry })
	const requests = 1000
	for range requests {
		r := signed(t, replied)
		r.Header.Del(intercom.SignatureHeader)
		require.Equal(t, http.StatusUnauthorized, b.do(r).Code)
	}
	require.Less(t, b.logs.Len(), requests/2)
	for range requests {
		require.Equal(t, http.StatusOK, b.do(signed(t, replied)).Code)
	}
	require.Equal(t, requests, b.logs.FilterFieldKey("notification_id").Len(), "what was queued has a line each")
	families, err := registry.Gather()
	require.NoError(t, err)
	counts := make(map[string]float64)
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if f.GetName() == "dispatch_webhook_seconds" {
				require.EqualValues(t, requests, m.GetHistogram().GetSampleCount(), "only those of notifications")
				continue
			}
			require.Equal(t, "dispatch_webhook_requests_total", f.GetName())
			counts[m.GetLabel()[0].GetValue()] = m.GetCounter().GetValue()
		}
	}
	require.Equal(t, map[string]float64{"queued": requests, "unsigned": requests}, counts)
}
