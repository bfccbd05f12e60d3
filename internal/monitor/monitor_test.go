package monitor_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hibiken/asynq"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/intercom-dispatch/intercom-dispatch/internal/monitor"
	"github.com/intercom-dispatch/intercom-dispatch/internal/redisconn"
	"github.com/intercom-dispatch/intercom-dispatch/internal/redistest"
)

const payload = `{"key":"order-1","message":{"body":"SECRET text","subject":"SECRET subject",` +
	`"to":{"type":"user","id":"c1"}},"metadata":{"order":"42"}}`

func setup(t *testing.T, s *redistest.Server, cfg monitor.Config) http.Handler {
	t.Helper()
	var err error
	cfg.Redis, err = redisconn.Parse(s.URL())
	require.NoError(t, err)
	h, err := monitor.New(cfg)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, h.Close()) })
	return h
}

func do(t *testing.T, h http.Handler, method, target string, headers ...string) (int, string) {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), method, "http://localhost:8090"+target, http.NoBody)
	for pair := range slices.Chunk(headers, 2) {
		if pair[0] == "Host" {
			r.Host = pair[1]
		} else {
			r.Header.Set(pair[0], pair[1])
		}
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	body, err := io.ReadAll(w.Result().Body)
	require.NoError(t, err)
	return w.Code, string(body)
}

// work runs an asynq server until the test ends. Tasks of type block are
// active all the time, those of type fail fail, others complete.
func work(t *testing.T, s *redistest.Server) {
	t.Helper()
	srv := asynq.NewServerFromRedisClient(s.Client(t), asynq.Config{
		Concurrency: 4, Queues: map[string]int{"work": 1}, LogLevel: asynq.FatalLevel,
		TaskCheckInterval: 50 * time.Millisecond, ShutdownTimeout: 10 * time.Millisecond,
	})
	stop := make(chan struct{})
	mux := asynq.NewServeMux()
	mux.HandleFunc("block", func(context.Context, *asynq.Task) error { <-stop; return nil })
	mux.HandleFunc("fail", func(context.Context, *asynq.Task) error { return errors.New("404 not_found") })
	mux.HandleFunc("done", func(_ context.Context, task *asynq.Task) error {
		_, err := task.ResultWriter().Write([]byte(payload))
		return err
	})
	require.NoError(t, srv.Start(mux))
	t.Cleanup(func() { close(stop); srv.Shutdown() })
}

func TestTextsAppearInNoAnswerWhateverTheTasksState(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, s *redistest.Server) {
		h := setup(t, s, monitor.Config{})
		work(t, s)
		c := asynq.NewClientFromRedisClient(s.Client(t))
		enqueue := func(state, kind string, opts ...asynq.Option) {
			opts = append(opts, asynq.TaskID(state))
			_, err := c.EnqueueContext(t.Context(), asynq.NewTask(kind, []byte(payload)), opts...)
			require.NoError(t, err)
		}
		enqueue("pending", "x", asynq.Queue("idle"))
		enqueue("scheduled", "x", asynq.Queue("idle"), asynq.ProcessIn(time.Hour))
		enqueue("aggregating", "x", asynq.Queue("idle"), asynq.Group("g"))
		enqueue("active", "block", asynq.Queue("work"))
		enqueue("retry", "fail", asynq.Queue("work"), asynq.MaxRetry(5))
		enqueue("archived", "fail", asynq.Queue("work"), asynq.MaxRetry(0))
		enqueue("completed", "done", asynq.Queue("work"), asynq.Retention(time.Hour))

		for state, queue := range map[string]string{
			"pending": "idle", "scheduled": "idle", "aggregating": "idle/groups/g",
			"active": "work", "retry": "work", "archived": "work", "completed": "work",
		} {
			name, _, _ := strings.Cut(queue, "/")
			for _, path := range []string{
				"/api/queues/" + queue + "/" + state + "_tasks",
				"/api/queues/" + name + "/tasks/" + state,
			} {
				requireMasked(t, h, path)
			}
		}
		// The servers' list has the payloads of active tasks, from the next
		// heartbeat on.
		requireMasked(t, h, "/api/servers")
	})
}

// requireMasked waits until the answer shows our task, as the worker may not
// have come to it yet.
func requireMasked(t *testing.T, h http.Handler, path string) {
	t.Helper()
	var status int
	var body string
	require.Eventually(t, func() bool {
		status, body = do(t, h, http.MethodGet, path)
		return status == http.StatusOK && strings.Contains(body, "order-1")
	}, 20*time.Second, 20*time.Millisecond, "%s: %s", path, body)
	require.NotContains(t, body, "SECRET", path)
	require.Contains(t, body, "•••• (11 bytes)", path)
	require.Contains(t, body, `\"order\":\"42\"`, path)
}

