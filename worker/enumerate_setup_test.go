package worker_test

import (
	"context"
	"fmt"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/intercom-dispatch/intercom-dispatch/enqueue"
	"github.com/intercom-dispatch/intercom-dispatch/intercom"
	"github.com/intercom-dispatch/intercom-dispatch/intercom/intercomtest"
	"github.com/intercom-dispatch/intercom-dispatch/internal/logging"
	"github.com/intercom-dispatch/intercom-dispatch/internal/redistest"
	"github.com/intercom-dispatch/intercom-dispatch/internal/task"
	"github.com/intercom-dispatch/intercom-dispatch/ledger"
	"github.com/intercom-dispatch/intercom-dispatch/worker"
)

const (
	// atOnce is how many cases run at a time: they wait most of their time.
	atOnce = 24
	// An enumerated case takes seconds, and has this long on a machine under load.
	casePatience = 90 * time.Second

	enumRequestTimeout = 3 * time.Second
	enumCommitTimeout  = time.Second
	enumSettleDelay    = time.Second
)

// The kinds of messages by what follows when nobody knows whether one was
// created: it is sent again, kept for a person, or looked for.
const (
	resends = "resend"
	holds   = "hold"
	opens   = "conversation"
)

func kindsOfMessages() []string { return []string{resends, holds, opens} }

// stand is a Redis and a fake Intercom that all cases share, each with a
// workspace and a contact of its own.
type stand struct {
	*intercomtest.Server

	redis *redistest.Server
	rdb   redis.UniversalClient
	url   string
	cases atomic.Int64
	slots chan struct{}
}

func newStand(t *testing.T) *stand {
	t.Helper()
	s := &stand{
		redis: redistest.Start(t, redistest.Options{}), slots: make(chan struct{}, atOnce),
		Server: intercomtest.New(intercomtest.Config{
			Token: token, UnknownContacts: intercomtest.UnknownMessageable,
			RateWindow: time.Second, RateLimit: 1_000_000,
		}),
	}
	t.Cleanup(s.Close)
	s.rdb = s.redis.Client(t)
	web := httptest.NewServer(s.Server)
	t.Cleanup(web.Close)
	s.url = web.URL
	return s
}

// each runs a subtest for each case, many at a time: more than -parallel lets,
// which is meant for tests that compute.
func each[C fmt.Stringer](t *testing.T, s *stand, cases []C, run func(*testing.T, C)) {
	t.Helper()
	var all sync.WaitGroup
	for _, c := range cases {
		s.slots <- struct{}{}
		all.Go(func() {
			defer func() { <-s.slots }()
			t.Run(c.String(), func(t *testing.T) { run(t, c) })
		})
	}
	all.Wait()
}

// single is one message in a workspace of its own.
type single struct {
	*stand

	t              *testing.T
	kind           string
	key, workspace string
	ledger         *ledger.Ledger
	log            *zap.Logger
}

// single enqueues a message of a kind. The key is the contact too.
func (s *stand) single(t *testing.T, kind string) *single {
	t.Helper()
	n := s.cases.Add(1)
	c := &single{stand: s, t: t, kind: kind, key: fmt.Sprintf("message-%d.", n), workspace: fmt.Sprintf("enum-%d", n)}
	core, logs := observer.New(zap.DebugLevel)
	c.log = zap.New(core)
	t.Cleanup(func() {
		if t.Failed() {
			for _, e := range logs.All() {
				if e.Level > zap.DebugLevel {
					t.Log(e.Time.Format("05.000"), e.Message, e.ContextMap())
				}
			}
		}
	})
	var err error
	c.ledger, err = ledger.New(s.rdb, c.workspace, 0)
	require.NoError(t, err)
	return c
}

func (c *single) enqueue() {
	c.t.Helper()
	producer, err := enqueue.New(c.rdb, enqueue.Config{Workspace: c.workspace})
	require.NoError(c.t, err)
	m, policy := inApp(c.key), enqueue.Resend
	switch c.kind {
	case holds:
		policy = enqueue.Hold
	case opens:
		m.CreateConversationWithoutContactReply = true
	}
	_, err = producer.Enqueue(c.t.Context(), m, enqueue.Key(c.key), enqueue.IfUncertain(policy))
	require.NoError(c.t, err)
}

func (c *single) client(url string) *intercom.Client {
	c.t.Helper()
	client, err := intercom.New(intercom.Config{Token: intercom.StaticToken(token), BaseURL: url})
	require.NoError(c.t, err)
	c.t.Cleanup(client.Close)
	return client
}

