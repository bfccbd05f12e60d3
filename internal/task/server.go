package task

import (
	"context"
	"fmt"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"
)

// How often a server looks for work. asynq's own defaults, 1 s for queues that
// were empty and 5 s for delayed tasks, would make messages late; these cost
// an idle worker some 100 Redis commands a second.
const (
	checkInterval        = 100 * time.Millisecond
	delayedCheckInterval = 200 * time.Millisecond
)

// Serve runs an asynq server until ctx ends, and then lets the tasks under way
// finish for at most cfg.ShutdownTimeout. stopping, if not nil, is called
// before it waits for them. The connection stays the caller's.
func Serve(ctx context.Context, rdb redis.UniversalClient, cfg asynq.Config, h asynq.Handler, stopping func()) error {
	cfg.TaskCheckInterval = checkInterval
	cfg.DelayedTaskCheckInterval = delayedCheckInterval
	if cfg.Logger == nil {
		cfg.Logger = discard{}
	}
	srv := asynq.NewServerFromRedisClient(rdb, cfg)
	if err := srv.Start(h); err != nil {
		return fmt.Errorf("start asynq server: %w", err)
	}
	<-ctx.Done()
	// No new tasks are taken from here on.
	srv.Stop()
	if stopping != nil {
		stopping()
	}
	srv.Shutdown()
	return nil
}

// discard keeps asynq from writing to standard error by itself.
type discard struct{}

func (discard) Debug(...any) {}
func (discard) Info(...any)  {}
func (discard) Warn(...any)  {}
func (discard) Error(...any) {}
func (discard) Fatal(...any) {}
