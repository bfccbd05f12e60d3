package redistest

import (
	"os"
	"os/exec"
	"testing"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
)

// Options are the settings of a real server. The zero value is a single node
// that keeps nothing on disk.
type Options struct {
	// AppendOnly keeps an append only file, so that a restarted server still
	// has its data.
	AppendOnly bool
	// Fsync is the appendfsync setting: "always", "everysec" or "no". Redis'
	// default, everysec, if empty.
	Fsync string
	// Cluster runs a cluster of one node that serves all slots.
	Cluster bool
}

// Server is a Redis server that belongs to one test and ends with it. Its
// methods are safe for concurrent use.
type Server struct {
	// Addr is the host and port it listens on. It stays the same over a
	// Restart.
	Addr string

	tb   testing.TB
	mini *miniredis.Miniredis
	real *realServer
}

// Each runs the test once on miniredis and once on a real redis-server, as
// parallel subtests of these names. As with all parallel subtests, they run
// after the calling test function has returned.
func Each(t *testing.T, run func(t *testing.T, s *Server)) {
	t.Helper()
	t.Run("miniredis", func(t *testing.T) {
		t.Parallel()
		run(t, Mini(t))
	})
	t.Run("redis-server", func(t *testing.T) {
		t.Parallel()
		run(t, Start(t, Options{}))
	})
}

// EachAndCluster is Each with a cluster of one node besides, as the subtest
// "cluster": there a script may only touch keys of one slot, which it names.
func EachAndCluster(t *testing.T, run func(t *testing.T, s *Server)) {
	t.Helper()
	Each(t, run)
	t.Run("cluster", func(t *testing.T) {
		t.Parallel()
		run(t, Start(t, Options{Cluster: true}))
	})
}

// Start runs a real redis-server until the test ends. It skips the test where
// there is none in PATH, and fails it if DISPATCH_REQUIRE_REDIS=1 is set.
func Start(tb testing.TB, o Options) *Server {
	tb.Helper()
	path, err := exec.LookPath("redis-server")
	if err != nil {
		if os.Getenv("DISPATCH_REQUIRE_REDIS") == "1" {
			tb.Fatal("DISPATCH_REQUIRE_REDIS=1 is set, but there is no redis-server in PATH")
		}
		tb.Skip("needs a redis-server in PATH: install Redis 7 or newer to run this test")
	}
	r := &realServer{path: path, opts: o, dir: tb.TempDir()}
	// Before the start: one that fails half way is cleaned up too.
	tb.Cleanup(r.kill)
	require.NoError(tb, r.startOnFreePort(tb.Context()))
	return &Server{Addr: r.addr(), tb: tb, real: r}
}

// Mini runs a miniredis until the test ends, for tests of what no Redis could
// do differently.
func Mini(tb testing.TB) *Server {
	tb.Helper()
	m := miniredis.RunT(tb)
	m.ClockTTL(true)
	return &Server{Addr: m.Addr(), tb: tb, mini: m}
}

// Client returns a new client for the server, which is closed when the test of
// tb ends. For a cluster it is a cluster client.
func (s *Server) Client(tb testing.TB) redis.UniversalClient {
	tb.Helper()
	var c redis.UniversalClient
	if s.cluster() {
		c = redis.NewClusterClient(&redis.ClusterOptions{Addrs: []string{s.Addr}})
	} else {
		c = redis.NewClient(&redis.Options{Addr: s.Addr})
	}
	tb.Cleanup(func() { _ = c.Close() })
	return c
}

// URL returns the server's address as the program's --redis-url takes it.
func (s *Server) URL() string {
	if s.cluster() {
		return "redis-cluster://" + s.Addr
	}
	return "redis://" + s.Addr + "/0"
}

// Real tells whether the server is a real redis-server rather than miniredis.
func (s *Server) Real() bool { return s.real != nil }

// Miniredis returns the server's miniredis, to move its clock for example, or
// nil where the server is real.
func (s *Server) Miniredis() *miniredis.Miniredis { return s.mini }

// Kill ends a real server at once with SIGKILL and returns when it is gone.
// What it had not written to its append only file is lost. Miniredis closes
// its listener and connections and keeps its data.
func (s *Server) Kill() {
	if s.mini != nil {
		s.mini.Close()
		return
	}
	s.real.kill()
}

// Restart kills the server if it still runs, starts it on the same address
// with the same directory and returns when it answers. Failure is reported as
// an error of the test, which goes on: Restart may run in any goroutine.
func (s *Server) Restart() {
	var err error
	if s.mini != nil {
		s.mini.Close()
		err = s.mini.Restart()
	} else {
		err = s.real.restart(s.tb.Context())
	}
	if err != nil {
		s.tb.Errorf("restart redis on %s: %v", s.Addr, err)
	}
}

func (s *Server) cluster() bool { return s.real != nil && s.real.opts.Cluster }
