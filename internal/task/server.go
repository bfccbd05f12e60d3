package task

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"github.com/intercom-dispatch/intercom-dispatch/internal/roster"
)

// How often a server looks for work. asynq's own defaults, 1 s for queues that
// were empty and 5 s for delayed tasks, would make messages late; these cost
// an idle worker some 100 Redis commands a second.
const (
	checkInterval        = 100 * time.Millisecond
	delayedCheckInterval = 200 * time.Millisecond
)

const (
	announceInterval = time.Second
	announceTimeout  = 2 * time.Second
	// leaveTimeout bounds the last word to the other workers. Without it they
	// notice by themselves.
	leaveTimeout = 2 * time.Second
)

// Serve runs an asynq server until ctx ends, and then lets the tasks under way
// finish for at most cfg.ShutdownTimeout. stopping, if not nil, is called
// before it waits for them. The server is the member r of the roster, which
// must watch the server's queues and may be served once. While Redis does not
// answer Serve waits, also at its start. The connection stays the caller's.
func Serve(
	ctx context.Context, rdb redis.UniversalClient, cfg asynq.Config, h asynq.Handler, r *roster.Roster, stopping func(),
) error {
	cfg.TaskCheckInterval = checkInterval
	cfg.DelayedTaskCheckInterval = delayedCheckInterval
	if cfg.Logger == nil {
		cfg.Logger = discard{}
	}
	// Before the first task: what a worker has that nobody knows is taken from it.
	if !announced(ctx, r, cfg.Logger) {
		if stopping != nil {
			stopping()
		}
		return nil
	}
	defer leave(ctx, r)
	srv := asynq.NewServerFromRedisClient(rdb, cfg)
	if err := srv.Start(inHand(r, h)); err != nil {
		return fmt.Errorf("start asynq server: %w", err)
	}
	stopRoster := runRoster(ctx, r)
	defer stopRoster()
	<-ctx.Done()
	// No new tasks are taken from here on.
	srv.Stop()
	if stopping != nil {
		stopping()
	}
	srv.Shutdown()
	return nil
}

// announced announces the member until Redis takes it, and tells whether it
// has: false means that ctx ended first.
func announced(ctx context.Context, r *roster.Roster, log asynq.Logger) bool {
	ticker := time.NewTicker(announceInterval)
	defer ticker.Stop()
	for failing := false; ; {
		err := announce(ctx, r)
		if err == nil {
			return true
		}
		if !failing && ctx.Err() == nil {
			log.Error("waiting for Redis: ", err)
			failing = true
		}
		select {
		case <-ctx.Done():
			return false
		case <-ticker.C:
		}
	}
}

func announce(ctx context.Context, r *roster.Roster) error {
	ctx, cancel := context.WithTimeout(ctx, announceTimeout)
	defer cancel()
	return r.Announce(ctx)
}

// inHand has a task in the member's hands for as long as its handler runs,
// also after asynq has given up on the handler.
func inHand(r *roster.Roster, h asynq.Handler) asynq.Handler {
	return asynq.HandlerFunc(func(ctx context.Context, t *asynq.Task) error {
		id, _ := asynq.GetTaskID(ctx)
		queue, _ := asynq.GetQueueName(ctx)
		defer r.Hold(queue, id)()
		return h.ProcessTask(ctx, t)
	})
}

// runRoster keeps the member on the roster, also while its last tasks finish,
// until stop is called, which waits for its end.
func runRoster(ctx context.Context, r *roster.Roster) (stop func()) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	var running sync.WaitGroup
	running.Go(func() { r.Run(ctx) })
	return func() {
		cancel()
		running.Wait()
	}
}

func leave(ctx context.Context, r *roster.Roster) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), leaveTimeout)
	defer cancel()
	// Where it fails, the others find the member gone a little later.
	_ = r.Leave(ctx)
}

// discard keeps asynq from writing to standard error by itself.
type discard struct{}

func (discard) Debug(...any) {}
func (discard) Info(...any)  {}
func (discard) Warn(...any)  {}
func (discard) Error(...any) {}
func (discard) Fatal(...any) {}
