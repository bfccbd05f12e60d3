package main

import (
	"net"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/intercom-dispatch/intercom-dispatch/intercom/intercomtest"
	"github.com/intercom-dispatch/intercom-dispatch/internal/redistest"
)

// goTypes are words that only a Go programmer would know.
var goTypes = regexp.MustCompile(`\*?\b(errors|fmt|net|url|json|kong|redis|intercom|worker|main|time)\.[A-Z]\w+|0x[0-9a-f]{6}|goroutine|panic`)

// requireRefusal checks that the program ended with a status and one line that
// says everything.
func requireRefusal(t *testing.T, r result, status int, says ...string) {
	t.Helper()
	require.Equal(t, status, r.status, r.stderr)
	require.Empty(t, r.stdout)
	require.Equal(t, 1, strings.Count(r.stderr, "\n"), r.stderr)
	require.True(t, strings.HasPrefix(r.stderr, "intercom-dispatch: "), r.stderr)
	require.NotRegexp(t, goTypes, r.stderr)
	require.NotContains(t, r.stderr, private)
	for _, s := range says {
		require.Contains(t, r.stderr, s)
	}
}

func TestWrongUseIsToldInOneLine(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		args []string
		env  []string
		says []string
	}{
		{"no token", []string{"worker"}, nil, []string{"token is required", "INTERCOM_ACCESS_TOKEN", "--intercom-token-file"}},
		{"an empty token", []string{"worker"}, []string{"INTERCOM_ACCESS_TOKEN="}, []string{"token is required"}},
		{
			"two tokens",
			[]string{"worker", "--intercom-token", private, "--intercom-token-file", "x"},
			nil,
			[]string{"--intercom-token or --intercom-token-file, not both"},
		},
		{"no token file", []string{"worker", "--intercom-token-file", "/no/such"}, nil, []string{"--intercom-token-file", "/no/such: no such file"}},
		{"an empty token file", []string{"worker", "--intercom-token-file", os.DevNull}, nil, []string{os.DevNull, "is empty"}},
		{"no secret", []string{"webhook"}, nil, []string{"client secret is required", "INTERCOM_CLIENT_SECRET"}},
		{"an empty secret", []string{"webhook"}, []string{"INTERCOM_CLIENT_SECRET="}, []string{"secret"}},
		{"no secret for a worker", []string{"worker", "--webhook", "--intercom-token", private}, nil, []string{"client secret is required"}},
		{"two secrets", []string{"webhook", "--intercom-client-secret", private, "--intercom-client-secret-file", "x"}, nil, []string{"not both"}},
		{
			"half an app",
			[]string{"webhook", "--intercom-client-secret", private, "--app-workspace", "abc12def"},
			nil,
			[]string{"--app-workspace", `"abc12def"`, "APP_ID=WORKSPACE"},
		},
		{
			"an app without an id",
			[]string{"worker", "--webhook", "--intercom-token", "t", "--intercom-client-secret", private},
			[]string{"DISPATCH_APP_WORKSPACES=a=main,=second"},
			[]string{"--app-workspace", "app id", "id code"},
		},
		{
			"an app of a bad workspace",
			[]string{"webhook", "--intercom-client-secret", private, "--app-workspace", "a=Main"},
			nil,
			[]string{"--app-workspace", `"Main"`, "lower-case letters"},
		},
		{
			"an app of two workspaces",
			[]string{"webhook", "--intercom-client-secret", private, "--app-workspace", "a=main", "--app-workspace", "a=second"},
			nil,
			[]string{"--app-workspace", `"a"`, `"main"`, `"second"`},
		},
		{
			"a Redis URL of another kind",
			[]string{"enqueue", "--redis-url", "http://:" + private + "@h"},
			nil,
			[]string{"--redis-url", "unknown scheme", "redis://"},
		},
		{"a Redis URL that is none", []string{"message", "get", "k"}, []string{"REDIS_URL=:" + private + "@h:6379"}, []string{"has no scheme"}},
		{"a slash in the password", []string{"monitor"}, []string{"REDIS_URL=redis://:" + private + "/x@h:6379"}, []string{"%2F"}},
		{"an unknown flag", []string{"worker", "--concurency=5"}, nil, []string{"--concurency", `did you mean "--concurrency"`, "see intercom-dispatch worker --help"}},
		{"an unknown flag with a secret", []string{"worker", "--token=" + private}, nil, []string{"unknown flag --token"}},
		{"an unknown command", []string{"wroker"}, nil, []string{"wroker", "see intercom-dispatch --help"}},
		{"half a command", []string{"message"}, nil, []string{`"get"`, "see intercom-dispatch message --help"}},
		{"no key", []string{"message", "get"}, nil, []string{"<key>"}},
		{"no state", []string{"message", "list"}, nil, []string{"--state"}},
		{"an unknown state", []string{"message", "list", "--state", "lost"}, nil, []string{`--state "lost"`, "failed", "waiting", "held"}},
		{"no limit", []string{"message", "list", "--state", "failed", "--limit", "0"}, nil, []string{"--limit must be at least 1"}},
		{"neither keys nor a state", []string{"message", "retry"}, nil, []string{"give keys", "--state"}},
		{"keys and a state", []string{"message", "cancel", "k", "--state", "waiting"}, nil, []string{"keys or --state, not both"}},
		{"a code for a key", []string{"message", "retry", "k", "--code", "c"}, nil, []string{"--code goes with --state"}},
		{"a limit for a key", []string{"message", "retry", "k", "--limit", "3"}, nil, []string{"--limit goes with --state"}},
		{"no limit of dead events", []string{"replies", "dead", "--limit", "0"}, nil, []string{"--limit must be at least 1"}},
		{"no dead event", []string{"replies", "redeliver"}, nil, []string{"<id>"}},
		{"no limit of a bulk", []string{"message", "retry", "--state", "failed", "--limit", "0"}, nil, []string{"--limit must be at least 1"}},
		{"a state that is not retried", []string{"message", "retry", "--state", "sent"}, nil, []string{`--state "sent"`, "failed", "held", "waiting"}},
		{"a state that is not cancelled", []string{"message", "cancel", "--state", "held"}, nil, []string{`--state "held"`, "waiting", "resolve --drop"}},
		{"a state that is not resolved", []string{"message", "resolve", "--drop", "--state", "failed"}, nil, []string{`--state "failed"`, "held uncertain"}},
		{"no decision", []string{"message", "resolve", "k"}, nil, []string{"--sent ID", "--resend", "--drop"}},
		{"two decisions", []string{"message", "resolve", "k", "--resend", "--drop"}, nil, []string{"one of --sent ID, --resend and --drop"}},
		{"an id for two messages", []string{"message", "resolve", "k", "l", "--sent", "1"}, nil, []string{"--sent takes exactly one KEY"}},
		{"an id for a state", []string{"message", "resolve", "--state", "held", "--sent", "1"}, nil, []string{"--sent takes exactly one KEY"}},
		{"an empty id", []string{"message", "resolve", "k", "--sent", ""}, nil, []string{"--sent is empty"}},
		{"a bad duration", []string{"worker", "--contact-wait", "soon"}, nil, []string{"--contact-wait", "soon"}},
		{"a bad duration in the environment", []string{"worker"}, []string{"DISPATCH_GIVE_UP_AFTER=1 day"}, []string{"DISPATCH_GIVE_UP_AFTER", "1 day"}},
		{"no duration", []string{"worker", "--intercom-token", "t", "--give-up-after", "0s"}, nil, []string{"--give-up-after must be longer than 0"}},
		{"too long a request", []string{"worker", "--intercom-token", "t", "--request-timeout", "1h"}, nil, []string{"--request-timeout", "10m"}},
		{"no share to poll with", []string{"worker", "--intercom-token", "t", "--poll-share", "0"}, nil, []string{"--poll-share must be above 0", "--poll-replies"}},
		{"no concurrency", []string{"worker", "--intercom-token", "t", "--concurrency", "0"}, nil, []string{"--concurrency must be at least 1"}},
		{"a bad region", []string{"worker", "--intercom-token", private, "--intercom-region", "mars"}, nil, []string{`--intercom-region "mars" must be us, eu or au`}},
		{
			"a password in the base URL",
			[]string{"worker", "--intercom-token", "t", "--intercom-base-url", "http://u:" + private + "@h"},
			nil,
			[]string{"--intercom-base-url", "no user or password"},
		},
		{"a bad version", []string{"worker", "--intercom-token", "t", "--intercom-version", "two"}, nil, []string{"--intercom-version"}},
		{"a bad policy", []string{"worker", "--if-uncertain", "shrug"}, nil, []string{"--if-uncertain", "resend", "hold"}},
		{"a bad log level", []string{"version", "--log-level", "loud"}, nil, []string{"loud", "debug, info, warn or error"}},
		{"a bad log format", []string{"demo"}, []string{"DISPATCH_LOG_FORMAT=xml"}, []string{"xml", "json or console"}},
		{"a bad workspace", []string{"enqueue", "--workspace", "A B"}, nil, []string{"--workspace", "lower-case letters"}},
		{"a short record TTL", []string{"enqueue", "--record-ttl", "0s"}, nil, []string{"--record-ttl", "1m"}},
		{"no such file", []string{"enqueue", "/no/such.ndjson"}, nil, []string{"/no/such.ndjson: no such file"}},
		{"no such file for the demo", []string{"demo", "--file", "/no/such.ndjson"}, nil, []string{"/no/such.ndjson: no such file"}},
		{"two files", []string{"enqueue", "a", "b"}, nil, []string{"unexpected argument b"}},
		{"a bad address", []string{"fake-intercom", "--addr", "127.0.0.1:99999"}, nil, []string{"--addr", "invalid port"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			requireRefusal(t, finish(t, call{args: tt.args, env: tt.env}), exitUsage, tt.says...)
		})
	}
}

