package combine

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/redis/go-redis/v9"
)

const (
	// A pipeline is bounded in calls and in bytes of arguments, as both sides
	// keep all of it in memory.
	maxCalls = 128
	maxBytes = 1 << 20
	// maxFlights is how many pipelines are under way at a time. With more of
	// them each is shorter, which is what they are to avoid.
	maxFlights = 1
)

// Client is a connection whose EvalSha is combined with others. Everything else
// goes the usual way. It is safe for concurrent use.
type Client struct {
	redis.UniversalClient

	flying sync.WaitGroup

	mu      sync.Mutex
	waiting []*call
	flights int
}

// New returns a client on a connection, which stays the caller's to close: not
// before Wait has returned.
func New(rdb redis.UniversalClient) *Client { return &Client{UniversalClient: rdb} }

// Wait waits until no pipeline is under way. It is for the end, when nobody calls
// any more.
func (c *Client) Wait() { c.flying.Wait() }

// call is a script that is to be run.
type call struct {
	sha  string
	keys []string
	args []any
	size int
	// cmd is set before done is closed.
	cmd  *redis.Cmd
	done chan struct{}
}

// EvalSha implements redis.Scripter. Where ctx ends first, its error says so, and
// the script may have been run.
func (c *Client) EvalSha(ctx context.Context, sha string, keys []string, args ...any) *redis.Cmd {
	if err := ctx.Err(); err != nil {
		return failed(ctx, err)
	}
	its := &call{sha: sha, keys: keys, args: args, size: sizeOf(args), done: make(chan struct{})}
	c.join(its)
	select {
	case <-its.done:
		return its.cmd
	case <-ctx.Done():
	}
	if c.leave(its) {
		return failed(ctx, ctx.Err())
	}
	return failed(ctx, fmt.Errorf("the script may have been run: %w", ctx.Err()))
}

func failed(ctx context.Context, err error) *redis.Cmd {
	cmd := redis.NewCmd(ctx, "evalsha")
	cmd.SetErr(err)
	return cmd
}

func sizeOf(args []any) int {
	n := 0
	for _, a := range args {
		switch a := a.(type) {
		case string:
			n += len(a)
		case []byte:
			n += len(a)
		}
	}
	return n
}

func (c *Client) join(its *call) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.waiting = append(c.waiting, its)
	if c.flights < maxFlights {
		c.flights++
		c.flying.Go(c.fly)
	}
}

// leave tells whether the call was not sent.
func (c *Client) leave(its *call) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	i := slices.Index(c.waiting, its)
	if i < 0 {
		return false
	}
	c.waiting = slices.Delete(c.waiting, i, i+1)
	return true
}

// fly sends pipelines until nobody waits.
func (c *Client) fly() {
	for calls := c.board(); len(calls) > 0; calls = c.board() {
		c.send(calls)
	}
}

// board takes a pipeline's worth of those who wait. If there are none, the flight
// has ended.
func (c *Client) board() []*call {
	c.mu.Lock()
	defer c.mu.Unlock()
	n, size := 0, 0
	for n < min(len(c.waiting), maxCalls) && (n == 0 || size+c.waiting[n].size <= maxBytes) {
		size += c.waiting[n].size
		n++
	}
	if n == 0 {
		c.flights--
		return nil
	}
	calls := slices.Clone(c.waiting[:n])
	c.waiting = slices.Delete(c.waiting, 0, n)
	return calls
}

var errNoAnswer = errors.New("no answer to the script")

// send runs the scripts. It has no context: each caller waits with its own, and
// go-redis' timeouts end it.
func (c *Client) send(calls []*call) {
	ctx := context.Background()
	if len(calls) == 1 {
		its := calls[0]
		its.cmd = c.UniversalClient.EvalSha(ctx, its.sha, its.keys, its.args...)
		close(its.done)
		return
	}
	pipe := c.Pipeline()
	for _, its := range calls {
		its.cmd = pipe.EvalSha(ctx, its.sha, its.keys, its.args...)
	}
	_, err := pipe.Exec(ctx)
	for _, its := range calls {
		// Each has its own error, unless a hook has kept all of them from being
		// sent. An answer of nil is an error too.
		if its.cmd.Err() == nil && its.cmd.Val() == nil {
			its.cmd.SetErr(cmp.Or(err, errNoAnswer))
		}
		close(its.done)
	}
}
