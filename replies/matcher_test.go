package replies_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/intercom-dispatch/intercom-dispatch/intercom"
	"github.com/intercom-dispatch/intercom-dispatch/intercom/intercomtest"
	"github.com/intercom-dispatch/intercom-dispatch/internal/logging"
	"github.com/intercom-dispatch/intercom-dispatch/internal/redistest"
	"github.com/intercom-dispatch/intercom-dispatch/internal/task"
	"github.com/intercom-dispatch/intercom-dispatch/ledger"
	"github.com/intercom-dispatch/intercom-dispatch/replies"
)

const (
	patience = 30 * time.Second
	// confidential is part of all texts, so that one search finds any leak.
	confidential = "c0nf1dential"
	answer       = "Yes, that is " + confidential
)

// matching is the way of a reply from a fake Intercom to its event, on a Redis
// of the test's own.
type matching struct {
	t         *testing.T
	fake      *intercomtest.Server
	redis     *redistest.Server
	rdb       redis.UniversalClient
	client    *intercom.Client
	ledger    *ledger.Ledger
	queue     *replies.AsynqQueue
	inspector *asynq.Inspector
	log       *zap.Logger
	logs      *observer.ObservedLogs
	events    chan replies.Event
}

func onEach(t *testing.T, run func(*testing.T, *matching)) {
	t.Helper()
	redistest.Each(t, func(t *testing.T, s *redistest.Server) {
		t.Helper()
		m := newMatching(t, s)
		m.follow()
		run(t, m)
	})
}

func newMatching(t *testing.T, s *redistest.Server) *matching {
	t.Helper()
	m := &matching{t: t, redis: s, rdb: s.Client(t), events: make(chan replies.Event, 100)}
	core, logs := observer.New(zap.DebugLevel)
	m.log, m.logs = zap.New(core), logs
	var err error
	m.ledger, err = ledger.New(m.rdb, "main", 0)
	require.NoError(t, err)
	m.queue, err = replies.NewAsynqQueue(m.rdb, "")
	require.NoError(t, err)
	m.inspector = asynq.NewInspectorFromRedisClient(m.rdb)
	t.Cleanup(m.assertNothingLeaked)

	receiver, err := replies.NewReceiver(replies.ReceiverConfig{Secrets: []string{secret}, Queue: m.queue, Log: m.log})
	require.NoError(t, err)
	hook := httptest.NewServer(receiver)
	t.Cleanup(hook.Close)
	m.fake = intercomtest.New(intercomtest.Config{
		ClientSecret: secret, WebhookURL: hook.URL + replies.WebhookPath,
		UnknownContacts: intercomtest.UnknownMessageable,
	})
	t.Cleanup(m.fake.Close)
	m.client, err = intercom.New(intercom.Config{
		Token: intercom.StaticToken("t"), BaseURL: "http://fake.invalid", Transport: m.fake.RoundTripper(),
	})
	require.NoError(t, err)
	return m
}

// follow hands the events on as they come.
func (m *matching) follow() {
	m.t.Helper()
	m.start(context.WithoutCancel(m.t.Context()), func(ctx context.Context) error {
		return replies.Tail(ctx, m.rdb, "", replies.TailOptions{FromStart: true}, func(e replies.Event) error {
			m.events <- e
			return nil
		})
	})
}

// start runs f until the test ends.
func (m *matching) start(ctx context.Context, f func(context.Context) error) {
	m.t.Helper()
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan error, 1)
	go func() { done <- f(ctx) }()
	m.t.Cleanup(func() {
		cancel()
		select {
		case err := <-done:
			require.NoError(m.t, err)
		case <-time.After(patience):
			m.t.Error("it does not stop")
		}
	})
}

// run starts a matcher.
func (m *matching) run(changes ...func(*replies.Matcher)) {
	m.t.Helper()
	matcher, err := replies.NewMatcher(replies.MatcherConfig{
		Redis: m.rdb, Log: m.log, AsynqLog: logging.Asynq(m.log),
	})
	require.NoError(m.t, err)
	for _, change := range changes {
		change(matcher)
	}
	m.start(context.WithoutCancel(m.t.Context()), matcher.Run)
}

