package roster

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"
	"go.uber.org/zap"

	"github.com/intercom-dispatch/intercom-dispatch/ledger"
)

// asynqLease is how far ahead asynq v0.26.0 sets the end of a lease
// (rdb.LeaseDuration).
const asynqLease = 30 * time.Second

// tick announces the member, looks around once and acts on it. It counts as
// an observation only if its own field was written: where Redis takes no
// writes but answers reads, everybody falls silent.
func (r *Roster) tick(ctx context.Context, w *watch) error {
	began := r.cfg.Now()
	s, err := r.observe(ctx)
	if err != nil {
		return err
	}
	w.look(began, r.cfg.Now(), s.members)
	return r.bounded(ctx, func(ctx context.Context) error { return r.act(ctx, w, s) })
}

// act may end half way: the next tick finds the rest.
func (r *Roster) act(ctx context.Context, w *watch, s *snapshot) error {
	err := r.removeDead(ctx, w)
	for _, lost := range w.lost(s.active, r.hands.has) {
		err = errors.Join(err, r.putBack(ctx, lost))
	}
	return errors.Join(err, r.restoreLeases(ctx, s.active))
}

func (r *Roster) observe(ctx context.Context) (*snapshot, error) {
	if err := r.bounded(ctx, r.Announce); err != nil {
		return nil, err
	}
	var s *snapshot
	err := r.bounded(ctx, func(ctx context.Context) (err error) {
		s, err = r.read(ctx)
		return err
	})
	return s, err
}

// bounded keeps a connection that hangs from making the member silent for
// so long that others take it for dead: the next tick has another one.
func (r *Roster) bounded(ctx context.Context, f func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, r.cfg.DeadAfter/4)
	defer cancel()
	return f(ctx)
}

// read asks for the active tasks before the leases, and for the members last:
// what was taken in hand meanwhile is not suspected.
func (r *Roster) read(ctx context.Context) (*snapshot, error) {
	pipe := r.cfg.Redis.Pipeline()
	active := make([]*redis.StringSliceCmd, len(r.cfg.Queues))
	leases := make([]*redis.ZSliceCmd, len(r.cfg.Queues))
	for i, queue := range r.cfg.Queues {
		active[i] = pipe.LRange(ctx, activeKey(queue), 0, -1)
		leases[i] = pipe.ZRangeWithScores(ctx, leaseKey(queue), 0, -1)
	}
	members := pipe.HGetAll(ctx, ledger.WorkersKey(r.cfg.Workspace))
	if _, err := pipe.Exec(ctx); err != nil {
		return nil, fmt.Errorf("read queues and members: %w", err)
	}
	s := &snapshot{active: make(map[string]map[string]string, len(active)), members: members.Val()}
	delete(s.members, r.id)
	for i, queue := range r.cfg.Queues {
		s.active[queue] = withLeases(active[i].Val(), leases[i].Val())
	}
	return s, nil
}

func withLeases(ids []string, leases []redis.Z) map[string]string {
	tasks := make(map[string]string, len(ids))
	for _, id := range ids {
		tasks[id] = noLease
	}
	for _, z := range leases {
		id, _ := z.Member.(string)
		if _, active := tasks[id]; active {
			tasks[id] = leaseText(z.Score)
		}
	}
	return tasks
}

func (r *Roster) removeDead(ctx context.Context, w *watch) error {
	var failed error
	for _, m := range w.dead() {
		removed, err := removeScript.Run(ctx, r.cfg.Redis,
			[]string{ledger.WorkersKey(r.cfg.Workspace)}, m.id, m.value).Int()
		if err != nil {
			failed = errors.Join(failed, fmt.Errorf("remove worker %s: %w", m.id, err))
			continue
		}
		if removed == 0 {
			continue // It has come back, or another observer was first.
		}
		w.forget(m)
		log := r.log.With(zap.String("gone", m.id), zap.Duration("silent", w.silent(m)))
		if m.member != nil {
			log = log.With(zap.String("host", m.member.Host), zap.Int("pid", m.member.PID), zap.Int("tasks", len(m.member.Hands)))
		}
		log.Warn("a worker is gone")
	}
	return failed
}

func (r *Roster) putBack(ctx context.Context, s *suspect) error {
	if r.hands.has(hand(s.queue, s.id)) {
		return nil // It was taken in hand since.
	}
	done, err := putBackScript.Run(ctx, r.cfg.Redis,
		[]string{activeKey(s.queue), leaseKey(s.queue), pendingKey(s.queue), taskKey(s.queue, s.id)},
		s.id, s.lease, r.cfg.Now().UnixNano()).Int()
	if err != nil {
		return fmt.Errorf("put %s back: %w", hand(s.queue, s.id), err)
	}
	log := r.log.With(zap.String("key", s.id), zap.String("queue", s.queue), zap.String("reason", s.reason()))
	if s.holder != "" {
		log = log.With(zap.String("gone", s.holder))
	}
	switch done {
	case wasPutBack:
		log.Warn("task is pending again")
	case wasRemoved:
		log.Warn("removed an active task whose message asynq has deleted")
	}
	return nil
}

func (s *suspect) reason() string {
	switch {
	case s.holder != "":
		return "its worker is gone"
	case s.lease == noLease:
		return "no worker has it, nor has it a lease"
	}
	return "no worker has it"
}

func (r *Roster) restoreLeases(ctx context.Context, active map[string]map[string]string) error {
	var failed error
	for queue, tasks := range active {
		for id, lease := range tasks {
			if lease == noLease && r.hands.has(hand(queue, id)) {
				failed = errors.Join(failed, r.restoreLease(ctx, queue, id))
			}
		}
	}
	return failed
}

func (r *Roster) restoreLease(ctx context.Context, queue, id string) error {
	restored, err := restoreLeaseScript.Run(ctx, r.cfg.Redis, []string{activeKey(queue), leaseKey(queue)},
		id, r.cfg.Now().Add(asynqLease).Unix()).Int()
	if err != nil {
		return fmt.Errorf("restore the lease of %s: %w", hand(queue, id), err)
	}
	if restored == 1 {
		r.log.Warn("the lease of a task in hand was lost and is restored", zap.String("key", id), zap.String("queue", queue))
	}
	return nil
}
