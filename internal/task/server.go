package task

import (
	"context"
	"fmt"
	"runtime"
	"sync"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"github.com/intercom-dispatch/intercom-dispatch/internal/fetch"
	"github.com/intercom-dispatch/intercom-dispatch/internal/roster"
)

const (
	// checkInterval is how long asynq sleeps after a call that found nothing.
	// Such a call has waited long enough before.
	checkInterval = 2 * time.Millisecond
	// plainCheckInterval is the same where asynq looks for work by itself. Its
	// own default, 1 s, would make messages late; this costs an idle worker
	// some 100 Redis commands a second.
	plainCheckInterval = 100 * time.Millisecond
	// delayedCheckInterval is how often asynq looks for delayed tasks, where
	// its default is 5 s.
	delayedCheckInterval = 200 * time.Millisecond
)

const (
	announceInterval = time.Second
	announceTimeout  = 2 * time.Second
	// leaveTimeout bounds the last word to the other workers. Without it they
	// notice by themselves.
	leaveTimeout = 2 * time.Second
)

// Server is an asynq server as Serve runs it.
type Server struct {
	// Redis is the connection. Required; stays the caller's to close.
	Redis redis.UniversalClient
	// Scripts runs asynq's scripts but for those that fetch tasks, on the same
	// Redis. It is Redis if nil.
	Scripts redis.Scripter
	// Asynq is the server's own configuration. Serve sets how often it looks
	// for tasks.
	Asynq asynq.Config
	// Handler runs the tasks. Required.
	Handler asynq.Handler
	// Roster is the server's member of the roster, which must watch the
	// server's queues and may be served once. Required.
	Roster *roster.Roster
	// First is the queue whose tasks come before all others, and for which an
	// eighth of the server's concurrency is added; empty for none.
	First string
	// Plain leaves fetching tasks to asynq: one at a time, looked for at
	// intervals, and all queues by their weights.
	Plain bool
	// Stopping, if not nil, is called when no more tasks are taken, before
	// those under way are waited for.
	Stopping func()
}

// Serve runs the server until ctx ends, and then lets the tasks under way
// finish for at most Asynq.ShutdownTimeout. While Redis does not answer it
// waits, also at its start.
func (s Server) Serve(ctx context.Context) error {
	if s.Asynq.Logger == nil {
		s.Asynq.Logger = discard{}
	}
	if s.Stopping == nil {
		s.Stopping = func() {}
	}
	// Before the first task: what a worker has that nobody knows is taken from it.
	if !announced(ctx, s.Roster, s.Asynq.Logger) {
		s.Stopping()
		return nil
	}
	defer leave(ctx, s.Roster)
	if s.Plain {
		return s.servePlainly(ctx)
	}
	return s.serveFetched(ctx)
}

func (s Server) servePlainly(ctx context.Context) error {
	return s.run(ctx, s.Redis, inHand(s.Roster, s.Handler), plainCheckInterval, func() {})
}

func (s Server) serveFetched(ctx context.Context) error {
	if s.Asynq.Concurrency < 1 {
		s.Asynq.Concurrency = runtime.NumCPU() // As asynq does.
	}
	cfg := fetch.Config{
		Redis: s.Redis, Scripts: s.Scripts, Queues: s.Asynq.Queues, First: s.First, Concurrency: s.Asynq.Concurrency,
		Member: s.Roster, Log: s.Asynq.Logger,
	}
	s.Asynq.Concurrency = cfg.Handlers()
	f, err := fetch.New(cfg)
	if err != nil {
		return fmt.Errorf("serve tasks: %w", err)
	}
	fetching, stop := context.WithCancel(ctx)
	var running sync.WaitGroup
	defer running.Wait()
	defer stop()
	running.Go(func() { f.Run(fetching) })
	return s.run(ctx, f, f.Handler(s.Handler), checkInterval, func() {
		if err := f.PutBack(context.WithoutCancel(ctx)); err != nil {
			s.Asynq.Logger.Warn("the other workers put tasks back that did not begin: ", err)
		}
	})
}

// run runs asynq's server. stopped is called when it takes no more tasks.
func (s Server) run(
	ctx context.Context, rdb redis.UniversalClient, h asynq.Handler, interval time.Duration, stopped func(),
) error {
	s.Asynq.TaskCheckInterval = interval
	s.Asynq.DelayedTaskCheckInterval = delayedCheckInterval
	srv := asynq.NewServerFromRedisClient(rdb, s.Asynq)
	if err := srv.Start(h); err != nil {
		return fmt.Errorf("start asynq server: %w", err)
	}
	defer runRoster(ctx, s.Roster)()
	<-ctx.Done()
	// No new tasks are taken from here on.
	srv.Stop()
	stopped()
	s.Stopping()
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
