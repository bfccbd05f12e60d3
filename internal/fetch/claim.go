package fetch

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/intercom-dispatch/intercom-dispatch/internal/roster"
)

// claim is a task that was fetched, until its handler has returned.
type claim struct {
	q       *queue
	id, msg string
	lease   int64
	// at is when the task was fetched, and later when it was handed out.
	at time.Time
	// release takes the task out of the member's hands.
	release func()
	// free gives its slot to another.
	free func()
}

// claim notes a task that was fetched with that lease.
func (c *Client) claim(q *queue, msg string, lease int64, at time.Time) *claim {
	id, _ := taskID(msg)
	t := &claim{q: q, id: id, msg: msg, lease: lease, at: at, release: c.cfg.Member.Hold(q.name, id)}
	t.free = sync.OnceFunc(func() { c.free(q.class) })
	q.class.busy++
	return t
}

func (c *Client) free(of *class) {
	c.mu.Lock()
	of.busy--
	c.mu.Unlock()
	c.lookAgain()
}

// lookAgain wakes the call that waits.
func (c *Client) lookAgain() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// begin returns the claim of a task whose handler begins. A task that came in
// another way has one without a slot.
func (c *Client) begin(queue, id string) *claim {
	c.mu.Lock()
	defer c.mu.Unlock()
	name := handedName(queue, id)
	ts := c.handed[name]
	if len(ts) == 0 {
		return &claim{release: c.cfg.Member.Hold(queue, id), free: func() {}}
	}
	if len(ts) == 1 {
		delete(c.handed, name)
	} else {
		c.handed[name] = ts[1:]
	}
	return ts[0]
}

func handedName(queue, id string) string { return queue + "/" + id }

// abandoned returns the claims whose handler will not begin: asynq ends a task
// that is past its deadline, or that it cannot decode, without it. It is for
// calls of asynq's processor, which starts a task before it asks for the next.
func (c *Client) abandoned(now time.Time) []*claim {
	var gone []*claim
	for name, ts := range c.handed {
		for len(ts) > 0 && now.Sub(ts[0].at) > maxAge {
			gone, ts = append(gone, ts[0]), ts[1:]
		}
		if len(ts) == 0 {
			delete(c.handed, name)
		} else {
			c.handed[name] = ts
		}
	}
	return gone
}

func (c *Client) drop(gone []*claim) {
	for _, t := range gone {
		t.release()
		t.free()
	}
}

// stale tells whether the task is too old to be handed out. While a machine
// sleeps one of the two clocks may stand still.
func (t *claim) stale(now time.Time) bool {
	return max(now.Sub(t.at), now.Round(0).Sub(t.at.Round(0))) > maxAge
}

// putBack puts tasks back that were fetched in this order. Whatever becomes of
// that, they are out of our hands.
func (c *Client) putBack(ctx context.Context, left []*claim) error {
	if len(left) == 0 {
		return nil
	}
	defer c.drop(left)
	ctx, cancel := context.WithTimeout(ctx, putBackTimeout)
	defer cancel()
	byQueue := map[*queue][]roster.Active{}
	for _, t := range left {
		byQueue[t.q] = append(byQueue[t.q], roster.Active{ID: t.id, Lease: t.lease})
	}
	var failed error
	for q, tasks := range byQueue {
		failed = errors.Join(failed, c.cfg.Member.PutBack(ctx, q.name, tasks))
	}
	return failed
}
