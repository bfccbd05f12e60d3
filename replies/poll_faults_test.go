package replies_test

import (
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/intercom-dispatch/intercom-dispatch/intercom/intercomtest"
	"github.com/intercom-dispatch/intercom-dispatch/internal/redistest"
	"github.com/intercom-dispatch/intercom-dispatch/ledger"
	"github.com/intercom-dispatch/intercom-dispatch/replies"
)

const (
	searchPath = "/conversations/search"
	readPath   = "/conversations/5*" // The fake's ids begin with it.
)

func zRange(until string) *redis.ZRangeBy { return &redis.ZRangeBy{Min: "-inf", Max: until} }

// measured is a polling's config with metrics.
func (p *polling) measured() (replies.PollerConfig, func(request, outcome string) int) {
	cfg, registry := p.config(), prometheus.NewRegistry()
	cfg.Metrics = registry
	return cfg, func(request, outcome string) int {
		return metric(p.t, registry, "dispatch_poll_requests_total", outcome, request)
	}
}

// TestNothingIsAskedForWhileTheRateLimitIsUsedUp and nothing is lost by that.
func TestNothingIsAskedForWhileTheRateLimitIsUsedUp(t *testing.T) {
	t.Parallel()
	for name, path := range map[string]string{"search": searchPath, "read": readPath} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPolling(t, redistest.Mini(t), intercomtest.Config{RateWindow: 3 * time.Second})
			for _, id := range p.many(5) {
				p.reply(id, answer)
			}
			p.fake.InjectFault(intercomtest.Fault{Path: path, Times: 1, Status: http.StatusTooManyRequests})
			cfg, requests := p.measured()
			p.poll(cfg, once())
			for range 5 {
				p.event()
			}
			require.EqualValues(t, 5, p.stream())
			all := p.fake.Requests()
			refused := slices.IndexFunc(all, func(r intercomtest.Request) bool { return r.Status == http.StatusTooManyRequests })
			require.NotEqual(t, -1, refused)
			window := func(at time.Time) int64 { return at.Unix() / 3 }
			require.Less(t, window(all[refused].At), window(all[refused+1].At), "it did not wait for the next window")
			kind := map[string]string{"search": "search", "read": "conversation"}[name]
			require.Equal(t, 1, requests(kind, "throttled"))
			require.Len(t, p.logs.FilterField(zapOutcome("throttled")).All(), 1)
		})
	}
}

// TestWhatFailsIsLookedAtAgain has Intercom fail in its own ways.
func TestWhatFailsIsLookedAtAgain(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]intercomtest.Fault{
		"500":                {Status: http.StatusInternalServerError},
		"no answer":          {Cut: intercomtest.CutAfterCreate},
		"half an answer":     {Cut: intercomtest.CutInBody},
		"not Intercom":       {Status: http.StatusOK, Body: "<html>"},
		"a proxy":            {Status: http.StatusNotFound, Body: "<html>"},
		"not a good request": {Status: http.StatusBadRequest},
	} {
		for _, path := range []string{searchPath, readPath} {
			t.Run(name+" "+path[len("/conversations/"):], func(t *testing.T) {
				t.Parallel()
				p := newPolling(t, redistest.Mini(t), intercomtest.Config{})
				for _, id := range p.many(3) {
					p.reply(id, answer)
				}
				fault.Path, fault.Times = path, 1
				p.fake.InjectFault(fault)
				p.poll(p.config(), once(), shortLease)
				seen := map[string]bool{}
				for range 3 {
					seen[p.event().Key] = true
				}
				require.Len(t, seen, 3)
				p.eventually(func() bool { return len(p.dueNow()) == 0 }, "some are due for ever")
				require.EqualValues(t, 3, p.stream())
			})
		}
	}
}

// TestAConversationThatCannotBeReadDoesNotHoldUpOthers is about one of many.
func TestAConversationThatCannotBeReadDoesNotHoldUpOthers(t *testing.T) {
	t.Parallel()
	for name, status := range map[string]int{"500": http.StatusInternalServerError, "403": http.StatusForbidden} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPolling(t, redistest.Mini(t), intercomtest.Config{})
			var bad string
			for key, id := range p.many(10) {
				if info := p.reply(id, answer); key == "k-3" {
					bad = info.ConversationID
				}
			}
			p.fake.InjectFault(intercomtest.Fault{Path: "/conversations/" + bad, Status: status})
			p.poll(p.config(), once(), shortLease)
			for range 9 {
				require.NotEqual(t, "k-3", p.event().Key)
			}
			p.fake.ClearFaults()
			require.Equal(t, "k-3", p.event().Key)
		})
	}
}

