package roster

import (
	"context"
	"crypto/rand"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/intercom-dispatch/intercom-dispatch/ledger"
)

// Roster is one member, and its view of the others. ID and Hold are safe for
// concurrent use; Announce, Run and Leave are called one after the other.
type Roster struct {
	cfg     Config
	log     *zap.Logger
	id      string
	host    string
	started time.Time
	seq     atomic.Int64
	hands   hands
}

// New returns a member that Redis does not know yet. Its error names the field
// of the configuration.
func New(cfg Config) (*Roster, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, fmt.Errorf("roster: %w", err)
	}
	host, err := os.Hostname()
	if err != nil {
		host = "unknown" // It is only there for people to read.
	}
	id := rand.Text()
	return &Roster{
		cfg: cfg, id: id, host: host, started: cfg.Now(), hands: hands{counts: map[string]int{}},
		log: cfg.Log.With(zap.String("workspace", cfg.Workspace), zap.String("worker", id)),
	}, nil
}

// ID returns the member's id, its field in ledger.WorkersKey.
func (r *Roster) ID() string { return r.id }

// Hold says that the task is in hand until release is called, which may be
// called more than once. It stays in memory: others learn it with the next
// announcement. Where a task is held twice, as when asynq runs it again after
// giving up on a handler that goes on, both have to release it.
func (r *Roster) Hold(queue, taskID string) (release func()) {
	h := hand(queue, taskID)
	r.hands.take(h)
	return sync.OnceFunc(func() { r.hands.drop(h) })
}

// Announce tells the others that the member is there, and what it has in hand.
// Before the first task is taken it must have succeeded once.
func (r *Roster) Announce(ctx context.Context) error {
	m := Member{
		Seq: r.seq.Add(1), Host: r.host, PID: os.Getpid(), Started: r.started.UTC(), Hands: r.hands.list(),
	}
	value, err := m.encode()
	if err != nil {
		return err
	}
	if err := r.cfg.Redis.HSet(ctx, ledger.WorkersKey(r.cfg.Workspace), r.id, value).Err(); err != nil {
		return fmt.Errorf("announce worker: %w", err)
	}
	return nil
}

// Leave tells the others that the member is gone. It is for the end, after Run
// has returned. While tasks are in hand it only logs how many: their attempts
// may be under way, so the others have to find out for themselves, after
// Config.DeadAfter. They also do where Leave returns an error.
func (r *Roster) Leave(ctx context.Context) error {
	if n := len(r.hands.list()); n > 0 {
		r.log.Warn("worker ends with tasks in hand", zap.Int("tasks", n))
		return nil
	}
	if err := r.cfg.Redis.HDel(ctx, ledger.WorkersKey(r.cfg.Workspace), r.id).Err(); err != nil {
		return fmt.Errorf("leave the roster: %w", err)
	}
	return nil
}

// Run announces the member and watches the others and the queues until ctx
// ends. While Redis does not answer it logs that once and tries again.
func (r *Roster) Run(ctx context.Context) {
	defer r.startSweeps(ctx)()
	ticker := time.NewTicker(r.cfg.Interval)
	defer ticker.Stop()
	w := newWatch(r.cfg.Interval, r.cfg.DeadAfter)
	failing := false
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		err := r.tick(ctx, w)
		if ctx.Err() != nil {
			return
		}
		switch {
		case err != nil && !failing:
			r.log.Warn("the workers' roster cannot be kept", zap.Error(err))
		case err == nil && failing:
			r.log.Info("the workers' roster is kept again")
		}
		failing = err != nil
	}
}