func TestAnUnreachableRedisIsNamedWithoutItsPassword(t *testing.T) {
	t.Parallel()
	addr := takenAddr(t, false)
	for _, args := range [][]string{{"worker"}, {"enqueue"}, {"message", "get", "k"}} {
		t.Run(strings.Join(args, " "), func(t *testing.T) {
			t.Parallel()
			r := finish(t, call{args: args, env: []string{
				"REDIS_URL=redis://user:" + private + "@" + addr + "/3",
				"INTERCOM_ACCESS_TOKEN=" + private, "INTERCOM_CLIENT_SECRET=" + private,
			}})
			requireRefusal(t, r, exitFailed, "cannot reach Redis at redis://user:", "@"+addr+"/3", "refused", "--redis-url")
		})
	}
}

// takenAddr returns an address on which something listens, or nothing any
// more.
func takenAddr(t *testing.T, open bool) string {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	if open {
		t.Cleanup(func() { _ = l.Close() })
	} else {
		require.NoError(t, l.Close())
	}
	return l.Addr().String()
}

func TestAnAddressInUseIsTold(t *testing.T) {
	t.Parallel()
	s := newSiteOn(t, redistest.Mini(t), intercomtest.Config{})
	addr := takenAddr(t, true)
	free := []string{"--redis-addr", "127.0.0.1:0", "--fake-addr", "127.0.0.1:0"}
	for _, args := range [][]string{
		{"worker", "--admin-addr", addr},
		{"worker", "--webhook", "--webhook-addr", addr},
		{"webhook", "--webhook-addr", addr},
		{"webhook", "--admin-addr", addr},
		{"monitor", "--admin-addr", addr},
		{"fake-intercom", "--addr", addr},
		{"dev", "--redis-addr", addr},
		append([]string{"dev", "--admin-addr", addr}, free...),
	} {
		t.Run(args[0]+" "+args[len(args)-2], func(t *testing.T) {
			t.Parallel()
			r := finish(t, s.call(args...))
			require.Equal(t, exitUsage, r.status, r.stderr)
			require.Empty(t, r.stdout)
			lines := strings.Split(strings.TrimSpace(r.stderr), "\n")
			last := lines[len(lines)-1]
			require.Regexp(t, `^intercom-dispatch: .*`+regexp.QuoteMeta(addr)+`.* in use`, last)
			require.NotContains(t, r.stderr, siteToken)
			require.NotContains(t, r.stderr, siteSecret)
		})
	}
}

