package doctor

import (
	"context"
	"fmt"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"github.com/intercom-dispatch/intercom-dispatch/internal/task"
	"github.com/intercom-dispatch/intercom-dispatch/ledger"
)

// slowQueue is how long a task that could be worked on may wait.
const slowQueue = time.Minute

func (e *examination) queues(ctx context.Context) []finding {
	// asynq's inspector takes no context, so its commands get the check's from
	// a client of their own.
	rdb := e.Redis.NewClient()
	defer func() { _ = rdb.Close() }() // Nothing was written that could be lost.
	rdb.AddHook(bound{ctx})
	inspector := asynq.NewInspectorFromRedisClient(rdb)
	known, err := inspector.Queues()
	if err != nil {
		return []finding{e.unreachable(ctx, err)}
	}
	var all []finding
	for _, q := range e.queueNames() {
		if !slices.Contains(known, q.full) {
			continue // A queue is there from its first task on.
		}
		info, err := inspector.GetQueueInfo(q.full)
		if err != nil {
			return append(all, e.unreachable(ctx, err))
		}
		all = append(all, e.queue(q.short, info))
	}
	if len(all) == 0 {
		return []finding{ok("there are none yet: nothing was enqueued in workspace %q", e.Workspace)}
	}
	return all
}

type queueName struct{ short, full string }

func (e *examination) queueNames() []queueName {
	var all []queueName
	for _, p := range task.Priorities() {
		all = append(all, queueName{p, task.Queue(e.Workspace, p)})
	}
	return append(all, queueName{"notifications", task.NotificationQueue(e.Workspace)})
}

func (e *examination) queue(name string, q *asynq.QueueInfo) finding {
	found := fmt.Sprintf("%s: %d pending, %d active, %d scheduled, %d retry, %d archived",
		name, q.Pending, q.Active, q.Scheduled, q.Retry, q.Archived)
	switch {
	case q.Paused && e.onHold:
		return warn(found+", PAUSED", "It goes on when the workspace is not on hold any more, unless somebody has paused it besides.")
	case q.Paused:
		return warn(found+", PAUSED", fmt.Sprintf("Nothing of the queue %s is worked on: resume it in the web UI (intercom-dispatch monitor).", name))
	case q.Pending > 0 && q.Latency > slowQueue:
		return warn(fmt.Sprintf("%s, the oldest pending for %s", found, q.Latency.Round(time.Second)),
			fmt.Sprintf("The queue %s is not worked on fast enough: is a worker of workspace %q running, and is the rate limit used up?", name, e.Workspace))
	}
	return ok("%s", found)
}

// messages counts those that may need a person.
func (e *examination) messages(ctx context.Context) []finding {
	l, err := ledger.New(e.rdb, e.Workspace, e.RecordTTL)
	if err != nil {
		return []finding{fail(err.Error(), "Check --record-ttl.")}
	}
	var found, commands []string
	for _, state := range []ledger.State{ledger.Failed, ledger.Held, ledger.Uncertain} {
		n, err := l.Count(ctx, state)
		if err != nil {
			return []finding{e.unreachable(ctx, err)}
		}
		found = append(found, fmt.Sprintf("%d %s", n, state))
		if n > 0 && state != ledger.Uncertain { // An uncertain one is dealt with by its policy.
			commands = append(commands, e.listCommand(state))
		}
	}
	told := strings.Join(found, ", ")
	if len(commands) > 0 {
		return []finding{warn(told, "They were not delivered, or may not have been. List them: "+strings.Join(commands, "; "))}
	}
	return []finding{ok("%s", told)}
}

func (e *examination) listCommand(s ledger.State) string {
	command := "intercom-dispatch message list --state " + string(s)
	if e.Workspace != ledger.DefaultWorkspace {
		command += " --workspace " + e.Workspace
	}
	return command
}

// bound gives every command of a client a context of its own.
type bound struct {
	ctx context.Context //nolint:containedctx // The client lives no longer than it.
}

func (b bound) DialHook(next redis.DialHook) redis.DialHook {
	return func(_ context.Context, network, addr string) (net.Conn, error) { return next(b.ctx, network, addr) }
}

func (b bound) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(_ context.Context, cmd redis.Cmder) error { return next(b.ctx, cmd) }
}

func (b bound) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(_ context.Context, cmds []redis.Cmder) error { return next(b.ctx, cmds) }
}
