package replies_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"github.com/intercom-dispatch/intercom-dispatch/intercom"
	"github.com/intercom-dispatch/intercom-dispatch/intercom/intercomtest"
	"github.com/intercom-dispatch/intercom-dispatch/internal/ratelimittest"
	"github.com/intercom-dispatch/intercom-dispatch/internal/redistest"
	"github.com/intercom-dispatch/intercom-dispatch/ledger"
	"github.com/intercom-dispatch/intercom-dispatch/replies"
)

// polling is matching where Intercom can reach nobody, unless a test says so.
type polling struct{ *matching }

func newPolling(t *testing.T, s *redistest.Server, cfg intercomtest.Config) *polling {
	t.Helper()
	p := quietPolling(t, s, cfg)
	p.follow()
	return p
}

// quietPolling is newPolling where nobody follows the events.
func quietPolling(t *testing.T, s *redistest.Server, cfg intercomtest.Config) *polling {
	t.Helper()
	p := &polling{matching: newMatching(t, s)}
	p.ledger = p.ledger.WithPolling()
	cfg.ClientSecret, cfg.UnknownContacts = secret, intercomtest.UnknownMessageable
	p.fake = intercomtest.New(cfg)
	t.Cleanup(p.fake.Close)
	var err error
	p.client, err = intercom.New(intercom.Config{
		Token: intercom.StaticToken("t"), BaseURL: "http://fake.invalid", Transport: p.fake.RoundTripper(),
	})
	require.NoError(t, err)
	ratelimittest.Known(t, p.rdb, ledger.RateLimitKey("main"))
	return p
}

func pollOnEach(t *testing.T, run func(*testing.T, *polling)) {
	t.Helper()
	redistest.Each(t, func(t *testing.T, s *redistest.Server) {
		t.Helper()
		run(t, newPolling(t, s, intercomtest.Config{}))
	})
}

// webhookURL is where a receiver of the test's own takes notifications.
func (p *polling) webhookURL() string {
	p.t.Helper()
	receiver, err := replies.NewReceiver(replies.ReceiverConfig{Secrets: []string{secret}, Queue: p.queue, Log: p.log})
	require.NoError(p.t, err)
	hook := httptest.NewServer(receiver)
	p.t.Cleanup(hook.Close)
	return hook.URL + replies.WebhookPath
}

// every has the poller look at each message at intervals.
func every(d time.Duration) func(*replies.Poller) {
	return func(p *replies.Poller) {
		p.SetPollSchedule(func(now time.Time, _ *ledger.Poll) time.Time { return now.Add(d) })
	}
}

// shortLease has others look soon after messages that nobody finishes.
func shortLease(p *replies.Poller) { p.SetPollTimes(500*time.Millisecond, 50*time.Millisecond) }

// once has it look at each message once in the test.
func once() func(*replies.Poller) { return every(time.Hour) }

func (p *polling) config() replies.PollerConfig {
	return replies.PollerConfig{Redis: p.rdb, Intercom: p.client, Share: 1, Log: p.log}
}

// poller is one that does not take the time that it should.
func (p *polling) poller(cfg replies.PollerConfig, changes ...func(*replies.Poller)) *replies.Poller {
	p.t.Helper()
	poller, err := replies.NewPoller(cfg)
	require.NoError(p.t, err)
	poller.SetPollLimit(1667)
	poller.SetPollTimes(time.Minute, 50*time.Millisecond)
	for _, change := range changes {
		change(poller)
	}
	return poller
}

// poll runs a poller until the test ends.
func (p *polling) poll(cfg replies.PollerConfig, changes ...func(*replies.Poller)) {
	p.t.Helper()
	p.start(context.WithoutCancel(p.t.Context()), p.poller(cfg, changes...).Run)
}

// due makes all messages due at once, as if the time until then had passed.
func (p *polling) due() {
	p.t.Helper()
	set := ledger.PollKey("main")
	all, err := p.rdb.ZRange(p.t.Context(), set, 0, -1).Result()
	require.NoError(p.t, err)
	for some := range slices.Chunk(all, 500) {
		members := make([]redis.Z, 0, len(some))
		for _, entry := range some {
			members = append(members, redis.Z{Score: 1, Member: entry})
		}
		require.NoError(p.t, p.rdb.ZAdd(p.t.Context(), set, members...).Err())
	}
}

