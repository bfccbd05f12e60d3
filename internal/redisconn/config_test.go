package redisconn_test

import (
	"context"
	"net"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/alicebob/miniredis/v2/server"
	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/intercom-dispatch/intercom-dispatch/internal/redisconn"
	"github.com/intercom-dispatch/intercom-dispatch/internal/redistest"
)

func newClient(t *testing.T, rawURL string) redis.UniversalClient {
	t.Helper()
	cfg, err := redisconn.Parse(rawURL)
	require.NoError(t, err)
	c := cfg.NewClient()
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// requireAsynqWorks sends a task through asynq and looks at it.
func requireAsynqWorks(t *testing.T, rawURL string) {
	t.Helper()
	cfg, err := redisconn.Parse(rawURL)
	require.NoError(t, err)
	c := asynq.NewClient(cfg.AsynqOpt())
	t.Cleanup(func() { _ = c.Close() })
	info, err := c.EnqueueContext(t.Context(), asynq.NewTask("test", nil))
	require.NoError(t, err)
	i := asynq.NewInspector(cfg.AsynqOpt())
	t.Cleanup(func() { _ = i.Close() })
	got, err := i.GetTaskInfo(info.Queue, info.ID)
	require.NoError(t, err)
	require.Equal(t, "test", got.Type)
}

func TestSingleServerTakesCommandsAndTasks(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, s *redistest.Server) {
		require.NoError(t, newClient(t, s.URL()).Ping(t.Context()).Err())
		requireAsynqWorks(t, s.URL())
	})
}

func TestClusterTakesCommandsAndTasks(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t, redistest.Options{Cluster: true})
	require.NoError(t, newClient(t, s.URL()).Set(t.Context(), "k", "v", 0).Err())
	requireAsynqWorks(t, s.URL())
}

func TestURLSelectsUserPasswordAndDatabase(t *testing.T) {
	t.Parallel()
	m := miniredis.RunT(t)
	m.RequireUserAuth("app", "p/ss@%")
	c := newClient(t, "redis://app:p%2Fss%40%25@"+m.Addr()+"/3")
	require.NoError(t, c.Set(t.Context(), "k", "v", 0).Err())
	m.Select(3)
	require.True(t, m.Exists("k"))
	require.Error(t, newClient(t, "redis://app:wrong@"+m.Addr()).Ping(t.Context()).Err())
}

func TestSentinelIsAskedForTheMaster(t *testing.T) {
	t.Parallel()
	master := miniredis.RunT(t)
	master.RequireAuth("for-redis")
	sentinel := miniredis.RunT(t)
	sentinel.RequireAuth("for-sentinel")
	require.NoError(t, sentinel.Server().Register("SENTINEL", func(c *server.Peer, _ string, args []string) {
		if args[0] != "get-master-addr-by-name" || args[1] != "main" {
			c.WriteLen(0)
			return
		}
		host, port, _ := net.SplitHostPort(master.Addr())
		c.WriteStrings([]string{host, port})
	}))

	u := "redis-sentinel://:for-redis@" + sentinel.Addr() + "/2?master=main&sentinel_password=for-sentinel"
	require.NoError(t, newClient(t, u).Set(t.Context(), "k", "v", 0).Err())
	master.Select(2)
	require.True(t, master.Exists("k"))
	requireAsynqWorks(t, u)
}

func TestCommandsEndWithTheirContext(t *testing.T) {
	t.Parallel()
	// A listener that nobody accepts from: it connects and never answers.
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = l.Close() })
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	start := time.Now()
	require.Error(t, newClient(t, "redis://"+l.Addr().String()).Ping(ctx).Err())
	require.Less(t, time.Since(start), 3*time.Second)
}
