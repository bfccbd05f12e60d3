package redisconn_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/intercom-dispatch/intercom-dispatch/internal/redisconn"
)

func TestParseReadsEveryForm(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		url  string
		kind redisconn.Kind
		want string
	}{
		{"redis://127.0.0.1:6379/0", redisconn.Single, "redis://127.0.0.1:6379/0"},
		{"redis://localhost", redisconn.Single, "redis://localhost:6379/0"},
		{" redis://localhost/\n", redisconn.Single, "redis://localhost:6379/0"},
		{"REDIS://localhost:1/7", redisconn.Single, "redis://localhost:1/7"},
		{"redis://[::1]:6380/2", redisconn.Single, "redis://[::1]:6380/2"},
		{"redis://[::1]", redisconn.Single, "redis://[::1]:6379/0"},
		{"redis://:s3cret@h", redisconn.Single, "redis://:xxxxx@h:6379/0"},
		{"redis://app:s3cret@h", redisconn.Single, "redis://app:xxxxx@h:6379/0"},
		{"redis://app:s3cret%2F%3F@h", redisconn.Single, "redis://app:xxxxx@h:6379/0"},
		{"redis://app:s3cret@s3cret@h", redisconn.Single, "redis://app:xxxxx@h:6379/0"},
		{"rediss://h:6380/1", redisconn.Single, "rediss://h:6380/1"},
		{
			"redis-sentinel://s1,s2:26380,[::1]/3?master=main", redisconn.Sentinel,
			"redis-sentinel://s1:26379,s2:26380,[::1]:26379/3?master=main",
		},
		{
			"rediss-sentinel://:s3cret@s1?master=m&sentinel_username=u&sentinel_password=s3cret", redisconn.Sentinel,
			"rediss-sentinel://:xxxxx@s1:26379/0?master=m&sentinel_username=u&sentinel_password=xxxxx",
		},
		{"redis-cluster://n1:7000,n2", redisconn.Cluster, "redis-cluster://n1:7000,n2:6379"},
		{"rediss-cluster://u:s3cret@n1/0", redisconn.Cluster, "rediss-cluster://u:xxxxx@n1:6379"},
	} {
		t.Run(tt.url, func(t *testing.T) {
			t.Parallel()
			c, err := redisconn.Parse(tt.url)
			require.NoError(t, err)
			require.Equal(t, tt.kind, c.Kind())
			require.Equal(t, tt.want, c.String())
			for _, format := range []string{"%v", "%+v", "%#v", "%s"} {
				require.NotContains(t, fmt.Sprintf(format, c), "s3cret")
				require.NotContains(t, fmt.Sprintf(format, *c), "s3cret")
			}
		})
	}
}

func TestParseSaysWhatIsWrongAndNeverThePassword(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ url, want string }{
		{"", "is empty"},
		{"localhost:6379", "no scheme"},
		{"s3cret", "no scheme"},
		{"http://localhost", "unknown scheme"},
		{"redis-s3cret://localhost", "unknown scheme"},
		{"redis-single://localhost", "unknown scheme"},
		{"redis-://localhost", "unknown scheme"},
		{"redis://", "no host"},
		{"redis:///0", "no host"},
		{"redis://:s3cret@", "no host"},
		{"redis://:s3cret@:6379", "no name"},
		{"redis://user:s3cret", "port that is not a number"},
		{"redis://h:0", "1 to 65535"},
		{"redis://h:65536", "1 to 65535"},
		{"redis://h:", "1 to 65535"},
		{"redis://::1", "IPv6"},
		{"redis://[::1", "not a host"},
		{"redis://h1,h2", "redis-sentinel:// and redis-cluster://"},
		{"redis-cluster://h1,,h2", "host 2"},
		{"redis://user@h", "user without a password"},
		{"redis://:s3cret/x@h", "%2F"},
		{"redis://:12/s3cret@h", "%2F"},
		{"redis://:12?s3cret@h", "%3F"},
		{"redis://:12#s3cret@h", "%23"},
		{"redis://h/0#s3cret", "holds a #"},
		{"redis://:s3cret%zz@h", "%25"},
		{"redis://h/s3cret", "database number"},
		{"redis://h/-1", "database number"},
		{"redis://h/1/2", "database number"},
		{"redis://h?s3cret=1", "none"},
		{"redis-cluster://h/1", "only database 0"},
		{"redis-sentinel://h", "?master="},
		{"redis-sentinel://h?master=", "?master="},
		{"redis-sentinel://h?master=a&master=b", "master twice"},
		{"redis-sentinel://h?master=a&sentinel_password=x&s3cret", "sentinel_username"},
		{"redis-sentinel://h?master=a&sentinel_password=s3cret;", "semicolon"},
		{"redis-sentinel://h?master=a&sentinel_password=s3cret%z", "%25"},
		{"redis-sentinel://h?master=a&sentinel_password=x@s3cret", "%40"},
	} {
		t.Run(tt.url, func(t *testing.T) {
			t.Parallel()
			c, err := redisconn.Parse(tt.url)
			require.Nil(t, c)
			require.ErrorContains(t, err, tt.want)
			require.ErrorContains(t, err, redisconn.Forms)
			require.NotContains(t, err.Error(), "s3cret")
		})
	}
}

func FuzzParse(f *testing.F) {
	f.Add("redis://user:password@localhost:6379/0")
	f.Add("redis-sentinel://:p@a,b:1/2?master=m&sentinel_password=q")
	f.Add("rediss-cluster://[::1]:7000,b")
	f.Fuzz(func(t *testing.T, rawURL string) {
		c, err := redisconn.Parse(rawURL)
		if err != nil {
			return
		}
		// What is shown can be read again, and is the same but for passwords.
		again, err := redisconn.Parse(c.String())
		require.NoError(t, err, c.String())
		require.Equal(t, c.String(), again.String())
		require.NoError(t, c.NewClient().Close())
	})
}
