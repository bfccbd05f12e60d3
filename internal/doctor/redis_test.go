package doctor_test

import (
	"net"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/intercom-dispatch/intercom-dispatch/internal/doctor"
	"github.com/intercom-dispatch/intercom-dispatch/internal/redistest"
)

func TestPersistenceIsJudgedByWhatIsLost(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		opts   redistest.Options
		save   string
		status doctor.Status
		says   []string
	}{
		{"always", redistest.Options{AppendOnly: true, Fsync: "always"}, "", doctor.OK, []string{"appendfsync always", "nothing that was acknowledged is lost"}},
		{"everysec", redistest.Options{AppendOnly: true, Fsync: "everysec"}, "", doctor.Warn, []string{"appendfsync everysec", "up to a second", "sent twice", "lost"}},
		{"no fsync", redistest.Options{AppendOnly: true, Fsync: "no"}, "", doctor.Warn, []string{"appendfsync no"}},
		{"nothing", redistest.Options{}, "", doctor.Fail, []string{"appendonly no", "keeps nothing on disk", "sent twice"}},
		{"snapshots", redistest.Options{}, "3600 1", doctor.Fail, []string{"save 3600 1", "snapshots", "sent twice"}},
		{"cluster", redistest.Options{AppendOnly: true, Fsync: "always", Cluster: true}, "", doctor.OK, []string{"appendfsync always"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := redistest.Start(t, tt.opts)
			if tt.save != "" {
				set(t, s.Client(t), "save", tt.save)
			}
			all := examine(t, on(t, s))
			requireResult(t, all["redis_persistence"], tt.status, tt.says...)
			kind := "kind single"
			if tt.opts.Cluster {
				kind = "kind cluster"
			}
			require.NotEqual(t, doctor.Fail, all["redis"].Status)
			requireResult(t, all["redis"], all["redis"].Status, "Redis ", "master", "PING", kind)
			requireResult(t, all["redis_eviction"], doctor.OK, "noeviction", "maxmemory is not set")
			requireResult(t, all["clock"], doctor.OK, "agrees")
			requireResult(t, all["queues"], doctor.OK, "none yet")
			requireResult(t, all["messages"], doctor.OK, "0 failed, 0 held, 0 uncertain")
			requireResult(t, all["webhook"], doctor.Skipped, "--webhook-url")
			requireResult(t, all["intercom"], doctor.Skipped, "no access token", "INTERCOM_ACCESS_TOKEN")
		})
	}
}

func TestEvictionIsAFailure(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t, redistest.Options{})
	c := s.Client(t)
	set(t, c, "maxmemory", "1gb")
	requireResult(t, examine(t, on(t, s))["redis_eviction"], doctor.OK, "of 1024.0 MiB")
	set(t, c, "maxmemory-policy", "allkeys-lru")
	requireResult(t, examine(t, on(t, s))["redis_eviction"], doctor.Fail, "allkeys-lru", "noeviction")
}

func TestFullMemoryIsWarnedOf(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t, redistest.Options{})
	c := s.Client(t)
	used, err := strconv.Atoi(info(t, c, "used_memory"))
	require.NoError(t, err)
	set(t, c, "maxmemory", strconv.Itoa(used*11/10))
	requireResult(t, examine(t, on(t, s))["redis_eviction"], doctor.Warn, "%", "refuses writes")
}

func info(t *testing.T, c redis.UniversalClient, name string) string {
	t.Helper()
	text, err := c.Info(t.Context()).Result()
	require.NoError(t, err)
	for line := range strings.Lines(text) {
		if value, ok := strings.CutPrefix(line, name+":"); ok {
			return strings.TrimSpace(value)
		}
	}
	require.FailNow(t, "INFO has no "+name)
	return ""
}

func TestReplicas(t *testing.T) {
	t.Parallel()
	master, replica := redistest.Start(t, redistest.Options{}), redistest.Start(t, redistest.Options{})
	requireResult(t, examine(t, on(t, master))["redis_replicas"], doctor.OK, "0 connected")
	c := master.Client(t)
	host, port, err := net.SplitHostPort(master.Addr)
	require.NoError(t, err)
	require.NoError(t, replica.Client(t).SlaveOf(t.Context(), host, port).Err())
	require.Eventually(t, func() bool {
		return strings.Contains(c.Info(t.Context(), "replication").Val(), "state=online")
	}, patience, 20*time.Millisecond)

	requireResult(t, examine(t, on(t, replica))["redis"], doctor.Fail, "it is a replica", "--redis-url")
	requireResult(t, examine(t, on(t, master))["redis_replicas"], doctor.Warn, "1 connected", "min-replicas-to-write 0", "failover")
	set(t, c, "min-replicas-to-write", "1")
	requireResult(t, examine(t, on(t, master))["redis_replicas"], doctor.OK, "min-replicas-to-write 1", "last 10 s")
	set(t, c, "min-replicas-to-write", "2")
	requireResult(t, examine(t, on(t, master))["redis_replicas"], doctor.Fail, "refuses writes")
}

