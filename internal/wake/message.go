package wake

import (
	"context"
	"fmt"
	"slices"

	"github.com/redis/go-redis/v9"

	"github.com/intercom-dispatch/intercom-dispatch/internal/task"
	"github.com/intercom-dispatch/intercom-dispatch/ledger"
)

// Messages wakes what waits in one workspace. It is safe for concurrent use.
type Messages struct {
	*Waker

	ledger *ledger.Ledger
}

// NewMessages returns what wakes the messages of the ledger's workspace.
func NewMessages(w *Waker, l *ledger.Ledger) *Messages { return &Messages{Waker: w, ledger: l} }

// Contact wakes the messages that wait for a contact, which is there or may be,
// but for the one with the key except. It returns how many were woken.
func (m *Messages) Contact(ctx context.Context, contactID, except string) (int, error) {
	waiting, err := m.ledger.Appeared(ctx, contactID)
	if err != nil {
		return 0, err
	}
	waiting = slices.DeleteFunc(waiting, func(w ledger.WaitingMessage) bool { return w.Key == except })
	return m.Wake(ctx, m.tasks(waiting)...)
}

// probers is how many messages are woken to ask for a contact: the first of them
// may have ended.
const probers = 3

// Probe wakes some messages that wait for a contact, of which the first to begin
// asks for it.
func (m *Messages) Probe(ctx context.Context, contactID string) error {
	waiting, err := m.ledger.Waiting(ctx, contactID, probers)
	if err != nil {
		return err
	}
	_, err = m.Wake(ctx, m.tasks(waiting)...)
	return err
}

func (m *Messages) tasks(waiting []ledger.WaitingMessage) []Task {
	tasks := make([]Task, len(waiting))
	for i, w := range waiting {
		tasks[i] = Task{Queue: task.Queue(m.ledger.Workspace(), w.Priority), ID: w.Key}
	}
	return tasks
}

// Next lets the messages behind a message in its order go if it is done, and wakes
// the one whose turn it is.
func (m *Messages) Next(ctx context.Context, orderKey, key string, passHeld bool) error {
	if orderKey == "" {
		return nil
	}
	first, err := m.ledger.Pass(ctx, orderKey, key, passHeld)
	if err != nil {
		return err
	}
	return m.first(ctx, first, key)
}

func (m *Messages) first(ctx context.Context, first, before string) error {
	if first == "" || first == before {
		return nil
	}
	_, err := m.Wake(ctx, m.anyPriority(first)...)
	return err
}

// anyPriority returns the tasks that a message may have: an order knows no
// priorities.
func (m *Messages) anyPriority(key string) []Task {
	var tasks []Task
	for _, p := range task.Priorities() {
		tasks = append(tasks, Task{Queue: task.Queue(m.ledger.Workspace(), p), ID: key})
	}
	return tasks
}

// NextLost is Next for the first message of a turn, of which asynq has no task any
// more.
func (m *Messages) NextLost(ctx context.Context, orderKey string, t ledger.Turn) error {
	first, err := m.ledger.PassLost(ctx, orderKey, t)
	if err != nil {
		return err
	}
	return m.first(ctx, first, t.First)
}

// Exists tells whether asynq has a task of a message.
func (m *Messages) Exists(ctx context.Context, key string) (bool, error) {
	var found []*redis.BoolCmd
	_, err := m.rdb.Pipelined(ctx, func(p redis.Pipeliner) error {
		for _, t := range m.anyPriority(key) {
			found = append(found, p.HExists(ctx, t.taskKey(), "msg"))
		}
		return nil
	})
	if err != nil {
		return false, fmt.Errorf("look for the task of %q: %w", key, err)
	}
	return slices.ContainsFunc(found, (*redis.BoolCmd).Val), nil
}

// Parked wakes the notifications that wait for a message id, which was recorded.
func (m *Messages) Parked(ctx context.Context, messageID string) error {
	parked, err := m.ledger.Unpark(ctx, messageID)
	if err != nil || len(parked) == 0 {
		return err
	}
	tasks := make([]Task, len(parked))
	for i, id := range parked {
		tasks[i] = Task{Queue: task.NotificationQueue(m.ledger.Workspace()), ID: id}
	}
	_, err = m.Wake(ctx, tasks...)
	return err
}
