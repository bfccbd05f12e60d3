package roster

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"

	"github.com/redis/go-redis/v9"

	"github.com/intercom-dispatch/intercom-dispatch/ledger"
)

// InHand tells whether a member has the task in hand: for the roster's own
// member, whether another run of the task than the caller's has it; for
// others, as of their last announcement. A member that is gone has nothing.
func (r *Roster) InHand(ctx context.Context, member, queue, taskID string) (bool, error) {
	h := hand(queue, taskID)
	if member == r.id {
		return r.hands.count(h) > 1, nil
	}
	value, err := r.cfg.Redis.HGet(ctx, ledger.WorkersKey(r.cfg.Workspace), member).Result()
	if errors.Is(err, redis.Nil) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("read worker %s: %w", member, err)
	}
	m, err := decode(member, value)
	if err != nil {
		return false, err
	}
	return slices.Contains(m.Hands, h), nil
}

// hands counts what is in hand.
type hands struct {
	mu     sync.Mutex
	counts map[string]int
}

func (h *hands) take(name string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.counts[name]++
}

func (h *hands) drop(name string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.counts[name]--; h.counts[name] == 0 {
		delete(h.counts, name)
	}
}

func (h *hands) has(name string) bool { return h.count(name) > 0 }

// count is how many runs of the task there are.
func (h *hands) count(name string) int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.counts[name]
}

// list is never nil, which would be written as null.
func (h *hands) list() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.AppendSeq(make([]string, 0, len(h.counts)), maps.Keys(h.counts))
}
