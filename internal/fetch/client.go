package fetch

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"
)

// Client is the connection of one asynq server, for
// asynq.NewServerFromRedisClient. It is safe for concurrent use, and must not
// be shared by servers. Run has to run while the server does, and the server's
// handler has to be the one that Handler returns.
type Client struct {
	redis.UniversalClient

	cfg       Config
	queues    []*queue
	byPending map[string]*queue
	stopped   chan struct{}
	// wake has an entry when a call that waits should look again.
	wake chan struct{}
	// turn is held by the call that is answered. It guards script.
	turn   sync.Mutex
	script script

	// mu guards what follows, and is never held over a call of Redis.
	mu           sync.Mutex
	urgent, rest *class
	// handed holds the tasks that were handed out and whose handler has not
	// begun: more than one of an id where Redis has given it to us again.
	handed map[string][]*claim
}

// New returns a client for a server that has not started. Its error names the
// field of the configuration.
func New(cfg Config) (*Client, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, fmt.Errorf("fetch: %w", err)
	}
	c := &Client{
		UniversalClient: cfg.Redis, cfg: cfg, byPending: map[string]*queue{}, handed: map[string][]*claim{},
		stopped: make(chan struct{}), wake: make(chan struct{}, 1),
		urgent: &class{limit: cfg.Handlers()}, rest: &class{limit: cfg.Concurrency},
	}
	for name, weight := range cfg.Queues {
		q := newQueue(name, weight, c.rest)
		if name == cfg.First {
			q.class = c.urgent
		}
		q.class.queues = append(q.class.queues, q)
		c.byPending[q.keys[0]] = q
		c.queues = append(c.queues, q)
	}
	slices.SortFunc(c.rest.queues, func(a, b *queue) int { return b.weight - a.weight })
	return c, nil
}

// Run waits for tasks until ctx ends. From then on none is taken, and calls
// that wait for one return at once. It may be called once.
func (c *Client) Run(ctx context.Context) {
	var watchers sync.WaitGroup
	defer watchers.Wait()
	peeker := newPeeker(c.cfg.Redis, len(c.queues))
	if peeker != nil {
		defer func() { _ = peeker.Close() }()
	}
	for _, q := range c.queues {
		w := &watcher{Client: c, q: q, peeker: peeker}
		watchers.Go(func() { w.run(ctx) })
	}
	<-ctx.Done()
	close(c.stopped)
}

// PutBack puts back what was fetched and not handed out. It is for the end,
// when ctx of Run has ended and the server dequeues no more. Where it returns
// an error, the other members of the roster put the tasks back.
func (c *Client) PutBack(ctx context.Context) error {
	c.mu.Lock()
	left := append(c.urgent.takeAll(), c.rest.takeAll()...)
	c.mu.Unlock()
	return c.putBack(ctx, left)
}

// EvalSha implements redis.Scripter.
func (c *Client) EvalSha(ctx context.Context, sha string, keys []string, args ...any) *redis.Cmd {
	if lease, ok := c.isDequeue(keys, args); ok {
		return c.answer(ctx, call{sha: sha, lease: lease, at: c.cfg.Now()}, "evalsha", sha)
	}
	if isServerState(keys, args) {
		args = withoutPayloads(args)
	}
	return c.cfg.Scripts.EvalSha(ctx, sha, keys, args...)
}

// Eval implements redis.Scripter.
func (c *Client) Eval(ctx context.Context, src string, keys []string, args ...any) *redis.Cmd {
	if lease, ok := c.isDequeue(keys, args); ok {
		return c.answer(ctx, call{src: src, lease: lease, at: c.cfg.Now()}, "eval", src)
	}
	if isServerState(keys, args) {
		args = withoutPayloads(args)
	}
	return c.cfg.Scripts.Eval(ctx, src, keys, args...)
}

func (c *Client) answer(ctx context.Context, asked call, name ...any) *redis.Cmd {
	cmd := redis.NewCmd(ctx, name...)
	msg, err := c.dequeue(ctx, asked)
	if err != nil {
		cmd.SetErr(err)
		return cmd
	}
	cmd.SetVal(msg)
	return cmd
}

// Handler returns the handler for the server: h, with an account of the tasks
// that it has in hand.
func (c *Client) Handler(h asynq.Handler) asynq.Handler {
	return asynq.HandlerFunc(func(ctx context.Context, t *asynq.Task) error {
		id, _ := asynq.GetTaskID(ctx)
		queue, _ := asynq.GetQueueName(ctx)
		task := c.begin(queue, id)
		// asynq may give up on the handler. Then others may use its slot, but
		// the task is in its hand until it returns.
		defer context.AfterFunc(ctx, task.free)()
		defer task.free()
		defer task.release()
		return h.ProcessTask(ctx, t)
	})
}
