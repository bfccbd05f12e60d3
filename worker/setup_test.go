package worker_test

import (
	"context"
	"errors"
	"flag"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/intercom-dispatch/intercom-dispatch/enqueue"
	"github.com/intercom-dispatch/intercom-dispatch/intercom"
	"github.com/intercom-dispatch/intercom-dispatch/intercom/intercomtest"
	"github.com/intercom-dispatch/intercom-dispatch/internal/logging"
	"github.com/intercom-dispatch/intercom-dispatch/internal/ratelimittest"
	"github.com/intercom-dispatch/intercom-dispatch/internal/redistest"
	"github.com/intercom-dispatch/intercom-dispatch/internal/task"
	"github.com/intercom-dispatch/intercom-dispatch/ledger"
	"github.com/intercom-dispatch/intercom-dispatch/worker"
)

// confidential is part of every text and token of these tests, so that one
// search finds any leak.
const (
	confidential = "c0nf1dential"
	token        = "tok_" + confidential
	text         = "Hello, this is " + confidential
	subject      = "About " + confidential
)

// patience is far more than anything here takes, for machines under load.
const patience = 30 * time.Second

// TestMain lets more tests run at a time than there are processors: these wait
// most of their time.
func TestMain(m *testing.M) {
	if err := flag.Set("test.parallel", "12"); err != nil {
		panic(err)
	}
	os.Exit(m.Run())
}

// bundle is a Redis, a fake Intercom and a producer of the test's own. Workers
// are started with run.
type bundle struct {
	*intercomtest.Server

	t         *testing.T
	redis     *redistest.Server
	rdb       redis.UniversalClient
	url       string
	client    *intercom.Client
	producer  *enqueue.Client
	ledger    *ledger.Ledger
	inspector *asynq.Inspector
	log       *zap.Logger
	logs      *observer.ObservedLogs
}

// onEach runs a test on both kinds of Redis.
func onEach(t *testing.T, run func(*testing.T, *bundle)) {
	t.Helper()
	redistest.Each(t, func(t *testing.T, s *redistest.Server) {
		t.Helper()
		run(t, setup(t, s))
	})
}

// setup returns a bundle whose fake knows every contact but those whose ids
// say otherwise.
func setup(t *testing.T, s *redistest.Server) *bundle {
	t.Helper()
	fake := intercomtest.New(intercomtest.Config{Token: token, UnknownContacts: intercomtest.UnknownMessageable})
	b := &bundle{Server: fake, t: t, redis: s, rdb: s.Client(t)}
	t.Cleanup(b.Close)
	web := httptest.NewServer(b.Server)
	t.Cleanup(web.Close)
	b.url = web.URL
	core, logs := observer.New(zap.DebugLevel)
	b.log, b.logs = zap.New(core), logs
	b.client = b.connect(b.url)
	b.inspector = asynq.NewInspectorFromRedisClient(b.rdb)
	var err error
	b.producer, err = enqueue.New(b.rdb, enqueue.Config{})
	require.NoError(t, err)
	b.ledger, err = ledger.New(b.rdb, ledger.DefaultWorkspace, 0)
	require.NoError(t, err)
	t.Cleanup(b.assertNothingLeaked)
	ratelimittest.Known(t, b.rdb, ledger.RateLimitKey(ledger.DefaultWorkspace))
	return b
}

func (b *bundle) connect(url string) *intercom.Client {
	b.t.Helper()
	c, err := intercom.New(intercom.Config{Token: intercom.StaticToken(token), BaseURL: url})
	require.NoError(b.t, err)
	b.t.Cleanup(c.Close)
	return c
}

// running is a worker that runs.
type running struct {
	*worker.Worker

	t    *testing.T
	stop context.CancelFunc
	done chan error
	once sync.Once
}