func TestTheKindOfRedisMustBeTheURLs(t *testing.T) {
	t.Parallel()
	cluster := redistest.Start(t, redistest.Options{Cluster: true})
	r := examine(t, doctor.Config{Redis: parse(t, "redis://"+cluster.Addr)})["redis"]
	requireResult(t, r, doctor.Fail, "a node of a cluster", "redis-cluster://")

	single := redistest.Start(t, redistest.Options{})
	r = examine(t, doctor.Config{Redis: parse(t, "redis-cluster://"+single.Addr)})["redis"]
	requireResult(t, r, doctor.Fail, "use redis://")
}

// Miniredis knows neither CONFIG nor most of INFO, as some hosted services.
func TestARedisThatDoesNotTellItsSettings(t *testing.T) {
	t.Parallel()
	all := examine(t, on(t, redistest.Mini(t)))
	requireResult(t, all["redis"], doctor.Warn, "version", "PING")
	requireResult(t, all["redis_persistence"], doctor.Skipped, "console", "AOF", "sent twice")
	requireResult(t, all["redis_eviction"], doctor.Skipped, "console", "noeviction")
	requireResult(t, all["redis_replicas"], doctor.Skipped, "console")
	requireResult(t, all["clock"], doctor.OK, "Redis' clock")
	requireResult(t, all["queues"], doctor.OK)
	requireResult(t, all["messages"], doctor.OK)
}

// A hosted Redis refuses CONFIG and answers INFO.
func TestARedisThatRefusesCONFIG(t *testing.T) {
	t.Parallel()
	for _, aof := range []bool{true, false} {
		t.Run(strconv.FormatBool(aof), func(t *testing.T) {
			t.Parallel()
			s := redistest.Start(t, redistest.Options{AppendOnly: aof})
			require.NoError(t, s.Client(t).Do(t.Context(), "ACL", "SETUSER", "guest", "on", ">secret-password", "~*", "+@all", "-config").Err())
			all := examine(t, doctor.Config{Redis: parse(t, "redis://guest:secret-password@"+s.Addr)})
			says := "no append only file"
			if aof {
				says = "an append only file is kept"
			}
			requireResult(t, all["redis_persistence"], doctor.Warn, says, "console")
			requireResult(t, all["redis_eviction"], doctor.OK, "noeviction")
			requireResult(t, all["redis_replicas"], doctor.OK, "0 connected")
		})
	}
}

func TestAWrongPasswordIsToldAndNotShown(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t, redistest.Options{})
	set(t, s.Client(t), "requirepass", "right-password")
	r := examine(t, doctor.Config{Redis: parse(t, "redis://:wrong-password@"+s.Addr)})["redis"]
	requireResult(t, r, doctor.Fail, "WRONGPASS", "password in --redis-url", ":xxxxx@"+s.Addr)
	require.NotContains(t, r.Found+r.Advice, "wrong-password")
	r = examine(t, on(t, s))["redis"]
	requireResult(t, r, doctor.Fail, "NOAUTH", "password in --redis-url")
}

func TestWithoutRedisOnlyItsChecksAreSkipped(t *testing.T) {
	t.Parallel()
	fake := newFake(t)
	all := examine(t, doctor.Config{Redis: nowhere(t), Intercom: client(t, fake, token)})
	requireResult(t, all["redis"], doctor.Fail, "refused", "Is it running")
	for _, name := range []string{"redis_persistence", "redis_eviction", "redis_replicas", "queues", "messages"} {
		requireResult(t, all[name], doctor.Skipped, "Redis cannot be reached")
	}
	requireResult(t, all["intercom"], doctor.OK)
	requireResult(t, all["clock"], doctor.OK, "Intercom's clock agrees", "Redis' clock was not read")
}

// TestASilentRedisEndsTheCheck has a server that takes connections and never
// answers.
func TestASilentRedisEndsTheCheck(t *testing.T) {
	t.Parallel()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = l.Close() })
	began := time.Now()
	all := examine(t, doctor.Config{Redis: parse(t, "redis://"+l.Addr().String()), Timeout: 300 * time.Millisecond})
	requireResult(t, all["redis"], doctor.Fail, "no answer within 300ms")
	requireResult(t, all["messages"], doctor.Skipped)
	require.Less(t, time.Since(began), patience/2)
}

func TestClocksThatDiffer(t *testing.T) {
	t.Parallel()
	s := redistest.Mini(t)
	fake := newFake(t)
	for _, tt := range []struct {
		ahead  time.Duration // of the local clock
		status doctor.Status
		way    string // of the others
	}{
		{5 * time.Second, doctor.Warn, "behind"},
		{-5 * time.Second, doctor.Warn, "ahead of"},
		{-time.Hour, doctor.Fail, "ahead of"},
	} {
		t.Run(tt.ahead.String(), func(t *testing.T) {
			t.Parallel()
			cfg := on(t, s)
			cfg.Intercom = client(t, fake, token)
			cfg.Now = func() time.Time { return time.Now().Add(tt.ahead) }
			r := examine(t, cfg)["clock"]
			requireResult(t, r, tt.status, "NTP")
			require.Regexp(t, "Redis' clock is [0-9.hms]+ "+tt.way+" this machine's; Intercom's clock is [0-9.hms]+ "+tt.way, r.Found)
		})
	}
}