func TestEveryCommandHasHelp(t *testing.T) {
	t.Parallel()
	for _, command := range []string{
		"", "demo", "dev", "worker", "webhook", "monitor", "enqueue", "message", "message get", "message list",
		"message retry", "message cancel", "message resolve",
		"replies", "replies tail", "replies dead", "replies redeliver", "replies drop", "doctor", "fake-intercom", "version",
	} {
		t.Run(command, func(t *testing.T) {
			t.Parallel()
			r := finish(t, call{
				args: append(strings.Fields(command), "--help"),
				env:  []string{"INTERCOM_ACCESS_TOKEN=" + private, "INTERCOM_CLIENT_SECRET=" + private, "REDIS_URL=redis://:" + private + "@h"},
			})
			require.Equal(t, 0, r.status)
			require.Empty(t, r.stderr)
			require.True(t, strings.HasPrefix(r.stdout, strings.TrimSpace("Usage: intercom-dispatch "+command)), r.stdout)
			require.NotContains(t, r.stdout, private)
		})
	}
	r := finish(t, call{})
	require.Equal(t, 0, r.status)
	require.Contains(t, r.stdout, "fake-intercom")
}

func TestTheHelpNamesWhatOthersDependOn(t *testing.T) {
	t.Parallel()
	r := finish(t, call{args: []string{"worker", "--help"}})
	for flag, env := range map[string]string{
		"--redis-url": "REDIS_URL", "--intercom-token": "INTERCOM_ACCESS_TOKEN",
		"--intercom-token-file": "INTERCOM_ACCESS_TOKEN_FILE", "--intercom-client-secret": "INTERCOM_CLIENT_SECRET",
		"--intercom-client-secret-file": "INTERCOM_CLIENT_SECRET_FILE", "--intercom-region": "INTERCOM_REGION",
		"--intercom-base-url": "INTERCOM_BASE_URL", "--intercom-version": "INTERCOM_VERSION",
		"--workspace": "DISPATCH_WORKSPACE", "--concurrency": "DISPATCH_CONCURRENCY",
		"--request-timeout": "DISPATCH_REQUEST_TIMEOUT", "--contact-wait": "DISPATCH_CONTACT_WAIT",
		"--give-up-after": "DISPATCH_GIVE_UP_AFTER", "--if-uncertain": "DISPATCH_IF_UNCERTAIN",
		"--record-ttl": "DISPATCH_RECORD_TTL", "--webhook-addr": "DISPATCH_WEBHOOK_ADDR",
		"--admin-addr": "DISPATCH_ADMIN_ADDR", "--log-level": "DISPATCH_LOG_LEVEL", "--log-format": "DISPATCH_LOG_FORMAT",
	} {
		require.Contains(t, r.stdout, flag+"=")
		require.Contains(t, r.stdout, "($"+env+")")
	}
}
