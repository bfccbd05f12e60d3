package doctor_test

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/intercom-dispatch/intercom-dispatch/intercom"
	"github.com/intercom-dispatch/intercom-dispatch/internal/doctor"
	"github.com/intercom-dispatch/intercom-dispatch/internal/redisconn"
	"github.com/intercom-dispatch/intercom-dispatch/internal/redistest"
)

// patience is for machines that are very busy.
const patience = 30 * time.Second

// checks are the checks in their order.
var checks = []string{
	"redis", "redis_persistence", "redis_eviction", "redis_replicas", "intercom", "clock", "workers", "hold", "queues", "messages", "webhook",
}

// examine makes all checks and returns their results by name.
func examine(t *testing.T, cfg doctor.Config) map[string]doctor.Result {
	t.Helper()
	if cfg.Timeout == 0 {
		cfg.Timeout = patience
	}
	results, err := doctor.Run(t.Context(), cfg)
	require.NoError(t, err)
	all := map[string]doctor.Result{}
	var names []string
	for r := range results {
		names = append(names, r.Check)
		all[r.Check] = r
		require.NotEmpty(t, r.Found, r.Check)
		require.LessOrEqual(t, len(r.Check), doctor.NameWidth)
		if r.Status == doctor.Warn || r.Status == doctor.Fail {
			require.NotEmpty(t, r.Advice, r.Check)
		}
	}
	require.Equal(t, checks, names)
	return all
}

func parse(t *testing.T, url string) *redisconn.Config {
	t.Helper()
	c, err := redisconn.Parse(url)
	require.NoError(t, err)
	return c
}

func on(t *testing.T, s *redistest.Server) doctor.Config {
	t.Helper()
	return doctor.Config{Redis: parse(t, s.URL())}
}

// nowhere is a Redis that is not there.
func nowhere(t *testing.T) *redisconn.Config {
	t.Helper()
	s := redistest.Mini(t)
	s.Kill()
	return parse(t, s.URL())
}

func set(t *testing.T, c redis.UniversalClient, name, value string) {
	t.Helper()
	require.NoError(t, c.ConfigSet(t.Context(), name, value).Err())
}

func client(t *testing.T, baseURL, token string) *intercom.Client {
	t.Helper()
	c, err := intercom.New(intercom.Config{Token: intercom.StaticToken(token), BaseURL: baseURL, Timeout: patience})
	require.NoError(t, err)
	t.Cleanup(c.Close)
	return c
}

func serve(t *testing.T, h http.Handler) string {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s.URL
}

func requireResult(t *testing.T, r doctor.Result, status doctor.Status, says ...string) {
	t.Helper()
	require.Equal(t, status, r.Status, "%+v", r)
	for _, s := range says {
		require.Contains(t, r.Found+"\n"+r.Advice, s)
	}
}
