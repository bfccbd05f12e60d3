package fetch

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
)

const (
	// peekFor is how long one peek waits in Redis, in seconds.
	peekFor = 1
	// peekTimeout is how long its answer is waited for: as long may a dead
	// connection go unnoticed.
	peekTimeout = 3 * time.Second
	// pollInterval is how often a queue is looked at where Redis refuses to peek.
	pollInterval = 30 * time.Millisecond
	// pausedInterval is how often a paused queue is looked at.
	pausedInterval = 100 * time.Millisecond
	// failedInterval is how long a queue is left alone after Redis gave no answer.
	failedInterval = 100 * time.Millisecond
	// maxFutile bounds the wait after wake-ups in vain, 2^maxFutile ms.
	maxFutile = 4
)

// watcher waits for tasks of one queue, when it was found empty.
type watcher struct {
	*Client
	q *queue
	// peeker is the connection that waits. It is nil where there is none, or
	// Redis has refused to let it wait: then the queue is polled.
	peeker redis.UniversalClient
}

func (w *watcher) run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case why := <-w.q.armed:
			if !w.await(ctx, why) {
				return
			}
		}
		w.mu.Lock()
		w.q.ready = true
		w.mu.Unlock()
		w.lookAgain()
	}
}

// await returns when the queue should be looked at: true, or false once ctx
// has ended. Where Redis does not answer, that is soon: the look shows why.
func (w *watcher) await(ctx context.Context, why reason) bool {
	if why.failed {
		return sleep(ctx, failedInterval)
	}
	if why.futile > 0 && !w.pause(ctx, why.futile) {
		return false
	}
	for ctx.Err() == nil {
		there, err := w.look(ctx)
		switch {
		case there:
			return true
		case err != nil && !w.refused(err):
			return sleep(ctx, failedInterval)
		}
	}
	return false
}

// pause waits before the list is looked at again which had an element, but
// gave none: another worker was quicker, or the queue is paused.
func (w *watcher) pause(ctx context.Context, futile int) bool {
	for {
		n, err := w.UniversalClient.Exists(ctx, w.q.keys[1]).Result()
		if err != nil || n == 0 {
			return sleep(ctx, time.Millisecond<<min(futile, maxFutile))
		}
		if !sleep(ctx, pausedInterval) {
			return false
		}
	}
}

// look waits for an element of the list, for a while.
func (w *watcher) look(ctx context.Context) (there bool, err error) {
	if w.peeker == nil {
		n, err := w.UniversalClient.LLen(ctx, w.q.keys[0]).Result()
		if n == 0 && err == nil {
			sleep(ctx, pollInterval)
		}
		return n > 0, err
	}
	err = w.peek(ctx)
	if errors.Is(err, redis.Nil) {
		return false, nil
	}
	return err == nil, err
}

// peek moves the next task onto its own place.
func (w *watcher) peek(ctx context.Context) error {
	pending := w.q.keys[0]
	return w.peeker.Process(ctx, once{redis.NewCmd(ctx, "blmove", pending, pending, "right", "right", peekFor)})
}

// refused tells whether the server will not let us peek, ever. It says so once.
func (w *watcher) refused(err error) bool {
	if w.peeker == nil || !isRefusal(err) {
		return false
	}
	w.peeker = nil
	w.cfg.Log.Warn(fmt.Sprintf("Redis does not let us wait for tasks of %s, which are polled for every %s: ", w.q.name, pollInterval), err)
	return true
}

// isRefusal tells whether it is an answer of the server about the command, not
// about its own state: those have prefixes such as LOADING and READONLY.
func isRefusal(err error) bool {
	answer, ok := errors.AsType[redis.Error](err)
	return ok && (strings.HasPrefix(answer.Error(), "NOPERM") || strings.HasPrefix(answer.Error(), "ERR "))
}

// newPeeker returns a client with connections of its own, one for each queue.
// Those of the given one are few, and may all be waited for. It is closed to
// end a peek: go-redis does not end one for a context. For other kinds of
// clients it returns nil.
func newPeeker(rdb redis.UniversalClient, queues int) redis.UniversalClient {
	// The given clients write to theirs while they connect.
	maintenance := &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
	switch rdb := rdb.(type) {
	case *redis.Client:
		o := *rdb.Options()
		o.PoolSize, o.MinIdleConns, o.MaxIdleConns, o.MaxActiveConns, o.ReadTimeout = queues, 0, 0, 0, peekTimeout
		o.MaintNotificationsConfig, o.PushNotificationProcessor = maintenance, nil
		return redis.NewClient(&o)
	case *redis.ClusterClient:
		o := *rdb.Options()
		o.PoolSize, o.MinIdleConns, o.MaxIdleConns, o.MaxActiveConns, o.ReadTimeout = queues, 0, 0, 0, peekTimeout
		o.MaintNotificationsConfig, o.PushNotificationProcessor = maintenance, nil
		return redis.NewClusterClient(&o)
	}
	return nil
}

// sleep tells whether ctx is still alive after d.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}
