package main

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/intercom-dispatch/intercom-dispatch/internal/redistest"
)

// checkResult is a line of `doctor --json`, whose fields are promised to users.
type checkResult struct {
	Check  string `json:"check"`
	Status string `json:"status"`
	Found  string `json:"found"`
	Advice string `json:"advice"`
}

func examined(t *testing.T, r result) map[string]checkResult {
	t.Helper()
	require.Empty(t, r.stderr)
	all := map[string]checkResult{}
	for _, c := range decodeLines[checkResult](t, r.stdout) {
		require.Contains(t, []string{"ok", "warn", "fail", "skipped"}, c.Status)
		all[c.Check] = c
	}
	require.Len(t, all, 11)
	return all
}

func requireNoSecret(t *testing.T, r result) {
	t.Helper()
	for _, s := range []string{siteToken, siteSecret, private} {
		require.NotContains(t, r.stdout+r.stderr, s)
	}
}

func TestTheDoctorFindsNothingWrong(t *testing.T) {
	t.Parallel()
	s := newSiteOn(t, redistest.Start(t, redistest.Options{AppendOnly: true, Fsync: "always"}), everybody())
	hook := s.start("webhook").webhookURL()
	s.worker()

	r := s.finish("doctor", "--webhook-url", hook, "--json")
	all := examined(t, r)
	require.Equal(t, 0, r.status, r.stdout)
	for name, c := range all {
		require.NotEqual(t, "fail", c.Status, "%+v", c)
		require.NotEqual(t, "skipped", c.Status, "%+v", c)
		require.Equal(t, c.Status == "ok", c.Advice == "", "%s: %+v", name, c)
	}
	require.Contains(t, all["intercom"].Found, "Fake workspace")
	require.Contains(t, all["webhook"].Found, "client secret 1 is answered with 200")
	requireNoSecret(t, r)
	require.Empty(t, s.fake.Created())

	r = s.finish("doctor", "--webhook-url", hook)
	require.Equal(t, 0, r.status, r.stdout)
	require.Empty(t, r.stderr)
	require.Regexp(t, `(?m)^redis_persistence  ok       appendonly yes, appendfsync always`, r.stdout)
	require.Regexp(t, `\n\n[0-9]+ ok, [0-9] warn, 0 fail, 0 skipped\n$`, r.stdout)
	for line := range strings.Lines(r.stdout) {
		require.LessOrEqual(t, len(line), 130, line)
	}
	requireNoSecret(t, r)
}

func TestTheDoctorWarnsWithoutFailing(t *testing.T) {
	t.Parallel()
	s := newSiteOn(t, redistest.Start(t, redistest.Options{AppendOnly: true}), everybody())
	r := finish(t, call{args: []string{"doctor", "--json"}, env: s.env()})
	all := examined(t, r)
	require.Equal(t, 0, r.status, r.stdout)
	require.Equal(t, "warn", all["redis_persistence"].Status)
	require.Contains(t, all["redis_persistence"].Found, "appendfsync everysec")
	require.Equal(t, "skipped", all["intercom"].Status)
	require.Equal(t, "skipped", all["webhook"].Status)
}

func TestTheDoctorFails(t *testing.T) {
	t.Parallel()
	s := newSiteOn(t, redistest.Start(t, redistest.Options{AppendOnly: true, Fsync: "always"}), everybody())
	require.NoError(t, s.redis.Client(t).ConfigSet(t.Context(), "maxmemory-policy", "allkeys-lru").Err())
	open := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	t.Cleanup(open.Close)
	r := finish(t, call{
		args: []string{"doctor", "--json", "--webhook-url", strings.Replace(open.URL, "://", "://u:"+private+"@", 1)},
		env:  append(s.env(), "INTERCOM_ACCESS_TOKEN="+private, "INTERCOM_CLIENT_SECRET="+private),
	})
	all := examined(t, r)
	require.Equal(t, 1, r.status)
	require.Equal(t, "ok", all["redis_persistence"].Status)
	for _, name := range []string{"redis_eviction", "intercom", "webhook"} {
		require.Equal(t, "fail", all[name].Status, "%+v", all[name])
		require.NotEmpty(t, all[name].Advice)
	}
	requireNoSecret(t, r)
}

func TestTheDoctorGoesOnWithoutRedis(t *testing.T) {
	t.Parallel()
	s := newSiteOn(t, redistest.Mini(t), everybody())
	c := s.call("doctor", "--json", "--redis-url", "redis://user:"+private+"@"+takenAddr(t, false)+"/3")
	r := finish(t, c)
	all := examined(t, r)
	require.Equal(t, 1, r.status)
	require.Equal(t, "fail", all["redis"].Status)
	require.Contains(t, all["redis"].Found, "redis://user:xxxxx@")
	require.Equal(t, "skipped", all["queues"].Status)
	require.Equal(t, "ok", all["intercom"].Status)
	requireNoSecret(t, r)
}

func TestTheDoctorRefusesWrongUse(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		args []string
		says string
	}{
		"no URL":         {[]string{"--redis-url", "http://:" + private + "@h"}, "--redis-url"},
		"no workspace":   {[]string{"--workspace", "A B"}, "--workspace"},
		"short TTL":      {[]string{"--record-ttl", "1s"}, "--record-ttl"},
		"no webhook URL": {[]string{"--webhook-url", private + ".example.com/webhooks"}, "--webhook-url must begin with"},
		"two tokens":     {[]string{"--intercom-token", private, "--intercom-token-file", "x"}, "not both"},
		"two secrets":    {[]string{"--intercom-client-secret", private, "--intercom-client-secret-file", "x"}, "not both"},
		"no region":      {[]string{"--intercom-token", private, "--intercom-region", "mars"}, "--intercom-region"},
		"an argument":    {[]string{"now"}, "unexpected argument now"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			requireRefusal(t, finish(t, call{args: append([]string{"doctor"}, tt.args...)}), exitUsage, tt.says)
		})
	}
}