// create has Intercom create a message, and returns what its worker has to
// record of it.
func (m *matching) create(key string) (messageID string, commit func()) {
	m.t.Helper()
	created, _, err := m.client.CreateMessage(m.t.Context(), &intercom.Message{
		MessageType: intercom.InApp, Body: "Is it " + confidential + "?",
		From: intercom.FromAdmin(1), To: intercom.ToUser("ada"),
	})
	require.NoError(m.t, err)
	return string(created.ID), func() {
		a, err := m.ledger.Begin(m.t.Context(), ledger.Task{
			Key: key, Enqueued: "e", Digest: "d", ContactIDs: []string{"ada"},
			Metadata: map[string]string{"order": "1042"},
		}, ledger.BeginOptions{Lease: time.Minute})
		require.NoError(m.t, err)
		require.NoError(m.t, m.ledger.CommitSent(m.t.Context(), a, ledger.SentOutcome{MessageID: string(created.ID)}))
	}
}

// sent is a message that its worker has recorded.
func (m *matching) sent(key string) (messageID string) {
	m.t.Helper()
	id, commit := m.create(key)
	commit()
	return id
}

func (m *matching) reply(messageID, text string) intercomtest.ReplyInfo {
	m.t.Helper()
	info, err := m.fake.Reply(m.t.Context(), messageID, text)
	require.NoError(m.t, err)
	return info
}

func (m *matching) event() replies.Event {
	m.t.Helper()
	select {
	case e := <-m.events:
		return e
	case <-time.After(patience):
		m.t.Fatal("no event comes")
		return replies.Event{}
	}
}

// notify queues a notification that Intercom's fake does not make.
func (m *matching) notify(id, body string) {
	m.t.Helper()
	n, err := intercom.ParseNotification([]byte(body))
	require.NoError(m.t, err)
	n.ID = intercom.ID(id)
	require.NoError(m.t, m.queue.QueueNotification(m.t.Context(), n, []byte(body)))
}

// waitTask polls asynq, which sends no events. An empty state waits until the
// task is gone.
func (m *matching) waitTask(id string, want asynq.TaskState) *asynq.TaskInfo {
	m.t.Helper()
	var info *asynq.TaskInfo
	require.Eventually(m.t, func() bool {
		var err error
		info, err = m.inspector.GetTaskInfo(task.NotificationQueue("main"), id)
		if want == 0 {
			return errors.Is(err, asynq.ErrTaskNotFound)
		}
		return err == nil && info.State == want
	}, patience, 10*time.Millisecond, "the task of %s is not %s", id, want)
	return info
}

const gone = asynq.TaskState(0)

// outcomes counts the matcher's log lines by whether a reply was published.
func (m *matching) outcomes() (published, repeated int) {
	for _, e := range m.logs.FilterMessage("reply").All() {
		if e.ContextMap()["published"] == true {
			published++
		} else {
			repeated++
		}
	}
	return published, repeated
}

func (m *matching) stream() int64 {
	m.t.Helper()
	n, err := m.rdb.XLen(m.t.Context(), ledger.ReplyStreamKey("main")).Result()
	require.NoError(m.t, err)
	return n
}

func (m *matching) assertNothingLeaked() {
	enc := zapcore.NewJSONEncoder(zap.NewProductionEncoderConfig())
	for _, e := range m.logs.All() {
		line, err := enc.EncodeEntry(e.Entry, e.Context)
		require.NoError(m.t, err)
		require.NotContains(m.t, line.String(), confidential, "in the log")
		require.NotContains(m.t, line.String(), secret, "in the log")
	}
	queue := task.NotificationQueue("main")
	if _, err := m.inspector.GetQueueInfo(queue); err != nil {
		return // No notification came.
	}
	for _, list := range []func(string, ...asynq.ListOption) ([]*asynq.TaskInfo, error){
		m.inspector.ListArchivedTasks, m.inspector.ListRetryTasks, m.inspector.ListPendingTasks,
	} {
		tasks, err := list(queue)
		require.NoError(m.t, err)
		for _, info := range tasks {
			require.NotContains(m.t, info.LastErr, confidential, "in asynq's error of %s", info.ID)
		}
	}
}

