package intercomtest

import (
	"context"
	"fmt"
	"slices"
	"time"
)

// HeldNotification is a notification that waits for its release.
type HeldNotification struct {
	ID        string    `json:"id"`
	Topic     string    `json:"topic"`
	CreatedAt time.Time `json:"created_at"`
}

// HoldNotifications keeps notifications back from now on, until Release, or lets
// them go at once again. Those that are held already stay.
func (s *Server) HoldNotifications(hold bool) {
	s.webhooks.mu.Lock()
	defer s.webhooks.mu.Unlock()
	s.webhooks.holding = hold
}

// Held returns the notifications that are held back, the oldest first.
func (s *Server) Held() []HeldNotification {
	s.webhooks.mu.Lock()
	defer s.webhooks.mu.Unlock()
	held := make([]HeldNotification, 0, len(s.webhooks.held))
	for _, n := range s.webhooks.held {
		held = append(held, HeldNotification{ID: n.id, Topic: n.topic, CreatedAt: n.createdAt})
	}
	return held
}

// Release queues the held notifications with these ids for delivery, in this
// order; without ids it queues all, the oldest first. With more than one delivery
// at a time the order is that in which they begin. It returns ErrNotFound, and
// releases none, if one of them is not held. If ctx ends while the queue is full
// it returns an error, and those that are not queued stay held.
func (s *Server) Release(ctx context.Context, ids ...string) error {
	chosen, err := s.webhooks.takeHeld(ids)
	if err != nil {
		return err
	}
	for i, n := range chosen {
		if err := s.webhooks.push(ctx, n); err != nil {
			s.webhooks.hold(chosen[i:]...)
			return fmt.Errorf("intercomtest: release of notification %s: %w", n.id, err)
		}
	}
	return nil
}

// takeHeld removes the notifications from those that are held.
func (w *webhooks) takeHeld(ids []string) ([]*notification, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.ctx.Err() != nil {
		return nil, errClosed
	}
	if len(ids) == 0 {
		all := w.held
		w.held = nil
		return all, nil
	}
	rest := slices.Clone(w.held)
	var chosen []*notification
	for _, id := range ids {
		i := slices.IndexFunc(rest, func(n *notification) bool { return n.id == id })
		if i < 0 {
			return nil, fmt.Errorf("%w: held notification %q", ErrNotFound, id)
		}
		chosen = append(chosen, rest[i])
		rest = slices.Delete(rest, i, i+1)
	}
	w.held = rest
	return chosen, nil
}

func (w *webhooks) hold(list ...*notification) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.held = append(w.held, list...)
}
