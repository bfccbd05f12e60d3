package ratelimit

import (
	"context"
	"crypto/rand"
	"fmt"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/intercom-dispatch/intercom-dispatch/intercom"
)

// Class says how urgent a request is.
type Class int

const (
	// Normal requests are spread over the window.
	Normal Class = iota
	// Urgent requests never wait behind normal ones.
	Urgent
)

// Limiter gives out permits for requests to Intercom. It is safe for concurrent
// use. [Limiter.Run] must be running.
type Limiter struct {
	cfg     Config
	log     *zap.Logger
	metrics *metrics
	id      string
	lease   func(context.Context, *request) (*grant, error)

	mu      sync.Mutex
	waiting [2]queue // by Class
	stock   stock
	report  report
	pace    pace
	// again is when a refusal may be asked about again.
	again time.Time
	// trip is about how long a call of Redis takes at the most. Only Run uses it.
	trip time.Duration
	// wake has room for one signal.
	wake chan struct{}
}

// New returns a limiter. Its error names the field of the configuration.
func New(cfg Config) (*Limiter, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, fmt.Errorf("ratelimit: %w", err)
	}
	m, err := newMetrics(cfg.Metrics)
	if err != nil {
		return nil, fmt.Errorf("ratelimit: register metrics: %w", err)
	}
	l := &Limiter{cfg: cfg, log: cfg.Log, metrics: m, id: rand.Text()[:13], wake: make(chan struct{}, 1)}
	l.lease = l.leaseFromRedis
	return l, nil
}

// Permit is leave to make one request. Its holder calls Answered or Cancel once;
// what is called after that does nothing. It is not safe for concurrent use.
type Permit struct {
	limiter *Limiter
	window  int
}

// waiter is a request that waits for a permit.
type waiter struct {
	// ready gets the permit; it has room for it.
	ready chan *Permit
}

// TryAcquire returns a permit if there is one in stock, else nil.
func (l *Limiter) TryAcquire(c Class) *Permit {
	now := l.cfg.Now()
	l.mu.Lock()
	defer l.mu.Unlock()
	p := l.take(c, now)
	if p != nil {
		l.pace.count(now)
	}
	return p
}

// Acquire waits for a permit. While Redis does not answer it waits. The error is
// the context's.
func (l *Limiter) Acquire(ctx context.Context, c Class) (*Permit, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	p, w := l.takeOrWait(c)
	if p != nil {
		return p, nil
	}
	select {
	case p := <-w.ready:
		return p, nil
	case <-ctx.Done():
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.waiting[c].remove(w) {
		l.metrics.waiting.Dec()
	} else {
		l.giveBack(<-w.ready)
	}
	return nil, ctx.Err()
}

func (l *Limiter) takeOrWait(c Class) (*Permit, *waiter) {
	now := l.cfg.Now()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.pace.count(now)
	if p := l.take(c, now); p != nil {
		return p, nil
	}
	w := &waiter{ready: make(chan *Permit, 1)}
	l.waiting[c].push(w)
	if c == Urgent {
		l.again = time.Time{} // What was said to the others is not about it.
	}
	l.metrics.waiting.Inc()
	l.signal()
	return nil, w
}

// take takes a permit from the stock. A normal request does not overtake those
// that wait.
func (l *Limiter) take(c Class, now time.Time) *Permit {
	if c == Normal && l.waiting[Normal].len() > 0 {
		return nil
	}
	if l.stock.left == 0 || !now.Before(l.stock.void) {
		return nil
	}
	l.stock.left--
	// The next ones are asked for before they are missed.
	if l.stock.left <= l.stock.size/2 {
		l.signal()
	}
	return &Permit{limiter: l, window: l.stock.window}
}

// giveBack takes a permit back that was not used.
func (l *Limiter) giveBack(p *Permit) {
	l.report.window(p.window).back++
	l.signal()
}

func (l *Limiter) signal() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// Answered says that the request was made, and what was answered: nil if nothing
// was. sentAt is when it was sent, by the clock of the limiter's configuration.
// It may be called on nil.
func (p *Permit) Answered(resp *intercom.Response, sentAt time.Time) {
	if p == nil || p.limiter == nil {
		return
	}
	l := p.limiter
	p.limiter = nil
	receivedAt := l.cfg.Now()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.report.window(p.window).answered++
	if resp != nil {
		l.report.add(resp, sentAt, receivedAt)
		if resp.Status == statusTooMany {
			l.metrics.throttled.Inc()
		}
	}
	l.signal()
}

// Cancel says that no request was made. It may be called on nil.
func (p *Permit) Cancel() {
	if p == nil || p.limiter == nil {
		return
	}
	l := p.limiter
	p.limiter = nil
	l.mu.Lock()
	defer l.mu.Unlock()
	l.giveBack(p)
}

// queue is a row of waiters.
type queue struct {
	waiters []*waiter
}

func (q *queue) len() int       { return len(q.waiters) }
func (q *queue) push(w *waiter) { q.waiters = append(q.waiters, w) }

func (q *queue) pop() *waiter {
	w := q.waiters[0]
	q.waiters[0] = nil
	q.waiters = q.waiters[1:]
	return w
}

// remove tells whether the waiter was still there.
func (q *queue) remove(w *waiter) bool {
	for i, other := range q.waiters {
		if other == w {
			q.waiters = append(q.waiters[:i:i], q.waiters[i+1:]...)
			return true
		}
	}
	return false
}

// stock is permits that were leased and that nobody has taken yet.
type stock struct {
	left, size int
	window     int
	void       time.Time
}

// pace estimates how many permits are taken in a stockTime, so that many can be
// leased ahead.
type pace struct {
	since time.Time
	taken int
	rate  float64 // a second
}

const (
	// stockTime is for how long permits are leased ahead. It bounds how often
	// Redis is asked.
	stockTime = 20 * time.Millisecond
	minStock  = 8
	maxStock  = 400
	paceTime  = 100 * time.Millisecond
)

func (p *pace) count(now time.Time) {
	p.taken++
	if d := now.Sub(p.since); d >= paceTime {
		p.rate = float64(p.taken) / d.Seconds()
		p.since, p.taken = now, 0
	}
}

// stock is how many permits are worth having ahead: none where few are taken, or
// none have been of late.
func (p *pace) stock(now time.Time) int {
	n := int(p.rate * stockTime.Seconds())
	if n < minStock || now.Sub(p.since) > 2*paceTime {
		return 0
	}
	return min(n, maxStock)
}
