package redistest_test

import (
	"bufio"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/intercom-dispatch/intercom-dispatch/internal/redistest"
)

func TestEachGivesEveryRunAFreshServer(t *testing.T) {
	t.Parallel()
	for range 2 {
		redistest.Each(t, func(t *testing.T, s *redistest.Server) {
			c := s.Client(t)
			n, err := c.Incr(t.Context(), "counter").Result()
			require.NoError(t, err)
			require.EqualValues(t, 1, n)
			require.Equal(t, "redis://"+s.Addr+"/0", s.URL())
			require.Equal(t, strings.Contains(t.Name(), "redis-server"), s.Real())
			require.Equal(t, s.Real(), s.Miniredis() == nil)
		})
	}
}

func TestServersRunScriptsWithTheRealTime(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, s *redistest.Server) {
		got, err := s.Client(t).Eval(t.Context(), `return redis.call("TIME")[1]`, nil).Text()
		require.NoError(t, err)
		sec, err := strconv.ParseInt(got, 10, 64)
		require.NoError(t, err)
		require.InDelta(t, time.Now().Unix(), sec, 5)
	})
}

func TestKeysExpireByThemselves(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, s *redistest.Server) {
		c := s.Client(t)
		require.NoError(t, c.Set(t.Context(), "k", "v", 20*time.Millisecond).Err())
		require.Eventually(t, func() bool { return c.Exists(t.Context(), "k").Val() == 0 },
			10*time.Second, 5*time.Millisecond)
	})
}

func TestKilledServerRefusesConnectionsUntilItIsRestarted(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, s *redistest.Server) {
		addr := s.Addr
		require.NoError(t, s.Client(t).Ping(t.Context()).Err())
		s.Kill()
		require.Error(t, s.Client(t).Ping(t.Context()).Err())
		s.Restart()
		require.Equal(t, addr, s.Addr)
		require.NoError(t, s.Client(t).Ping(t.Context()).Err())
	})
}

func TestOnlyAnAppendOnlyFileSurvivesKill(t *testing.T) {
	t.Parallel()
	for _, appendOnly := range []bool{true, false} {
		t.Run(strconv.FormatBool(appendOnly), func(t *testing.T) {
			t.Parallel()
			s := redistest.Start(t, redistest.Options{AppendOnly: appendOnly, Fsync: "always"})
			c := s.Client(t)
			require.NoError(t, c.Set(t.Context(), "k", "v", 0).Err())
			s.Kill()
			s.Restart()
			err := c.Get(t.Context(), "k").Err()
			if appendOnly {
				require.NoError(t, err)
			} else {
				require.ErrorIs(t, err, redis.Nil)
			}
		})
	}
}

func TestClusterServesKeysOfAllSlotsAlsoAfterRestart(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t, redistest.Options{Cluster: true, AppendOnly: true, Fsync: "always"})
	require.Equal(t, "redis-cluster://"+s.Addr, s.URL())
	c := s.Client(t)
	require.IsType(t, &redis.ClusterClient{}, c)
	for i := range 50 {
		require.NoError(t, c.Set(t.Context(), strconv.Itoa(i), i, 0).Err())
	}
	// What a single node forgives, a cluster does not.
	require.ErrorContains(t, c.Do(t.Context(), "MSET", "a", 1, "b", 2).Err(), "CROSSSLOT")

	s.Restart()
	require.Equal(t, "49", c.Get(t.Context(), "49").Val())
}

// TestServerDiesWithAKilledTestBinary runs itself as a child, which holds a
// server until it is killed.
func TestServerDiesWithAKilledTestBinary(t *testing.T) {
	t.Parallel()
	if os.Getenv("REDISTEST_CHILD") == "1" {
		s := redistest.Start(t, redistest.Options{})
		_, _ = os.Stdout.WriteString("addr " + s.Addr + "\n")
		<-t.Context().Done()
		return
	}
	if _, err := exec.LookPath("redis-server"); err != nil {
		redistest.Start(t, redistest.Options{}) // Skips or fails.
	}
	child := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^"+t.Name()+"$")
	// A killed child removes no directory, so it gets one that goes with this test.
	child.Env = append(os.Environ(), "REDISTEST_CHILD=1", "TMPDIR="+t.TempDir())
	out, err := child.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, child.Start())
	addr := addrFrom(t, bufio.NewScanner(out))

	c := redis.NewClient(&redis.Options{Addr: addr, MaxRetries: -1, DialerRetries: 1})
	t.Cleanup(func() { _ = c.Close() })
	require.NoError(t, c.Ping(t.Context()).Err())
	require.NoError(t, child.Process.Signal(syscall.SIGKILL))
	_ = child.Wait()
	require.Eventually(t, func() bool { return c.Ping(t.Context()).Err() != nil },
		10*time.Second, 10*time.Millisecond)
}

func addrFrom(t *testing.T, lines *bufio.Scanner) string {
	t.Helper()
	for lines.Scan() {
		if addr, ok := strings.CutPrefix(lines.Text(), "addr "); ok {
			return addr
		}
	}
	require.FailNow(t, "the child gave no address")
	return ""
}