func TestActionsAreRefusedToOtherSites(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, s *redistest.Server) {
		core, logs := observer.New(zap.InfoLevel)
		h := setup(t, s, monitor.Config{Log: zap.New(core)})
		c := asynq.NewClientFromRedisClient(s.Client(t))
		_, err := c.EnqueueContext(t.Context(), asynq.NewTask("x", nil), asynq.Queue("q"))
		require.NoError(t, err)

		const action = "/api/queues/q:pause"
		for _, headers := range [][]string{
			{"Sec-Fetch-Site", "cross-site"},
			{"Sec-Fetch-Site", "same-site"},
			{"Origin", "http://evil.example"},
			{"Origin", "null"},
		} {
			status, _ := do(t, h, http.MethodPost, action, headers...)
			require.Equal(t, http.StatusForbidden, status, headers)
		}
		_, queue := do(t, h, http.MethodGet, "/api/queues/q")
		require.Contains(t, queue, `"paused":false`)

		status, _ := do(t, h, http.MethodPost, action, "Sec-Fetch-Site", "same-origin", "Origin", "http://localhost:8090")
		require.Equal(t, http.StatusNoContent, status)
		_, queue = do(t, h, http.MethodGet, "/api/queues/q")
		require.Contains(t, queue, `"paused":true`)
		require.Equal(t, 4, logs.FilterMessage("monitor request refused").Len())
		require.Equal(t, 1, logs.FilterMessage("monitor action").Len())
	})
}

func TestOnlyKnownHostNamesAreServed(t *testing.T) {
	t.Parallel()
	s := redistest.Mini(t)
	h := setup(t, s, monitor.Config{Hosts: []string{"dispatch.internal"}})
	for host, want := range map[string]int{
		"localhost":              http.StatusOK,
		"LOCALHOST:8090":         http.StatusOK,
		"a.localhost:8090":       http.StatusOK,
		"127.0.0.1:8090":         http.StatusOK,
		"[::1]:8090":             http.StatusOK,
		"[::1]":                  http.StatusOK,
		"10.0.0.7":               http.StatusOK,
		"dispatch.internal:8090": http.StatusOK,
		"Dispatch.Internal.":     http.StatusOK,
		"evil.example":           http.StatusForbidden,
		"evil.example:8090":      http.StatusForbidden,
		"127.0.0.1.evil.example": http.StatusForbidden,
		"xlocalhost":             http.StatusForbidden,
		"":                       http.StatusForbidden,
	} {
		for _, path := range []string{"/", "/api/queues"} {
			status, body := do(t, h, http.MethodGet, path, "Host", host)
			require.Equal(t, want, status, "%q %s", host, body)
		}
	}
	status, body := do(t, h, http.MethodGet, "/", "Host", "evil.example")
	require.Equal(t, http.StatusForbidden, status)
	require.Contains(t, body, "allow the name with --admin-host")

	status, _ = do(t, setup(t, s, monitor.Config{Hosts: []string{"*"}}), http.MethodGet, "/", "Host", "any.example")
	require.Equal(t, http.StatusOK, status)
}

func TestPagesCannotBeFramed(t *testing.T) {
	t.Parallel()
	h := setup(t, redistest.Mini(t), monitor.Config{})
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "http://localhost/", http.NoBody))
	require.Contains(t, w.Header().Get("Content-Security-Policy"), "frame-ancestors 'none'")
}

func TestReadOnlyRefusesActions(t *testing.T) {
	t.Parallel()
	h := setup(t, redistest.Mini(t), monitor.Config{ReadOnly: true})
	status, _ := do(t, h, http.MethodPost, "/api/queues/q:pause")
	require.Equal(t, http.StatusMethodNotAllowed, status)
}

func TestRootPathMovesPagesAndAPI(t *testing.T) {
	t.Parallel()
	h := setup(t, redistest.Mini(t), monitor.Config{RootPath: "/monitor/"})
	require.Equal(t, "/monitor", h.(*monitor.Handler).RootPath())
	status, body := do(t, h, http.MethodGet, "/monitor/")
	require.Equal(t, http.StatusOK, status)
	require.Contains(t, body, `src="/monitor/static/js/`)
	status, body = do(t, h, http.MethodGet, "/monitor/api/queues")
	require.Equal(t, http.StatusOK, status)
	require.Contains(t, body, `"queues"`)
}

func TestBadConfigIsAnErrorNotAPanic(t *testing.T) {
	t.Parallel()
	redis, err := redisconn.Parse("redis://localhost")
	require.NoError(t, err)
	for want, cfg := range map[string]monitor.Config{
		"Redis is required":                    {},
		`RootPath "x" must start with a slash`: {Redis: redis, RootPath: "x"},
		`must be a plain path`:                 {Redis: redis, RootPath: "/{x"},
	} {
		_, err := monitor.New(cfg)
		require.ErrorContains(t, err, want)
	}
}
