package enqueue

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"github.com/intercom-dispatch/intercom-dispatch/internal/task"
	"github.com/intercom-dispatch/intercom-dispatch/ledger"
)

// asynq's client enqueues one task a call, knows a task id within one queue
// only, and forgets it when the task is done. So its script is wrapped: a
// guard in front refuses a key that has a record or a task in another queue,
// and many calls go into one pipeline. The script and its arguments are
// asynq's own, taken from its client by a connection that records instead of
// sending; nothing here knows how asynq stores a task but for the name of its
// key and of the field that holds it.

// guard runs before asynq's script, whose KEYS and ARGV come first. Behind them
// are the message's record, the task under this key in each of three queues,
// and token and digest of this enqueueing. A new key, the usual case, costs one
// command more than asynq's own script.
//
// A message that has an order key takes its place after the guard, before
// asynq's script: see placeGuarded.
//
// Result: {"enqueued"}, {"duplicate", state} or {"conflict", state} for a key
// that is known, otherwise the number that asynq's script returns.
const guard = `
local k = #KEYS
if redis.call('EXISTS', KEYS[k-3], KEYS[k-2], KEYS[k-1], KEYS[k]) > 0 then
  local token, digest = ARGV[#ARGV-1], ARGV[#ARGV]
  local r = redis.call('HMGET', KEYS[k-3], '%s', '%s', '%s')
  if r[1] then
    if r[3] == token then return {'enqueued', ''} end
    if r[1] == digest then return {'duplicate', r[2]} end
    return {'conflict', r[2]}
  end
  for i = k - 2, k do
    local msg = redis.call('HGET', KEYS[i], 'msg')
    if msg then
      if string.find(msg, token, 1, true) then return {'enqueued', ''} end
      if string.find(msg, digest, 1, true) then return {'duplicate', 'queued'} end
      return {'conflict', 'queued'}
    end
  end
end
%s
`

// ourKeys and ourArgs are how many KEYS and ARGV the guard has besides asynq's.
const ourKeys, ourArgs = 4, 2

// job is one request on its way into Redis.
type job struct {
	key           string
	token, digest string
	scripts       *scripts
	ordered       bool     // it has a place in an order
	keys          []string // asynq's KEYS, then the order's if there is one, then the guard's
	args          []any    // asynq's ARGV, then the same
	bytes         int      // of the payload
	result        *Result
	lost          error // why those behind are not tried
}

// scripts are what one script of asynq's becomes.
type scripts struct {
	guarded *redis.Script // behind the guard
	ordered *redis.Script // the same, which also gives the message its place
	bare    *redis.Script // as it is
}

// guarded is the job's script on all but clusters.
func (j *job) guarded() call {
	if j.ordered {
		return call{script: j.scripts.ordered, keys: j.keys, args: j.args, ordered: true}
	}
	return call{script: j.scripts.guarded, keys: j.keys, args: j.args}
}

// bare is asynq's own call.
func (j *job) bare() call {
	keys, args := len(j.keys)-ourKeys, len(j.args)-ourArgs
	if j.ordered {
		keys, args = keys-orderKeys, args-orderArgs
	}
	return call{script: j.scripts.bare, keys: j.keys[:keys], args: j.args[:args]}
}

func (j *job) record() string  { return j.keys[len(j.keys)-ourKeys] }
func (j *job) tasks() []string { return j.keys[len(j.keys)-ourKeys+1:] }

type composer struct {
	workspace string
	recordTTL time.Duration
	asynq     *asynq.Client
	recorder  *recorder
	queues    []queue  // of the workspace
	scripts   sync.Map // asynq's source -> *scripts
}

func newComposer(rdb redis.UniversalClient, workspace string, recordTTL time.Duration) *composer {
	r := &recorder{UniversalClient: rdb}
	c := &composer{
		workspace: workspace, recordTTL: recordTTL, recorder: r, asynq: asynq.NewClientFromRedisClient(r),
	}
	for _, p := range task.Priorities() {
		c.queues = append(c.queues, newQueue(p, task.Queue(workspace, p)))
	}
	return c
}

// queue is what the tasks of a queue have in common.
type queue struct {
	priority, name string
	options        []asynq.Option
}

func newQueue(priority, name string) queue {
	return queue{priority: priority, name: name, options: slices.Clip(queueOptions(name))}
}

func (c *composer) options(priority string) []asynq.Option {
	for _, q := range c.queues {
		if q.priority == priority {
			return q.options
		}
	}
	return queueOptions(task.Queue(c.workspace, priority))
}

// compose lets asynq's client enqueue the task into the recorder.
func (c *composer) compose(ctx context.Context, key string, e *task.Envelope, payload []byte) (*job, error) {
	opts := append(c.options(e.Priority), asynq.TaskID(key))
	if e.At > 0 {
		// asynq would cut the time by itself; the worker waits for the rest.
		opts = append(opts, asynq.ProcessAt(time.UnixMilli(e.At).Truncate(time.Second)))
	}
	call := recording{Context: ctx}
	if _, err := c.asynq.EnqueueContext(&call, asynq.NewTask(task.TypeMessage, payload), opts...); err != nil {
		return nil, fmt.Errorf("enqueue %q: %w", key, err)
	}
	return c.job(key, e, &call, len(payload)), nil
}

