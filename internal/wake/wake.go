package wake

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
	"go.uber.org/zap"
)

const (
	// pipelineLength is how many tasks are woken in one round trip.
	pipelineLength = 500
	// patience is for how long a task is looked at that a worker has in hand. It
	// takes a worker a call of Redis or two to put one off.
	patience = 3 * time.Second
	// A task in hand is looked at after firstLook, and then ever more rarely.
	firstLook = 5 * time.Millisecond
	maxLook   = 200 * time.Millisecond
)

// Waker wakes tasks. It is safe for concurrent use.
type Waker struct {
	rdb redis.UniversalClient
	log *zap.Logger
	now func() time.Time

	mu sync.Mutex
	// inHand are the tasks that workers had in hand when they were to be woken.
	inHand map[Task]look
	// added has room for one signal.
	added chan struct{}
}

// look is when a task that is in hand is looked at.
type look struct {
	next, end time.Time
	wait      time.Duration
}

// New returns a waker with a clock. The connection stays the caller's to close.
// Without [Waker.Run], tasks that are in hand are not woken.
func New(rdb redis.UniversalClient, log *zap.Logger, now func() time.Time) *Waker {
	return &Waker{rdb: rdb, log: log, now: now, inHand: map[Task]look{}, added: make(chan struct{}, 1)}
}

// Wake makes the tasks run at once that wait for a retry, in this order where they
// are of one queue. It returns how many these are. With an error some may have
// been woken.
func (w *Waker) Wake(ctx context.Context, tasks ...Task) (int, error) {
	n, active, err := w.try(ctx, tasks)
	w.expect(active)
	return n, err
}

// try wakes tasks and returns those that are in hand.
func (w *Waker) try(ctx context.Context, tasks []Task) (woken int, active []Task, err error) {
	// What is pushed last is taken first.
	backwards := slices.Clone(tasks)
	slices.Reverse(backwards)
	for chunk := range slices.Chunk(backwards, pipelineLength) {
		states, err := w.run(ctx, chunk)
		if err != nil {
			return woken, active, err
		}
		for i, state := range states {
			switch state {
			case stateRetry:
				woken++
			case stateActive:
				active = append(active, chunk[i])
			}
		}
	}
	return woken, active, nil
}

func (w *Waker) run(ctx context.Context, tasks []Task) ([]string, error) {
	now := strconv.FormatInt(w.now().UnixNano(), 10)
	if len(tasks) == 1 { // The usual case, in which Redis mostly has the script.
		state, err := wakeScript.Run(ctx, w.rdb, tasks[0].keys(), tasks[0].ID, now).Text()
		if err != nil {
			return nil, fmt.Errorf("wake task %q: %w", tasks[0].ID, err)
		}
		return []string{state}, nil
	}
	cmds := make([]*redis.Cmd, len(tasks))
	_, err := w.rdb.Pipelined(ctx, func(p redis.Pipeliner) error {
		for i, t := range tasks {
			cmds[i] = wakeScript.Eval(ctx, p, t.keys(), t.ID, now)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("wake %d tasks: %w", len(tasks), err)
	}
	states := make([]string, len(tasks))
	for i, cmd := range cmds {
		states[i], _ = cmd.Text() // It would be the error above.
	}
	return states, nil
}

// expect has Run look at tasks again.
func (w *Waker) expect(active []Task) {
	if len(active) == 0 {
		return
	}
	now := w.now()
	w.mu.Lock()
	for _, t := range active {
		w.inHand[t] = look{next: now.Add(firstLook), end: now.Add(patience), wait: firstLook}
	}
	w.mu.Unlock()
	select {
	case w.added <- struct{}{}:
	default:
	}
}

// Run wakes the tasks that were in hand once they are put off, until ctx ends. It
// may be called once.
func (w *Waker) Run(ctx context.Context) error {
	for {
		due, next := w.due(w.now())
		if len(due) > 0 {
			w.lookAt(ctx, due)
			continue
		}
		timer := time.NewTimer(next)
		select {
		case <-timer.C:
		case <-w.added:
		case <-ctx.Done():
			timer.Stop()
			return nil
		}
		timer.Stop()
	}
}

// idle is longer than anybody waits without a signal.
const idle = time.Hour

// due returns the tasks to look at now, or how long there is none. It plans the
// look after this one, if there is one.
func (w *Waker) due(now time.Time) ([]Task, time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	var due []Task
	next := idle
	for t, l := range w.inHand {
		if wait := l.next.Sub(now); wait > 0 {
			next = min(next, wait)
			continue
		}
		due = append(due, t)
		l.wait = min(2*l.wait, maxLook)
		l.next = now.Add(l.wait)
		if w.inHand[t] = l; l.next.After(l.end) {
			delete(w.inHand, t)
		}
	}
	return due, next
}

// lookAt wakes what is put off by now, and looks no more at what is not in hand.
func (w *Waker) lookAt(ctx context.Context, tasks []Task) {
	_, active, err := w.try(ctx, tasks)
	if err != nil {
		if ctx.Err() == nil {
			w.log.Warn("tasks are not woken and come back later", zap.Int("tasks", len(tasks)), zap.Error(err))
		}
		return // They are looked at again.
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, t := range tasks {
		if !slices.Contains(active, t) {
			delete(w.inHand, t)
		}
	}
}
