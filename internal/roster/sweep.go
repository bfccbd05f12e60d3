package roster

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
	"go.uber.org/zap"

	"github.com/intercom-dispatch/intercom-dispatch/ledger"
)

// The bounds of one pass over one queue. Redis works on a step for about as
// long as on a script of asynq's.
const (
	sweepStep  = 500
	sweepSteps = 1000
	sweepMost  = 100
	sweepPause = 10 * time.Millisecond
	// sweepTurns is how often in Config.SweepEvery a member asks for the turn:
	// more than once, because it may ask just before the last turn is over.
	sweepTurns = 4
	// cursorTTL is how long it is remembered where a pass has stopped.
	cursorTTL = 24 * time.Hour
)

// sweeper looks for tasks that asynq has in none of its lists.
type sweeper struct {
	*Roster
	// step is how many keys Redis looks at for one SCAN.
	step int64
	// A pass ends after so many steps, or where so many tasks were found. The
	// next one, of whichever member, goes on from there.
	steps, most int
	// pause lies between two steps.
	pause time.Duration
	// again lies between the two looks at a task: long enough for members to
	// say that they have it in hand.
	again time.Duration
}

func newSweeper(r *Roster) *sweeper {
	return &sweeper{
		Roster: r, step: sweepStep, steps: sweepSteps, most: sweepMost, pause: sweepPause,
		again: maxGap * r.cfg.Interval,
	}
}

// startSweeps looks for lost tasks until ctx ends. wait waits for that.
func (r *Roster) startSweeps(ctx context.Context) (wait func()) {
	var running sync.WaitGroup
	running.Go(func() { newSweeper(r).run(ctx) })
	return running.Wait
}

func (s *sweeper) run(ctx context.Context) {
	ticker := time.NewTicker(s.cfg.SweepEvery / sweepTurns)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		var failed error
		for _, queue := range s.cfg.Queues {
			failed = errors.Join(failed, s.sweep(ctx, queue))
		}
		if failed != nil && ctx.Err() == nil {
			s.log.Warn("cannot look for tasks that asynq has lost", zap.Error(failed))
		}
	}
}

// sweepKey is in the slot of the workspace.
func (s *sweeper) sweepKey(queue, what string) string {
	return ledger.WorkersKey(s.cfg.Workspace) + ":" + what + ":" + queue
}

// sweep makes one pass over a queue, if it is this member's turn. Whoever dies
// in its turn is followed by the next one when the turn is over.
func (s *sweeper) sweep(ctx context.Context, queue string) error {
	taken, err := s.cfg.Redis.SetNX(ctx, s.sweepKey(queue, "sweep"), s.id, s.cfg.SweepEvery).Result()
	if err != nil {
		return fmt.Errorf("take the turn at %s: %w", queue, err)
	}
	if !taken {
		return nil
	}
	found, err := s.find(ctx, queue)
	if err != nil || len(found) == 0 {
		return err
	}
	if !wait(ctx, s.again) {
		return nil
	}
	return s.takeUp(ctx, queue, found)
}

// find returns the tasks of the queue that looked lost when it came by, some
// perhaps twice.
func (s *sweeper) find(ctx context.Context, queue string) ([]string, error) {
	node, err := s.node(ctx, queue)
	if err != nil {
		return nil, err
	}
	cursorKey := s.sweepKey(queue, "cursor")
	cursor, err := s.cfg.Redis.Get(ctx, cursorKey).Uint64()
	if err != nil && !errors.Is(err, redis.Nil) {
		return nil, fmt.Errorf("read where the last pass stopped: %w", err)
	}
	var found []string
	for range s.steps {
		// Names of queues have no characters that a pattern would take for its own.
		keys, next, err := node.Scan(ctx, cursor, taskKey(queue, "*"), s.step).Result()
		if err != nil {
			return nil, fmt.Errorf("scan the tasks of %s: %w", queue, err)
		}
		lost, err := s.look(ctx, queue, keys)
		if err != nil {
			return nil, err
		}
		found, cursor = append(found, lost...), next
		if cursor == 0 || len(found) >= s.most || !wait(ctx, s.pause) {
			break
		}
	}
	if err := s.cfg.Redis.Set(ctx, cursorKey, cursor, cursorTTL).Err(); err != nil {
		return nil, fmt.Errorf("write where the pass stopped: %w", err)
	}
	return found, nil
}

// node returns the server that has the queue's keys, which SCAN has to be
// sent to. After a failover a cursor means little to the new one; what it
// passes over is found in the round after.
func (s *sweeper) node(ctx context.Context, queue string) (redis.Cmdable, error) {
	cluster, ok := s.cfg.Redis.(interface {
		MasterForKey(ctx context.Context, key string) (*redis.Client, error)
	})
	if !ok {
		return s.cfg.Redis, nil
	}
	node, err := cluster.MasterForKey(ctx, activeKey(queue))
	if err != nil {
		return nil, fmt.Errorf("find the server of %s: %w", queue, err)
	}
	return node, nil
}

// look returns the ids of those tasks that are in the state active, but not in
// the list of the active. Only those can be lost (see the package comment), so
// no list has to be searched that may be long. It reads the states first: a
// task that becomes active meanwhile is not taken for lost.
func (s *sweeper) look(ctx context.Context, queue string, keys []string) ([]string, error) {
	pipe := s.cfg.Redis.Pipeline()
	states := make([]*redis.StringCmd, len(keys))
	for i, key := range keys {
		states[i] = pipe.HGet(ctx, key, "state")
	}
	if _, err := pipe.Exec(ctx); err != nil && !errors.Is(err, redis.Nil) {
		return nil, fmt.Errorf("read the states of tasks of %s: %w", queue, err)
	}
	found := map[string]bool{}
	for i, key := range keys {
		if states[i].Val() == "active" {
			found[strings.TrimPrefix(key, taskKey(queue, ""))] = true
		}
	}
	if len(found) == 0 {
		return nil, nil
	}
	active, err := s.cfg.Redis.LRange(ctx, activeKey(queue), 0, -1).Result()
	if err != nil {
		return nil, fmt.Errorf("read the active tasks of %s: %w", queue, err)
	}
	for _, id := range active {
		delete(found, id)
	}
	return slices.Collect(maps.Keys(found)), nil
}

// takeUp is the second look. What somebody has in hand waits for the next
// pass: it would run twice at a time.
func (s *sweeper) takeUp(ctx context.Context, queue string, ids []string) error {
	members, err := Members(ctx, s.cfg.Redis, s.cfg.Workspace)
	if err != nil {
		return err
	}
	held := map[string]bool{}
	for _, m := range members {
		for _, h := range m.Hands {
			held[h] = true
		}
	}
	var failed error
	for _, id := range ids {
		if h := hand(queue, id); !held[h] && !s.hands.has(h) {
			failed = errors.Join(failed, s.takeUpTask(ctx, queue, id))
		}
	}
	return failed
}

func (s *sweeper) takeUpTask(ctx context.Context, queue, id string) error {
	done, err := takeUpScript.Run(ctx, s.cfg.Redis, takeUpKeys(queue, id), id, s.cfg.Now().UnixNano()).Int()
	if err != nil {
		return fmt.Errorf("take %s up: %w", hand(queue, id), err)
	}
	if done == 1 {
		s.log.Warn("task is pending again", zap.String("key", id), zap.String("queue", queue),
			zap.String("reason", "asynq had it in none of its lists"))
	}
	return nil
}

// wait tells whether ctx is still alive after d.
func wait(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}