// job puts our KEYS and ARGV behind asynq's.
func (c *composer) job(key string, e *task.Envelope, call *recording, bytes int) *job {
	keys, args := len(call.keys)+ourKeys, len(call.args)+ourArgs
	ordered := e.OrderKey != ""
	if ordered {
		keys, args = keys+orderKeys, args+orderArgs
	}
	j := &job{
		key: key, token: e.Token, digest: e.Digest, scripts: c.wrap(call.source), ordered: ordered, bytes: bytes,
		keys: append(make([]string, 0, keys), call.keys...), args: append(make([]any, 0, args), call.args...),
	}
	if ordered {
		j.keys, j.args = append(j.keys, c.order(e.OrderKey)), append(j.args, key, c.orderTTL(e))
	}
	j.keys = append(j.keys, ledger.RecordKey(c.workspace, key))
	for _, q := range c.queues {
		j.keys = append(j.keys, taskKey(q.name, key))
	}
	j.args = append(j.args, e.Token, e.Digest)
	return j
}

func (c *composer) order(orderKey string) string { return ledger.OrderKey(c.workspace, orderKey) }

// orderTTL is how long an order is kept for a message, in ms: as long as there
// may be its task, and then its record.
func (c *composer) orderTTL(e *task.Envelope) int64 {
	return c.recordTTL.Milliseconds() + max(0, e.At-e.QueuedAt)
}

// queueOptions are the options of every message's task, but for its id.
func queueOptions(queue string) []asynq.Option {
	return []asynq.Option{asynq.Queue(queue), asynq.MaxRetry(task.MaxRetry), asynq.Timeout(task.Timeout)}
}

func (c *composer) wrap(source string) *scripts {
	if s, ok := c.scripts.Load(source); ok {
		return s.(*scripts)
	}
	f := ledger.RecordFields()
	behindGuard := func(source string) *redis.Script {
		return redis.NewScript(fmt.Sprintf(guard, f[0], f[1], f[2], source))
	}
	s, _ := c.scripts.LoadOrStore(source, &scripts{
		guarded: behindGuard(source), ordered: behindGuard(placeGuarded + source), bare: redis.NewScript(source),
	})
	return s.(*scripts)
}

// taskKey is asynq's name for the key of a task (v0.26: base.TaskKey).
func taskKey(queue, id string) string { return "asynq:{" + queue + "}:t:" + id }

// recording is the context of one enqueueing, in which the recorder takes down
// the script call.
type recording struct {
	context.Context

	source string
	keys   []string
	args   []any
}

type recordingKey struct{}

func (r *recording) Value(key any) any {
	if key == (recordingKey{}) {
		return r
	}
	return r.Context.Value(key)
}

// recorder is a connection on which asynq's calls are taken down instead of
// made. Nothing else of it is used.
type recorder struct {
	redis.UniversalClient

	sources sync.Map // hash -> asynq's source

	mu sync.Mutex
	// queues are the entries of asynq's list of queues that are still to be
	// made.
	queues []queueEntry
}

type queueEntry struct {
	key     string
	members []any
}

// noScriptError makes go-redis send the script's source, which is wanted here.
type noScriptError struct{ error }

func (noScriptError) RedisError() {}

func (r *recorder) EvalSha(ctx context.Context, hash string, keys []string, args ...any) *redis.Cmd {
	if source, ok := r.sources.Load(hash); ok {
		return r.record(ctx, source.(string), keys, args)
	}
	cmd := redis.NewCmd(ctx)
	cmd.SetErr(noScriptError{errors.New("NOSCRIPT recorded")})
	return cmd
}

func (r *recorder) Eval(ctx context.Context, source string, keys []string, args ...any) *redis.Cmd {
	r.sources.Store(redis.NewScript(source).Hash(), source)
	return r.record(ctx, source, keys, args)
}

func (r *recorder) record(ctx context.Context, source string, keys []string, args []any) *redis.Cmd {
	cmd := redis.NewCmd(ctx)
	call, ok := ctx.Value(recordingKey{}).(*recording)
	if !ok {
		cmd.SetErr(errors.New("script outside of an enqueueing"))
		return cmd
	}
	call.source, call.keys, call.args = source, keys, args
	cmd.SetVal(int64(1))
	return cmd
}

// SAdd is what asynq's client calls once for each queue. It believes that the
// call was made, so publish makes it until it succeeds.
func (r *recorder) SAdd(ctx context.Context, key string, members ...any) *redis.IntCmd {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.queues = append(r.queues, queueEntry{key, members})
	return redis.NewIntCmd(ctx)
}

// publish adds new queues to asynq's list of them, where its web UI and its
// inspector look. It comes before the first task of a queue.
func (r *recorder) publish(ctx context.Context) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	for len(r.queues) > 0 {
		q := r.queues[0]
		if err := r.UniversalClient.SAdd(ctx, q.key, q.members...).Err(); err != nil {
			return fmt.Errorf("add to the list of queues: %w", err)
		}
		r.queues = r.queues[1:]
	}
	return nil
}
