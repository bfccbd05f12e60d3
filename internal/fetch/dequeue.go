package fetch

import (
	"context"
	"time"

	"github.com/redis/go-redis/v9"
)

// call is one call of asynq's dequeue script.
type call struct {
	// sha or src is what asynq called the script by.
	sha, src string
	// lease is the end of the lease that it is to write, Unix seconds.
	lease int64
	at    time.Time
}

// leaseAt is the lease that asynq would ask for at that time.
func (a call) leaseAt(now time.Time) int64 { return a.lease + int64(now.Sub(a.at)/time.Second) }

// dequeue answers a call with the message of a task of whichever queue, or
// with redis.Nil after a while without one.
func (c *Client) dequeue(ctx context.Context, asked call) (string, error) {
	c.turn.Lock()
	defer c.turn.Unlock()
	c.script.learn(asked)
	var until <-chan time.Time
	for !c.isStopped() {
		if msg, ok := c.handOut(ctx); ok {
			return msg, nil
		}
		if asks := c.plan(); len(asks) > 0 {
			if err := c.fetch(ctx, asked, asks); err != nil {
				return "", err
			}
			continue
		}
		if until == nil {
			timer := time.NewTimer(blockFor)
			defer timer.Stop()
			until = timer.C
		}
		select {
		case <-until:
			return "", redis.Nil
		case <-ctx.Done():
			return "", ctx.Err()
		case <-c.stopped:
		case <-c.wake:
		}
	}
	return "", redis.Nil
}

func (c *Client) isStopped() bool {
	select {
	case <-c.stopped:
		return true
	default:
		return false
	}
}

// handOut takes the next task out of the buffer. If the first queue may have
// one, the others wait.
func (c *Client) handOut(ctx context.Context) (string, bool) {
	now := c.cfg.Now()
	c.mu.Lock()
	old := append(c.urgent.takeStale(now), c.rest.takeStale(now)...)
	msg, ok := c.nextLocked(now)
	c.mu.Unlock()
	if err := c.putBack(ctx, old); err != nil {
		c.cfg.Log.Warn("tasks that waited too long could not be put back: ", err)
	}
	return msg, ok
}

func (c *Client) nextLocked(now time.Time) (string, bool) {
	var t *claim
	switch {
	case len(c.urgent.buffered) > 0:
		t = c.urgent.take()
	case len(c.rest.buffered) > 0 && !c.urgent.wants(c.roomLocked()):
		t = c.rest.take()
	default:
		return "", false
	}
	t.at = now
	name := handedName(t.q.name, t.id)
	c.handed[name] = append(c.handed[name], t)
	return t.msg, true
}

func (c *Client) roomLocked() int { return c.urgent.limit - c.urgent.busy - c.rest.busy }

// plan says what to fetch. The first queue is asked alone, because what it has
// decides how much room there is for others.
func (c *Client) plan() []ask {
	c.mu.Lock()
	gone := c.abandoned(c.cfg.Now())
	asks := c.urgent.plan(c.roomLocked())
	if len(asks) == 0 {
		asks = c.rest.plan(c.roomLocked())
	}
	c.mu.Unlock()
	c.drop(gone)
	return asks
}