// TestAReplyBecomesAnEventWithTheProducersData goes the whole way: signed
// webhook, receiver, queue, matcher, stream.
func TestAReplyBecomesAnEventWithTheProducersData(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, m *matching) {
		t.Helper()
		m.run()
		id := m.sent("order-1042")
		info := m.reply(id, answer)
		e := m.event()
		require.NotEmpty(t, e.ID)
		require.WithinDuration(t, info.At, e.Time, time.Second)
		e.ID, e.Time, e.HTML = "", time.Time{}, ""
		require.Equal(t, replies.Event{
			Version: replies.EventVersion, Workspace: "main", Key: "order-1042",
			Metadata:  map[string]string{"order": "1042"},
			MessageID: id, ConversationID: info.ConversationID, PartID: info.PartID,
			ContactID: "ada", AuthorType: "user", Text: answer, First: true,
			MatchedBy: replies.MatchedByWebhook,
		}, e)
		r, err := m.ledger.Lookup(t.Context(), "order-1042")
		require.NoError(t, err)
		require.Equal(t, ledger.Replied, r.State)
		require.Equal(t, info.ConversationID, r.ConversationID)
		require.WithinDuration(t, info.At, r.RepliedAt, time.Second)

		second := m.reply(id, "And <b>more</b> of the "+confidential)
		e = m.event()
		require.Equal(t, second.PartID, e.PartID)
		require.False(t, e.First)
		require.Contains(t, e.Text, "more of the "+confidential)
		m.waitTask(second.NotificationID, gone)
	})
}

func TestANotificationThatComesAgainIsNoNewEvent(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, m *matching) {
		t.Helper()
		m.run()
		info := m.reply(m.sent("k"), answer)
		m.event()
		for n := range 2 {
			m.waitTask(info.NotificationID, gone)
			d, err := m.fake.Redeliver(t.Context(), info.NotificationID)
			require.NoError(t, err)
			require.Equal(t, http.StatusOK, d.Status)
			require.Eventually(t, func() bool {
				_, repeated := m.outcomes()
				return repeated == n+1
			}, patience, 10*time.Millisecond)
		}
		require.EqualValues(t, 1, m.stream())
		published, _ := m.outcomes()
		require.Equal(t, 1, published)
	})
}

func TestANotificationIsQueuedOnce(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, m *matching) { // No matcher takes them out.
		t.Helper()
		info := m.reply(m.sent("k"), answer)
		m.waitTask(info.NotificationID, asynq.TaskStatePending)
		for range 2 {
			d, err := m.fake.Redeliver(t.Context(), info.NotificationID)
			require.NoError(t, err)
			require.Equal(t, http.StatusOK, d.Status)
		}
		q, err := m.inspector.GetQueueInfo(task.NotificationQueue("main"))
		require.NoError(t, err)
		require.Equal(t, 1, q.Size)

		m.notify("", `{"id":null,"topic":"conversation.user.created"}`)
		m.notify("", `{"id":null,"topic":"conversation.user.created"}`)
		q, err = m.inspector.GetQueueInfo(task.NotificationQueue("main"))
		require.NoError(t, err)
		require.Equal(t, 3, q.Size, "without an id nobody knows whether they are the same")
	})
}

// conversation is a notification with these parts, after a message of an
// author.
func conversation(messageID, author, parts string) string {
	return fmt.Sprintf(`{"topic":"conversation.user.replied","data":{"item":{"id":"613",
		"source":{"id":%q,"author":{"type":%q,"id":"1"}},
		"conversation_parts":{"conversation_parts":[%s]}}}}`, messageID, author, parts)
}

func part(id, author, body string) string {
	return fmt.Sprintf(`{"id":%q,"part_type":"comment","body":%q,"created_at":1700000000,"author":{"type":%q,"id":"ada"}}`,
		id, body, author)
}

func TestOnlyWhatAContactWroteIsAReply(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, m *matching) {
		t.Helper()
		m.run()
		id := m.sent("k")
		m.notify("n1", conversation(id, "admin",
			part("1", "admin", answer)+","+part("2", "bot", answer)+","+part("3", "team", answer)+","+
				part("4", "user", "")+","+part("5", "user", "<p>First</p>")+","+part("6", "lead", "Second")))
		first, second := m.event(), m.event()
		require.Equal(t, "5", first.PartID)
		require.Equal(t, "First", first.Text)
		require.Equal(t, "<p>First</p>", first.HTML)
		require.True(t, first.First)
		require.Equal(t, "6", second.PartID)
		require.Equal(t, "lead", second.AuthorType)
		require.Empty(t, second.HTML)
		require.False(t, second.First)
		m.waitTask("n1", gone)
		require.EqualValues(t, 2, m.stream())
	})
}

