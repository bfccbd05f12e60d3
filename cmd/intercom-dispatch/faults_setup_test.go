package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/hibiken/asynq"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/intercom-dispatch/intercom-dispatch/intercom/intercomtest"
	"github.com/intercom-dispatch/intercom-dispatch/internal/roster"
	"github.com/intercom-dispatch/intercom-dispatch/internal/task"
)

// takenOver is within what time a killed worker's tasks are in other hands.
const takenOver = 20 * time.Second

// fleet is a number of worker processes at a site. Killed ones are told of
// with the others when a test fails.
type fleet struct {
	s       *site
	args    []string
	workers []*process
}

// fleet starts n workers and waits until all of them take messages.
func (s *site) fleet(n int, args ...string) *fleet {
	s.t.Helper()
	f := &fleet{s: s, args: append([]string{"worker"}, args...)}
	for range n {
		f.workers = append(f.workers, s.start(f.args...))
	}
	s.awaitMembers(n)
	return f
}

// replace kills a worker as kill -9 does and starts another one.
func (f *fleet) replace(i int) {
	f.s.t.Helper()
	f.workers[i].kill()
	f.workers[i] = f.s.start(f.args...)
}

// roll ends a worker as a deployment does, while its successor starts.
func (f *fleet) roll(i int) {
	f.s.t.Helper()
	old := f.workers[i]
	old.signal(syscall.SIGTERM)
	f.workers[i] = f.s.start(f.args...)
	require.Equal(f.s.t, 0, old.status())
}

// end ends all workers, which they must do with status 0.
func (f *fleet) end() {
	f.s.t.Helper()
	for _, w := range f.workers {
		w.signal(syscall.SIGTERM)
	}
	for _, w := range f.workers {
		require.Equal(f.s.t, 0, w.status())
	}
}

// awaitMembers waits until so many deliver messages. Each worker process has a
// matcher as well, which is a member of its own.
func (s *site) awaitMembers(workers int) {
	s.t.Helper()
	rdb := s.redis.Client(s.t)
	require.Eventually(s.t, func() bool {
		members, err := roster.Members(s.t.Context(), rdb, "main")
		return err == nil && len(members) == 2*workers
	}, patience, 20*time.Millisecond, "the workers did not start")
}

func (s *site) inspector() *asynq.Inspector {
	s.t.Helper()
	return asynq.NewInspectorFromRedisClient(s.redis.Client(s.t))
}

// queued sums up what counts of the queues of messages.
func queued(i *asynq.Inspector, counts func(*asynq.QueueInfo) int) (int, error) {
	there, err := i.Queues()
	if err != nil {
		return 0, err
	}
	n := 0
	for _, p := range task.Priorities() {
		q := task.Queue("main", p)
		if !slices.Contains(there, q) {
			continue
		}
		info, err := i.GetQueueInfo(q)
		if err != nil {
			return 0, err
		}
		n += counts(info)
	}
	return n, nil
}

func activeTasks(q *asynq.QueueInfo) int { return q.Active }

func unfinishedTasks(q *asynq.QueueInfo) int { return q.Pending + q.Active + q.Scheduled + q.Retry }

// awaitTasks waits until so many tasks are counted.
func (s *site) awaitTasks(n int, counts func(*asynq.QueueInfo) int, limit time.Duration) {
	s.t.Helper()
	i := s.inspector()
	require.EventuallyWithT(s.t, func(c *assert.CollectT) {
		counted, err := queued(i, counts)
		require.NoError(c, err)
		require.Equal(c, n, counted)
	}, limit, 50*time.Millisecond)
}

// awaitDone waits until no message has a task that will run.
func (s *site) awaitDone(limit time.Duration) {
	s.t.Helper()
	s.awaitTasks(0, unfinishedTasks, limit)
}

// awaitArrived waits until so many requests have come, of every kind.
func (s *site) awaitArrived(n int64) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), patience)
	defer cancel()
	require.NoError(s.t, s.fake.WaitFor(ctx, func(l intercomtest.Log) bool { return l.Arrived >= n }))
}

// created returns the messages that exist, by the key that their body names.
func (s *site) created() map[string][]intercomtest.CreatedMessage {
	byKey := map[string][]intercomtest.CreatedMessage{}
	for _, m := range s.fake.Created() {
		key := strings.TrimPrefix(m.Body, "about ")
		byKey[key] = append(byKey[key], m)
	}
	return byKey
}

// messages makes n lines for enqueue, of messages to as many contacts. Their
// keys are prefix-0, prefix-1, ….
func messages(n int, prefix string, line func(key string) string) (keys, lines []string) {
	for i := range n {
		key := fmt.Sprintf("%s-%d", prefix, i)
		keys, lines = append(keys, key), append(lines, line(key))
	}
	return keys, lines
}

// plain is a line with a message that no search finds before it is answered.
func plain(policy string) func(key string) string {
	return func(key string) string {
		return inApp(key, "contact-"+key, "about "+key, fmt.Sprintf(`,"if_uncertain":%q`, policy))
	}
}

// opening is a line with a message that opens a conversation.
func opening(policy string) func(key string) string {
	return func(key string) string {
		return strings.Replace(plain(policy)(key), `"message":{`, `"message":{"create_conversation_without_contact_reply":true,`, 1)
	}
}

// requireSentOnce checks the records of messages that exist once.
func (s *site) requireSentOnce(keys []string) []record {
	s.t.Helper()
	created := s.created()
	records := s.records(keys...)
	require.Len(s.t, records, len(keys))
	for i, r := range records {
		require.Equal(s.t, keys[i], r.Key)
		require.Len(s.t, created[r.Key], 1, r.Key)
		s.requireSentAs(r, created[r.Key][0])
	}
	return records
}

func (s *site) requireSentAs(r record, m intercomtest.CreatedMessage) {
	s.t.Helper()
	require.Equal(s.t, "sent", r.State, r.Key)
	require.Equal(s.t, m.ID, r.MessageID, r.Key)
	require.Equal(s.t, []string{"contact-" + r.Key}, m.Recipients.To)
}
