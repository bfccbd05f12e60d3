package ratelimit

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"go.uber.org/zap"
)

const (
	// minAgain and maxAgain bound the time between two questions for permits
	// that there were none of.
	minAgain = 5 * time.Millisecond
	maxAgain = 200 * time.Millisecond
	// reportEvery is how long news are gathered where nobody waits.
	reportEvery = 10 * time.Millisecond
	// keepStock is how long permits are kept that nobody takes.
	keepStock = 50 * time.Millisecond
	// leaseTimeout bounds one call, failWait is until the next after one that
	// failed.
	leaseTimeout = 2 * time.Second
	failWait     = 100 * time.Millisecond
)

// Run leases permits from Redis for those who wait, and tells it what answers
// have said, until ctx ends. Those who wait then wait on, for their own
// contexts. It may be called once. While Redis does not answer it tries again.
func (l *Limiter) Run(ctx context.Context) error {
	r := &runner{Limiter: l}
	for ctx.Err() == nil {
		wait := r.step(ctx)
		r.sleep(ctx, wait)
	}
	return r.end(ctx)
}

// runner is the state of Run, which asks one question at a time.
type runner struct {
	*Limiter

	// unanswered is the call that failed last: it may have been carried out, so
	// it is repeated before another one.
	unanswered *request
	failing    bool
	limit      int
	asked      time.Time
}

// forever is longer than anybody waits without a signal.
const forever = time.Hour

// step asks if there is something to ask, and returns for how long there is
// nothing, unless a signal comes.
func (r *runner) step(ctx context.Context) time.Duration {
	q, wait := r.next()
	if q == nil {
		return wait
	}
	g, err := r.ask(ctx, q)
	if err != nil {
		r.unanswered = q
		return failWait
	}
	r.unanswered = nil
	r.hand(q, g)
	return 0
}

// next returns the call that is due, or when one may be.
func (r *runner) next() (*request, time.Duration) {
	if r.unanswered != nil {
		return r.unanswered, 0
	}
	now := r.cfg.Now()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.expire(now)
	q := &request{urgent: r.waiting[Urgent].len(), normal: r.waiting[Normal].len()}
	if stock := r.pace.stock(now); r.stock.left <= stock/2 {
		q.stock = stock
	}
	due := now.Add(forever)
	if q.total()+q.stock > 0 {
		due = r.again
	}
	if report := r.asked.Add(reportEvery); !r.report.empty() && report.Before(due) {
		due = report
	}
	if r.stock.left > 0 && r.stock.void.Before(due) {
		due = r.stock.void
	}
	if wait := due.Sub(now); wait > 0 {
		return nil, wait
	}
	q.token = rand.Text()[:13]
	q.report, r.report = r.report, report{}
	return q, 0
}

// expire gives the stock back that is void or that nobody takes.
func (l *Limiter) expire(now time.Time) {
	if !now.Before(l.stock.void) {
		l.returnStock()
	}
}

func (l *Limiter) returnStock() {
	if l.stock.left > 0 {
		l.report.window(l.stock.window).back += l.stock.left
		l.stock.left = 0
	}
}

func (r *runner) ask(ctx context.Context, q *request) (*grant, error) {
	r.asked = r.cfg.Now()
	ctx, cancel := context.WithTimeout(ctx, leaseTimeout)
	defer cancel()
	g, err := r.lease(ctx, q)
	if failing := err != nil; failing != r.failing && !errors.Is(err, context.Canceled) {
		r.failing = failing
		if failing {
			r.log.Warn("cannot lease permits of the rate limit: messages wait", zap.Error(err))
		} else {
			r.log.Info("can lease permits of the rate limit again")
		}
	}
	if err == nil && g.limit != r.limit && g.limit > 0 {
		r.limit = g.limit
		r.log.Info("Intercom's rate limit", zap.Int("limit", g.limit), zap.Float64("rate_share", r.cfg.Share))
	}
	return g, err
}

// hand hands out what was granted. Those for whom it was asked may have gone;
// what is left over becomes stock.
func (r *runner) hand(q *request, g *grant) {
	now := r.cfg.Now()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.metrics.see(g)
	n := g.urgent + g.normal + g.stock
	if r.stock.window != g.window {
		r.returnStock()
	}
	for _, c := range []Class{Urgent, Normal} {
		for n > 0 && r.waiting[c].len() > 0 {
			n--
			r.metrics.waiting.Dec()
			r.waiting[c].pop().ready <- &Permit{limiter: r.Limiter, window: g.window}
		}
	}
	if n > 0 {
		n += r.stock.left
		r.stock = stock{left: n, size: n, window: g.window, void: now.Add(min(g.void, keepStock))}
	}
	if q.stock > 0 && g.stock == 0 {
		r.pace = pace{} // There is none to be had for a while.
	}
	r.again = time.Time{}
	if r.waiting[Urgent].len()+r.waiting[Normal].len() > 0 {
		r.again = now.Add(min(max(g.again, minAgain), maxAgain))
	}
}

func (r *runner) sleep(ctx context.Context, d time.Duration) {
	if d <= 0 {
		return
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-r.wake:
	case <-ctx.Done():
	}
}

// end tells Redis what it does not know yet, so that the other processes need
// not wait for it. Where that fails, the windows' ends make up for it.
func (r *runner) end(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), leaseTimeout)
	defer cancel()
	if r.unanswered != nil {
		g, err := r.lease(ctx, r.unanswered)
		if err != nil {
			return nil
		}
		r.mu.Lock()
		r.report.window(g.window).back += g.urgent + g.normal + g.stock
		r.mu.Unlock()
	}
	r.mu.Lock()
	r.returnStock()
	q := &request{token: rand.Text()[:13], report: r.report}
	r.report = report{}
	r.mu.Unlock()
	if !q.report.empty() {
		_, _ = r.lease(ctx, q)
	}
	return nil
}

// leaseFromRedis calls the script. Only Run does.
func (l *Limiter) leaseFromRedis(ctx context.Context, q *request) (*grant, error) {
	began := l.cfg.Now()
	args := q.args(&l.cfg, began, 2*l.trip+time.Millisecond)
	res, err := leaseScript.Run(ctx, l.cfg.Redis, []string{l.cfg.Key, l.cfg.Key + ":" + l.id}, args...).StringSlice()
	if err != nil {
		return nil, fmt.Errorf("lease permits: %w", err)
	}
	// Slow calls count for a while, as the next one may be as slow.
	l.trip = max(l.cfg.Now().Sub(began), l.trip*9/10)
	return parseGrant(res)
}