// TestAConversationThatIsGoneIsNotAskedForAgain while the search still shows it.
func TestAConversationThatIsGoneIsNotAskedForAgain(t *testing.T) {
	t.Parallel()
	p := newPolling(t, redistest.Mini(t), intercomtest.Config{})
	p.reply(p.many(1)["k-0"], answer)
	p.fake.InjectFault(intercomtest.Fault{Path: readPath, Status: http.StatusNotFound})
	cfg, requests := p.measured()
	p.poll(cfg, every(100*time.Millisecond))
	p.searched(4)
	require.Len(t, p.reads(), 1)
	require.Equal(t, 1, requests("conversation", "gone"))
}

// TestATokenThatMayNotReadConversationsIsSaidOnce and all pollers wait, for long.
func TestATokenThatMayNotReadConversationsIsSaidOnce(t *testing.T) {
	t.Parallel()
	for name, status := range map[string]int{"401": http.StatusUnauthorized, "403": http.StatusForbidden} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPolling(t, redistest.Mini(t), intercomtest.Config{})
			p.reply(p.many(1)["k-0"], answer)
			p.fake.InjectFault(intercomtest.Fault{Path: searchPath, Status: status})
			cfg, requests := p.measured()
			p.poll(cfg, once())
			for range 2 {
				p.poll(p.config(), once())
			}
			wait := func(n int) {
				p.eventually(func() bool { return len(p.searches()) == n && p.pace() > 4*time.Minute }, "they do not wait")
			}
			wait(1)
			p.hurry()
			wait(2)
			said := p.logs.FilterField(zapOutcome("refused")).All()
			require.NotEmpty(t, said)
			require.LessOrEqual(t, len(said), 2, "once for each poller")
			require.Contains(t, said[0].Message, "token")
			p.eventually(func() bool { return len(p.dueNow()) == 1 }, "it is not due at once")

			p.fake.ClearFaults()
			p.hurry()
			require.Equal(t, "k-0", p.event().Key)
			require.LessOrEqual(t, requests("search", "refused"), 2)
		})
	}
}

// TestPollersKeepToTheirShare counts requests of three pollers that always have
// something to do.
func TestPollersKeepToTheirShare(t *testing.T) {
	t.Parallel()
	p := newPolling(t, redistest.Start(t, redistest.Options{}), intercomtest.Config{RateLimit: 1000})
	for _, id := range p.many(30) {
		p.reply(id, answer)
	}
	cfg := p.config()
	cfg.Share = 0.1 // 10 requests a second
	before := len(p.fake.Requests())
	for range 3 {
		p.poll(cfg, every(time.Millisecond), func(poller *replies.Poller) { poller.SetPollLimit(1000) })
	}
	for range 30 {
		p.event()
	}
	p.searched(20)
	all := p.fake.Requests()[before:]
	for i, r := range all {
		for j, later := range all[i:] {
			limit := 10*later.At.Sub(r.At).Seconds() + 5
			require.LessOrEqual(t, float64(j), limit, "requests from %s to %s", r.At, later.At)
		}
	}
}

// TestASlowPaceLeavesTimeForWhatASearchFinds has 20 s between two requests.
func TestASlowPaceLeavesTimeForWhatASearchFinds(t *testing.T) {
	t.Parallel()
	p := newPolling(t, redistest.Mini(t), intercomtest.Config{})
	p.many(1)
	p.fake.InjectFault(intercomtest.Fault{Path: searchPath, Latency: time.Hour})
	cfg := p.config()
	cfg.Share = 0.1
	p.poll(cfg, once(), func(poller *replies.Poller) { poller.SetPollLimit(5) })
	p.eventually(func() bool { return len(p.dueNow()) == 0 }, "it is not claimed")
	// A minute would be for one request more, and for nothing after that.
	claimed, err := p.rdb.ZRangeWithScores(t.Context(), ledger.PollKey("main"), 0, 0).Result()
	require.NoError(t, err)
	require.Greater(t, time.Until(time.UnixMilli(int64(claimed[0].Score))), 70*time.Second)
	require.Less(t, p.pace(), 21*time.Second)
}

func TestPollingGoesOnAfterAnOutageOfRedis(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t, redistest.Options{AppendOnly: true, Fsync: "always"})
	p := quietPolling(t, s, intercomtest.Config{})
	id := p.many(1)["k-0"]
	p.poll(p.config(), every(100*time.Millisecond), shortLease)
	p.searched(1)
	s.Kill()
	p.reply(id, answer)
	p.eventually(func() bool { return p.logs.FilterField(zapOutcome("failed")).Len() == 1 }, "nobody says so")
	s.Restart()
	p.eventually(func() bool { return p.stream() == 1 }, "it does not go on")
	p.eventually(func() bool { return p.logs.FilterMessage("replies are looked for again").Len() >= 1 }, "nobody says so")
}