// TestAReplyThatIsQuickerThanTheRecordIsMatched has the contact answer before
// the worker has written the message's id.
func TestAReplyThatIsQuickerThanTheRecordIsMatched(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, m *matching) {
		t.Helper()
		m.run()
		id, commit := m.create("k")
		info := m.reply(id, answer)
		m.waitTask(info.NotificationID, asynq.TaskStateRetry)
		require.Empty(t, m.events)
		time.Sleep(500 * time.Millisecond) // How late the worker is.
		commit()
		require.Equal(t, "k", m.event().Key)
		m.waitTask(info.NotificationID, gone)
	})
}

func TestConversationsThatAreNotOursAreDropped(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, m *matching) {
		t.Helper()
		m.run(func(matcher *replies.Matcher) { matcher.SetUnknownTries(1) })
		// It might be ours: the message is an admin's.
		m.notify("n1", conversation("999", "admin", part("1", "user", answer)))
		m.waitTask("n1", asynq.TaskStateRetry)
		// These cannot be.
		m.notify("n2", conversation("998", "user", part("1", "user", answer)))
		m.notify("n3", conversation("", "admin", part("1", "user", answer)))
		m.notify("n4", `{"topic":"contact.user.created","data":{"item":{"id":"ada"}}}`)
		for _, id := range []string{"n2", "n3", "n4", "n1"} {
			m.waitTask(id, gone)
		}
		require.Zero(t, m.stream())
		require.Len(t, m.logs.FilterMessage("conversation is not about a message of ours").All(), 2)
	})
}

func TestWhatCannotBeReadIsArchived(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, m *matching) {
		t.Helper()
		m.run()
		client := asynq.NewClientFromRedisClient(m.rdb)
		for id, payload := range map[string]string{
			"no-json":         confidential,
			"no-conversation": `{"topic":"conversation.user.replied","data":{"item":"` + confidential + `"}}`,
		} {
			_, err := client.Enqueue(asynq.NewTask(task.TypeNotification, []byte(payload)),
				asynq.TaskID(id), asynq.Queue(task.NotificationQueue("main")))
			require.NoError(t, err)
			require.NotEmpty(t, m.waitTask(id, asynq.TaskStateArchived).LastErr)
		}
	})
}

func TestNotificationsSurviveAnOutageOfRedis(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t, redistest.Options{AppendOnly: true, Fsync: "always"})
	m := newMatching(t, s)
	id := m.sent("k")
	m.notify("n1", conversation(id, "admin", part("1", "user", answer)))
	s.Kill()
	n := &intercom.Notification{ID: "n2", Topic: intercom.TopicConversationUserReplied}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	require.Error(t, m.queue.QueueNotification(ctx, n, []byte("{}")), "Intercom would not send it again")
	m.run()
	s.Restart()
	m.waitTask("n1", gone)
	require.EqualValues(t, 1, m.stream())
}

func TestTheQueueAndTheMatcherRefuseWhatCannotWork(t *testing.T) {
	t.Parallel()
	rdb := redis.NewClient(&redis.Options{Addr: "192.0.2.1:1"})
	t.Cleanup(func() { _ = rdb.Close() })
	_, err := replies.NewAsynqQueue(rdb, "No Such")
	require.ErrorContains(t, err, "workspace")
	usable := replies.MatcherConfig{Redis: rdb, Log: zap.NewNop()}
	for want, change := range map[string]func(*replies.MatcherConfig){
		"Redis":     func(c *replies.MatcherConfig) { c.Redis = nil },
		"Log":       func(c *replies.MatcherConfig) { c.Log = nil },
		"workspace": func(c *replies.MatcherConfig) { c.Workspace = "No Such" },
		"TTL":       func(c *replies.MatcherConfig) { c.RecordTTL = time.Second },
	} {
		cfg := usable
		change(&cfg)
		_, err := replies.NewMatcher(cfg)
		require.ErrorContains(t, err, want)
	}
	_, err = replies.NewMatcher(usable)
	require.NoError(t, err)
}