// config is a worker's configuration with timeouts that tests can wait for.
func (b *bundle) config() worker.Config {
	return worker.Config{
		Redis: b.rdb, Intercom: b.client, Concurrency: 8,
		RequestTimeout: 5 * time.Second, CommitTimeout: 5 * time.Second,
		Log: b.log, AsynqLog: logging.Asynq(b.log),
	}
}

// run starts a worker, which is stopped when the test ends if not before.
func (b *bundle) run(changes ...func(*worker.Config)) *running {
	b.t.Helper()
	cfg := b.config()
	for _, change := range changes {
		change(&cfg)
	}
	w, err := worker.New(cfg)
	require.NoError(b.t, err)
	ctx, stop := context.WithCancel(context.WithoutCancel(b.t.Context()))
	r := &running{Worker: w, t: b.t, stop: stop, done: make(chan error, 1)}
	go func() { r.done <- w.Run(ctx) }()
	b.t.Cleanup(r.end)
	return r
}

// end stops the worker and waits until it has ended.
func (r *running) end() {
	r.once.Do(func() {
		r.stop()
		select {
		case err := <-r.done:
			require.NoError(r.t, err)
		case <-time.After(patience):
			r.t.Error("the worker does not stop")
		}
	})
}

// inApp is an in-app message with a text that must not get around.
func inApp(contact string) *intercom.Message {
	return &intercom.Message{
		MessageType: intercom.InApp, Body: text, From: intercom.FromAdmin(1), To: intercom.ToUser(contact),
	}
}

func email(contact string) *intercom.Message {
	m := inApp(contact)
	m.MessageType, m.Subject, m.Template = intercom.Email, subject, "plain"
	return m
}

// enqueue hands a message over. The key is the contact too, so that a fault
// can be injected for one message.
func (b *bundle) enqueue(key string, opts ...enqueue.Option) {
	b.t.Helper()
	b.enqueueMessage(key, inApp(key), opts...)
}

func (b *bundle) enqueueMessage(key string, m *intercom.Message, opts ...enqueue.Option) {
	b.t.Helper()
	r, err := b.producer.Enqueue(b.t.Context(), m, append(opts, enqueue.Key(key))...)
	require.NoError(b.t, err)
	require.Equal(b.t, enqueue.Enqueued, r.Status)
}

// fail injects a fault for one message.
func (b *bundle) fail(key string, f intercomtest.Fault) {
	f.Contact, f.Name = key, key
	b.InjectFault(f)
}

// waitFor waits for the fake's log. There is no event on the Redis side.
func (b *bundle) waitFor(what string, done func(intercomtest.Log) bool) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.t.Context(), patience)
	defer cancel()
	require.NoError(b.t, b.WaitFor(ctx, done), what)
}

// waitState polls the record, as Redis sends no events.
func (b *bundle) waitState(key string, want ledger.State) *ledger.Record {
	b.t.Helper()
	var r *ledger.Record
	var err error
	if !assert.Eventually(b.t, func() bool {
		r, err = b.producer.Get(b.t.Context(), key)
		return err == nil && r.State == want
	}, patience, 10*time.Millisecond, "%s does not become %s", key, want) {
		b.t.Fatalf("it is %+v (%v)", r, err)
	}
	return r
}

// waitTask polls asynq's task until it is in a state.
func (b *bundle) waitTask(key string, want asynq.TaskState) *asynq.TaskInfo {
	b.t.Helper()
	var info *asynq.TaskInfo
	var err error
	require.Eventually(b.t, func() bool {
		info, err = b.inspector.GetTaskInfo(task.Queue(ledger.DefaultWorkspace, task.Normal), key)
		return err == nil && info.State == want
	}, patience, 10*time.Millisecond, "the task of %s is not %s", key, want)
	return info
}

// waitGone polls until asynq has forgotten a task.
func (b *bundle) waitGone(key string) {
	b.t.Helper()
	require.Eventually(b.t, func() bool {
		_, err := b.inspector.GetTaskInfo(task.Queue(ledger.DefaultWorkspace, task.Normal), key)
		return errors.Is(err, asynq.ErrTaskNotFound)
	}, patience, 10*time.Millisecond, "the task of %s is still there", key)
}

