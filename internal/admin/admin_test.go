package admin_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"github.com/intercom-dispatch/intercom-dispatch/internal/admin"
)

type running struct {
	base string
	// stop ends Serve and returns its error.
	stop func() error
}

func start(t *testing.T, cfg admin.Config) running {
	t.Helper()
	s, err := admin.Listen(t.Context(), "127.0.0.1:0", cfg)
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx) }()
	stop := func() error {
		cancel()
		err := <-done
		done <- err
		return err
	}
	t.Cleanup(func() { require.NoError(t, stop()) })
	return running{base: "http://" + s.Addr().String(), stop: stop}
}

func get(t *testing.T, url string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, http.NoBody)
	require.NoError(t, err)
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(req)
	require.NoError(t, err)
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return resp.StatusCode, string(body)
}

func TestHealthzIsOKWhateverTheChecksSay(t *testing.T) {
	t.Parallel()
	s := start(t, admin.Config{Checks: []admin.Check{{Name: "redis", Run: fail("gone")}}})
	status, body := get(t, s.base+"/healthz")
	require.Equal(t, http.StatusOK, status)
	require.Equal(t, "ok\n", body)
}

func TestReadyzListsEveryCheck(t *testing.T) {
	t.Parallel()
	s := start(t, admin.Config{Checks: []admin.Check{
		{Name: "redis", Run: fail("connection refused")},
		{Name: "workspace", Run: succeed},
	}})
	status, body := get(t, s.base+"/readyz")
	require.Equal(t, http.StatusServiceUnavailable, status)
	require.JSONEq(t, `{"status":"unavailable","checks":{
		"redis":{"ok":false,"error":"connection refused"},"workspace":{"ok":true}}}`, body)

	s = start(t, admin.Config{Checks: []admin.Check{{Name: "redis", Run: succeed}}})
	status, body = get(t, s.base+"/readyz")
	require.Equal(t, http.StatusOK, status)
	require.JSONEq(t, `{"status":"ok","checks":{"redis":{"ok":true}}}`, body)

	status, body = get(t, start(t, admin.Config{}).base+"/readyz")
	require.Equal(t, http.StatusOK, status)
	require.JSONEq(t, `{"status":"ok","checks":{}}`, body)
}

func TestReadyzRunsChecksTogetherAndGivesUpOnSlowOnes(t *testing.T) {
	t.Parallel()
	// Each waits for the other: one after the other they would never end.
	one, two := make(chan struct{}), make(chan struct{})
	meet := func(mine, other chan struct{}) func(context.Context) error {
		return func(ctx context.Context) error {
			close(mine)
			select {
			case <-other:
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		}
	}
	s := start(t, admin.Config{Checks: []admin.Check{
		{Name: "one", Run: meet(one, two)}, {Name: "two", Run: meet(two, one)},
	}})
	status, _ := get(t, s.base+"/readyz")
	require.Equal(t, http.StatusOK, status)

	slow := func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }
	s = start(t, admin.Config{
		Checks: []admin.Check{{Name: "slow", Run: slow}}, CheckTimeout: 20 * time.Millisecond,
	})
	status, body := get(t, s.base+"/readyz")
	require.Equal(t, http.StatusServiceUnavailable, status)
	require.Contains(t, body, "no result within 20ms")
}

func TestMetricsShowTheGathererHandedIn(t *testing.T) {
	t.Parallel()
	reg := prometheus.NewRegistry()
	c := prometheus.NewCounter(prometheus.CounterOpts{Name: "dispatch_test_total", Help: "Test."})
	reg.MustRegister(c)
	c.Inc()
	status, body := get(t, start(t, admin.Config{Metrics: reg}).base+"/metrics")
	require.Equal(t, http.StatusOK, status)
	require.Contains(t, body, "dispatch_test_total 1")

	status, _ = get(t, start(t, admin.Config{}).base+"/metrics")
	require.Equal(t, http.StatusNotFound, status)
}

func TestRootAnswersOtherPathsOnly(t *testing.T) {
	t.Parallel()
	root := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) })
	s := start(t, admin.Config{Root: root})
	for path, want := range map[string]int{
		"/": http.StatusTeapot, "/queues/x": http.StatusTeapot, "/healthz": http.StatusOK,
	} {
		status, _ := get(t, s.base+path)
		require.Equal(t, want, status, path)
	}
}

func TestListenSaysThatTheAddressIsInUse(t *testing.T) {
	t.Parallel()
	first, err := admin.Listen(t.Context(), "127.0.0.1:0", admin.Config{})
	require.NoError(t, err)
	_, err = admin.Listen(t.Context(), first.Addr().String(), admin.Config{})
	require.ErrorContains(t, err, "another process has the address")
	require.ErrorContains(t, err, first.Addr().String())

	require.NoError(t, first.Close())
	again, err := admin.Listen(t.Context(), first.Addr().String(), admin.Config{})
	require.NoError(t, err)
	require.NoError(t, again.Close())
}

func TestShutdownLetsOpenRequestsEnd(t *testing.T) {
	t.Parallel()
	entered, release := make(chan struct{}), make(chan struct{})
	root := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		close(entered)
		<-release
		w.WriteHeader(http.StatusTeapot)
	})
	s := start(t, admin.Config{Root: root})
	stopped := make(chan error, 1)
	go func() {
		<-entered
		time.AfterFunc(50*time.Millisecond, func() { close(release) })
		err := s.stop()
		select {
		case <-release:
		default:
			t.Error("stopped while a request was open")
		}
		stopped <- err
	}()
	status, _ := get(t, s.base+"/")
	require.Equal(t, http.StatusTeapot, status)
	require.NoError(t, <-stopped)
}

func TestShutdownIsBounded(t *testing.T) {
	t.Parallel()
	entered := make(chan struct{})
	root := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		close(entered)
		<-r.Context().Done()
	})
	s := start(t, admin.Config{Root: root, ShutdownTimeout: 20 * time.Millisecond})
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.base, http.NoBody)
	require.NoError(t, err)
	cut := make(chan error, 1)
	go func() {
		resp, err := (&http.Client{Transport: &http.Transport{}}).Do(req)
		if err == nil {
			_ = resp.Body.Close()
		}
		cut <- err
	}()
	<-entered
	require.NoError(t, s.stop())
	require.Error(t, <-cut)
}

func succeed(context.Context) error { return nil }

func fail(text string) func(context.Context) error {
	return func(context.Context) error { return errors.New(text) }
}
