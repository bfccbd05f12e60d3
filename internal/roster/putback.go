package roster

import (
	"context"
	"fmt"
	"slices"
	"strconv"

	"github.com/redis/go-redis/v9"
)

// Active is a task that was dequeued.
type Active struct {
	ID string
	// Lease is the end of the lease that it was given then, Unix seconds.
	Lease int64
}

// once is a command that go-redis does not send again when the connection
// breaks. Leases are whole seconds: a task that was put back and taken again
// in the same one would be taken from its new worker.
type once struct{ *redis.Cmd }

// NoRetry implements redis.Cmder.
func (once) NoRetry() bool { return true }

// PutBack makes tasks pending again that were dequeued and did not begin, as
// the next to be taken and in the order in which they are given, which is that
// in which they were dequeued. Tasks whose lease is another by now are left
// alone. Where it returns an error some may still be active; once nobody has
// them in hand, the members put them back.
func (r *Roster) PutBack(ctx context.Context, queue string, tasks []Active) error {
	pipe := r.cfg.Redis.Pipeline()
	now := r.cfg.Now().UnixNano()
	var cmds []once
	for _, task := range slices.Backward(tasks) {
		cmd := once{redis.NewCmd(ctx, "eval", putBackSource, 4, activeKey(queue), leaseKey(queue), pendingKey(queue),
			taskKey(queue, task.ID), task.ID, strconv.FormatInt(task.Lease, 10), now)}
		cmds = append(cmds, cmd)
		_ = pipe.Process(ctx, cmd)
	}
	_, _ = pipe.Exec(ctx) // Each command has its own error.
	for _, cmd := range cmds {
		if err := cmd.Err(); err != nil {
			return fmt.Errorf("put tasks of %s back: %w", queue, err)
		}
	}
	return nil
}