// requests returns the requests for a message, in the order of their arrival.
func (b *bundle) requests(contact string) []intercomtest.Request {
	found := slices.DeleteFunc(b.Requests(), func(r intercomtest.Request) bool {
		return !slices.Contains(r.ContactIDs, contact)
	})
	slices.SortFunc(found, func(a, b intercomtest.Request) int { return a.At.Compare(b.At) })
	return found
}

// created returns the messages that exist for a contact.
func (b *bundle) created(contact string) []intercomtest.CreatedMessage {
	return slices.DeleteFunc(b.Created(), func(m intercomtest.CreatedMessage) bool {
		return !slices.Contains(m.Recipients.To, contact)
	})
}

// assertNothingLeaked holds what is kept and shown of errors against the texts
// and the token: the log, asynq's errors and the ledger's.
func (b *bundle) assertNothingLeaked() {
	enc := zapcore.NewJSONEncoder(zap.NewProductionEncoderConfig())
	for _, e := range b.logs.All() {
		line, err := enc.EncodeEntry(e.Entry, e.Context)
		require.NoError(b.t, err)
		require.NotContains(b.t, line.String(), confidential, "in the log")
	}
	ctx := context.WithoutCancel(b.t.Context())
	if b.rdb.Ping(ctx).Err() != nil {
		return // The test ended with its Redis away.
	}
	for name, value := range b.dump(ctx) {
		if _, field, ok := strings.Cut(name, " "); ok && field == "er" {
			require.NotContains(b.t, value, confidential, "in %s", name)
		}
	}
	for _, info := range b.tasks() {
		require.NotContains(b.t, info.LastErr, confidential, "in asynq's error of %s", info.ID)
	}
}

// tasks returns what asynq holds in all states in which a task has an error.
func (b *bundle) tasks() []*asynq.TaskInfo {
	var all []*asynq.TaskInfo
	queues, err := b.inspector.Queues()
	require.NoError(b.t, err)
	for _, q := range queues {
		for _, list := range []func(string, ...asynq.ListOption) ([]*asynq.TaskInfo, error){
			b.inspector.ListArchivedTasks, b.inspector.ListRetryTasks, b.inspector.ListPendingTasks,
		} {
			tasks, err := list(q, asynq.PageSize(1000))
			require.NoError(b.t, err)
			all = append(all, tasks...)
		}
	}
	return all
}

// dump returns everything that Redis holds: strings by key, hashes' fields by
// key and field, lists and sets by key.
func (b *bundle) dump(ctx context.Context) map[string]string {
	all := map[string]string{}
	keys, err := b.rdb.Keys(ctx, "*").Result()
	require.NoError(b.t, err)
	for _, key := range keys {
		kind, err := b.rdb.Type(ctx, key).Result()
		require.NoError(b.t, err)
		switch kind {
		case "string":
			all[key] = b.rdb.Get(ctx, key).Val()
		case "hash":
			for field, value := range b.rdb.HGetAll(ctx, key).Val() {
				all[key+" "+field] = value
			}
		case "list":
			all[key] = strings.Join(b.rdb.LRange(ctx, key, 0, -1).Val(), "\n")
		case "set":
			all[key] = strings.Join(b.rdb.SMembers(ctx, key).Val(), "\n")
		case "zset":
			all[key] = strings.Join(b.rdb.ZRange(ctx, key, 0, -1).Val(), "\n")
		}
	}
	return all
}

// holding returns the names of what in Redis holds the text.
func (b *bundle) holding(s string) []string {
	all := b.dump(b.t.Context())
	maps.DeleteFunc(all, func(_, value string) bool { return !strings.Contains(value, s) })
	return slices.Sorted(maps.Keys(all))
}

// elsewhere is a server that is not Intercom.
func elsewhere(t *testing.T) string {
	t.Helper()
	s := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(s.Close)
	return s.URL
}