// hurry ends all waiting for the pace.
func (p *polling) hurry() {
	p.t.Helper()
	require.NoError(p.t, p.rdb.HSet(p.t.Context(), ledger.PollKey("main")+":pace", "at", 0).Err())
}

// pace is how long everybody waits for the next request.
func (p *polling) pace() time.Duration {
	p.t.Helper()
	at, err := p.rdb.HGet(p.t.Context(), ledger.PollKey("main")+":pace", "at").Int64()
	require.NoError(p.t, err)
	return time.Until(time.UnixMilli(at))
}

// many are messages that were sent, by key.
func (p *polling) many(n int) (ids map[string]string) {
	p.t.Helper()
	ids = map[string]string{}
	for i := range n {
		key := fmt.Sprintf("k-%d", i)
		ids[key] = p.sent(key)
	}
	p.due()
	return ids
}

// requests counts the fake's requests to a path, or that begin with one that
// ends with a slash.
func (p *polling) requests(method, path string) (found []intercomtest.Request) {
	for _, r := range p.fake.Requests() {
		if r.Method == method && (r.Path == path || path[len(path)-1] == '/' && len(r.Path) > len(path) && r.Path[:len(path)] == path) {
			found = append(found, r)
		}
	}
	return found
}

func (p *polling) searches() []intercomtest.Request {
	return p.requests(http.MethodPost, "/conversations/search")
}

func (p *polling) reads() []intercomtest.Request {
	return p.requests(http.MethodGet, "/conversations/")
}

// eventually waits for what nobody tells of.
func (p *polling) eventually(condition func() bool, says string) {
	p.t.Helper()
	require.Eventually(p.t, condition, patience, 20*time.Millisecond, says)
}

// searched waits for so many searches more.
func (p *polling) searched(more int) {
	p.t.Helper()
	n := len(p.searches())
	ctx, cancel := context.WithTimeout(p.t.Context(), patience)
	defer cancel()
	require.NoError(p.t, p.fake.WaitFor(ctx, func(intercomtest.Log) bool { return len(p.searches()) >= n+more }))
}

// tap changes what a poller gets, and remembers which messages it has asked for.
type tap struct {
	replies.Conversations

	page         func(*intercom.ConversationPage)
	conversation func(*intercom.Conversation)

	mu    sync.Mutex
	asked []intercom.SearchRequest
}

func (t *tap) SearchConversations(ctx context.Context, r intercom.SearchRequest) (*intercom.ConversationPage, *intercom.Response, error) {
	t.mu.Lock()
	t.asked = append(t.asked, r)
	t.mu.Unlock()
	page, res, err := t.Conversations.SearchConversations(ctx, r)
	if err == nil && t.page != nil {
		t.page(page)
	}
	return page, res, err
}

func (t *tap) Conversation(ctx context.Context, id string) (*intercom.Conversation, *intercom.Response, error) {
	c, res, err := t.Conversations.Conversation(ctx, id)
	if err == nil && t.conversation != nil {
		t.conversation(c)
	}
	return c, res, err
}

func (t *tap) searches() []intercom.SearchRequest {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Clone(t.asked)
}

func zapOutcome(outcome string) zap.Field { return zap.String("outcome", outcome) }

// metric is the value of a counter or gauge that counts things.
func metric(t *testing.T, r *prometheus.Registry, name string, labels ...string) int {
	t.Helper()
	families, err := r.Gather()
	require.NoError(t, err)
	for _, family := range families {
		if family.GetName() != name {
			continue
		}
		for _, m := range family.GetMetric() {
			var values []string
			for _, l := range m.GetLabel() {
				values = append(values, l.GetValue())
			}
			if slices.Equal(values, labels) {
				return int(m.GetCounter().GetValue() + m.GetGauge().GetValue())
			}
		}
	}
	return 0
}