// run starts a worker that ends with the test.
func (c *single) run(rdb redis.UniversalClient, client worker.Intercom, requestTimeout time.Duration) {
	c.t.Helper()
	w, err := worker.New(worker.Config{
		Redis: rdb, Intercom: client, Workspace: c.workspace, Concurrency: 2,
		RequestTimeout: requestTimeout, CommitTimeout: enumCommitTimeout, SettleDelay: enumSettleDelay,
		Log: c.log, AsynqLog: logging.Asynq(c.log),
	})
	require.NoError(c.t, err)
	require.NoError(c.t, w.WatchEvery(time.Second/2, 2*time.Second))
	ctx, stop := context.WithCancel(context.WithoutCancel(c.t.Context()))
	r := &running{Worker: w, t: c.t, stop: stop, done: make(chan error, 1)}
	go func() { r.done <- w.Run(ctx) }()
	c.t.Cleanup(r.end)
}

// requests returns the create requests that reached Intercom.
func (c *single) requests() []intercomtest.Request {
	found := slices.DeleteFunc(c.Requests(), func(r intercomtest.Request) bool {
		return !slices.Contains(r.ContactIDs, c.key)
	})
	slices.SortFunc(found, func(a, b intercomtest.Request) int { return int(a.Number - b.Number) })
	return found
}

func (c *single) created() []intercomtest.CreatedMessage {
	return slices.DeleteFunc(c.Created(), func(m intercomtest.CreatedMessage) bool {
		return !slices.Contains(m.Recipients.To, c.key)
	})
}

// queued returns how many tasks asynq has, those in the archive apart.
func (c *single) queued() (moving, archived int64) {
	pipe := c.rdb.Pipeline()
	prefix := "asynq:{" + task.Queue(c.workspace, task.Normal) + "}:"
	var counts []*redis.IntCmd
	ctx := c.t.Context()
	for _, list := range []string{"pending", "active"} {
		counts = append(counts, pipe.LLen(ctx, prefix+list))
	}
	for _, set := range []string{"scheduled", "retry", "lease", "archived"} {
		counts = append(counts, pipe.ZCard(ctx, prefix+set))
	}
	_, err := pipe.Exec(ctx)
	require.NoError(c.t, err)
	for _, n := range counts[:len(counts)-1] {
		moving += n.Val()
	}
	return moving, counts[len(counts)-1].Val()
}

// atRest waits until asynq has nothing left to do, so that nothing will happen
// any more, and returns the record.
func (c *single) atRest() *ledger.Record {
	c.t.Helper()
	for end := time.Now().Add(casePatience); ; time.Sleep(40 * time.Millisecond) {
		moving, archived := c.queued()
		r, err := c.ledger.Lookup(c.t.Context(), c.key)
		if err == nil && moving == 0 {
			kept := r.State == ledger.Failed || r.State == ledger.Held
			require.Equal(c.t, kept, archived == 1, "a %s message is archived: %d", r.State, archived)
			return r
		}
		if time.Now().After(end) {
			require.Fail(c.t, "it does not come to rest", "%d tasks move, %d archived, the record is %+v (%v)", moving, archived, r, err)
		}
	}
}

// truth is what a case knows of what happened.
type truth struct {
	// unknown tells that of an attempt nobody knows whether it created the
	// message, and copies how many of such attempts did.
	unknown bool
	copies  int
	// refused tells that Intercom takes the message never.
	refused bool
	// noID tells that the answer had no id, though it said that the message
	// exists.
	noID bool
}

// check holds what became of the message against what was promised.
func (c *single) check(r *ledger.Record, is truth) {
	c.t.Helper()
	created := c.created()
	want, state := 1, ledger.Sent
	switch {
	case is.unknown && c.kind == holds:
		want, state = is.copies, ledger.Held
	case is.refused:
		want, state = 0, ledger.Failed
	case c.kind == resends:
		want = 1 + is.copies
	}
	require.Equal(c.t, state, r.State, "%+v", r)
	require.Len(c.t, created, want)
	if state != ledger.Sent {
		require.NotEmpty(c.t, r.Payload, "a person could not send it")
		return
	}
	last := created[len(created)-1]
	if is.noID && c.kind != opens {
		require.Empty(c.t, r.MessageID)
	} else {
		require.Equal(c.t, last.ID, r.MessageID)
		require.Equal(c.t, last.ConversationID, r.ConversationID)
	}
	if !is.unknown || c.kind == resends {
		require.Equal(c.t, is.unknown, r.PossibleDuplicate, "possible duplicate")
	}
}

func words(parts ...any) string {
	return strings.ReplaceAll(strings.TrimSpace(fmt.Sprintln(parts...)), " ", "_")
}
