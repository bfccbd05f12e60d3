package enqueue

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// pipelinesAtATime is how many pipelines of messages that are enqueued one by
// one may be under way: some callers prepare messages while Redis has those of
// the others. With 50 callers three were faster than two, and four no faster.
const pipelinesAtATime = 3

// gatherers share messages out among themselves. The order of messages that are
// enqueued at the same time is open.
type gatherers struct {
	next atomic.Uint32
	of   []*gatherer
}

func newGatherers(run func(context.Context, []*job) error) *gatherers {
	g := &gatherers{}
	for range pipelinesAtATime {
		g.of = append(g.of, &gatherer{run: run})
	}
	return g
}

func (g *gatherers) enqueue(ctx context.Context, j *job) Result {
	return g.of[int(g.next.Add(1))%len(g.of)].enqueue(ctx, j)
}

// gatherer puts messages that are enqueued one by one, at the same time, into
// common pipelines. A caller who finds no pipeline under way sends at once;
// those who come meanwhile wait, and the first of them then sends for all. So
// nobody waits for others to come, and no goroutine is needed.
type gatherer struct {
	run func(context.Context, []*job) error

	mu sync.Mutex
	// led says that a caller leads or was told to. If nobody does, nobody
	// waits.
	led     bool
	waiting []*ticket // in the order in which they came
}

// ticket is a caller's place. All but turn is the gatherer's, under its lock.
type ticket struct {
	job *job
	// turn tells the caller, once, that it leads or that its job is settled.
	turn chan turn
	// gone says that the caller has left while its job was under way.
	gone bool
}

func (t *ticket) size() int { return t.job.size() }

type turn bool

const (
	lead    turn = true
	settled turn = false
)

// errUnfinished is what callers get whose leader was ended by a panic.
var errUnfinished = errors.New("its pipeline was not finished; try again under the same key")

// enqueue runs a job, which gets its result.
func (g *gatherer) enqueue(ctx context.Context, j *job) Result {
	t := &ticket{job: j, turn: make(chan turn, 1)}
	if g.join(t) {
		return g.lead(ctx, t)
	}
	select {
	case its := <-t.turn:
		if its == lead {
			return g.lead(ctx, t)
		}
		return *j.result
	case <-ctx.Done():
		return g.leave(ctx, t)
	}
}

// join tells whether the caller leads.
func (g *gatherer) join(t *ticket) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.waiting = append(g.waiting, t)
	if g.led {
		return false
	}
	g.led = true
	return true
}

// lead sends for those who wait, of whom the caller is the first.
func (g *gatherer) lead(ctx context.Context, own *ticket) Result {
	// Callers who are about to come are let in: larger pipelines cost less.
	runtime.Gosched()
	flight := g.board()
	defer func() { g.land(ctx, own, flight) }()
	jobs := make([]*job, len(flight))
	for i, t := range flight {
		jobs[i] = t.job
	}
	_ = g.run(ctx, jobs) // Each job has its own.
	return *own.job.result
}

// board takes a pipeline's worth of those who wait.
func (g *gatherer) board() []*ticket {
	g.mu.Lock()
	defer g.mu.Unlock()
	n := pipelineOf(g.waiting)
	flight := g.waiting[:n:n]
	g.waiting = g.waiting[n:]
	return flight
}

// land settles a pipeline's jobs and hands over to the next leader. What failed
// because the leader's context has ended goes again with the others' contexts:
// a message that was enqueued all the same is known by its token.
func (g *gatherer) land(ctx context.Context, own *ticket, flight []*ticket) {
	g.mu.Lock()
	defer g.mu.Unlock()
	interrupted := hasEnded(ctx)
	var again []*ticket
	for _, t := range flight {
		if *t.job.result == (Result{Key: t.job.key}) {
			t.job.fail(errUnfinished)
		}
		switch {
		case t == own || t.gone:
		case interrupted && t.job.unknown():
			*t.job.result, t.job.lost = Result{Key: t.job.key}, nil
			again = append(again, t)
		default:
			t.turn <- settled
		}
	}
	if len(again) > 0 {
		g.waiting = append(again, g.waiting...)
	}
	g.handOver()
}

// handOver asks the first who waits to lead.
func (g *gatherer) handOver() {
	g.led = len(g.waiting) > 0
	if g.led {
		g.waiting[0].turn <- lead
	}
}

// leave returns the result of a caller whose context has ended.
func (g *gatherer) leave(ctx context.Context, t *ticket) Result {
	g.mu.Lock()
	defer g.mu.Unlock()
	result := Result{Key: t.job.key}
	i := slices.Index(g.waiting, t)
	if i < 0 {
		select {
		case <-t.turn: // It has been settled meanwhile.
			return *t.job.result
		default:
		}
		t.gone = true
		result.Err = fmt.Errorf("enqueue %q: it may be enqueued, try again under the same key: %w", t.job.key, ctx.Err())
		return result
	}
	g.waiting = slices.Delete(g.waiting, i, i+1)
	select {
	case <-t.turn: // It was to lead.
		g.handOver()
	default:
	}
	result.Err = fmt.Errorf("enqueue %q: it waited for Redis: %w", t.job.key, ctx.Err())
	return result
}

// hasEnded tells whether ctx has ended. Its deadline counts by itself, because
// a connection with this deadline may fail before the context knows.
func hasEnded(ctx context.Context) bool {
	deadline, ok := ctx.Deadline()
	return ctx.Err() != nil || ok && !time.Now().Before(deadline)
}

// unknown tells that Redis did not decide about the job.
func (j *job) unknown() bool {
	_, conflict := errors.AsType[*ConflictError](j.result.Err)
	return j.result.Err != nil && !conflict
}
