package worker

import (
	"context"
	"errors"
	"time"

	"github.com/sony/gobreaker/v2"
	"go.uber.org/zap"

	"github.com/intercom-dispatch/intercom-dispatch/intercom"
	"github.com/intercom-dispatch/intercom-dispatch/internal/onhold"
	"github.com/intercom-dispatch/intercom-dispatch/ratelimit"
)

const (
	// The breaker opens after so many failures in a row, or where that share
	// of a window's requests failed.
	tripInARow    = 10
	tripRequests  = 20
	tripShare     = 0.6
	breakerWindow = 10 * time.Second
	// breakerWait is how long nothing is sent before one request probes.
	breakerWait = 5 * time.Second
	// poll is how often those who wait look whether they may go.
	poll = 200 * time.Millisecond
	// heldWait is how long a task stays away whose workspace is on hold. Its
	// queue is paused, so it does not come back before the hold is over.
	heldWait = time.Second
)

var (
	// errFailing counts as a failure of Intercom.
	errFailing = errors.New("Intercom fails")
	// errSaysNothing counts as nothing.
	errSaysNothing = errors.New("says nothing about Intercom")
)

// guard is the part of *onhold.Guard that deliveries need.
type guard interface {
	Enter(ctx context.Context) (*onhold.Pass, error)
	Changed() <-chan struct{}
}

func (w *Worker) newBreaker() *gobreaker.TwoStepCircuitBreaker[struct{}] {
	return gobreaker.NewTwoStepCircuitBreaker[struct{}](gobreaker.Settings{
		Name: w.cfg.Workspace, MaxRequests: 1, Interval: breakerWindow, Timeout: breakerWait,
		ReadyToTrip: func(c gobreaker.Counts) bool {
			return c.ConsecutiveFailures >= tripInARow ||
				c.Requests >= tripRequests && float64(c.TotalFailures) >= tripShare*float64(c.Requests)
		},
		IsExcluded: func(err error) bool { return errors.Is(err, errSaysNothing) },
		OnStateChange: func(_ string, from, to gobreaker.State) {
			w.metrics.breakerOpen.Set(0)
			log := w.log.With(zap.String("from", from.String()), zap.String("to", to.String()))
			switch {
			case to == gobreaker.StateClosed:
				log.Info("Intercom answers again")
			case from == gobreaker.StateClosed:
				log.Error("Intercom fails: messages wait, and one at a time probes")
				fallthrough
			default:
				w.metrics.breakerOpen.Set(1)
			}
		},
	})
}

// clearance lets one request leave for Intercom. Its holder says what was
// answered, or cancels; what is said after that counts for nothing.
type clearance struct {
	w      *Worker
	permit *ratelimit.Permit
	pass   *onhold.Pass
	done   func(error)
}

// leave waits until a request may leave: the rate limit has room for it, and
// Intercom is not failing. It returns a snooze where the workspace is on hold.
func (w *Worker) leave(ctx context.Context, class ratelimit.Class) (*clearance, error) {
	for {
		if err := w.waitForBreaker(ctx); err != nil {
			return nil, err
		}
		permit, err := w.acquire(ctx, class)
		if err != nil {
			return nil, err
		}
		done, err := w.breaker.Allow()
		if err != nil {
			permit.Cancel()
			continue
		}
		pass, err := w.guard.Enter(ctx)
		if err == nil {
			return &clearance{w: w, permit: permit, pass: pass, done: done}, nil
		}
		permit.Cancel()
		done(errSaysNothing)
		if err := w.afterRefusal(ctx, err); err != nil {
			return nil, err
		}
	}
}

// waitForBreaker waits while Intercom fails, unless one request may probe. The
// permit comes after it, so that none are held meanwhile, and before the breaker
// is entered, which forgets whoever takes longer than its window.
func (w *Worker) waitForBreaker(ctx context.Context) error {
	for {
		switch w.breaker.State() {
		case gobreaker.StateClosed:
			return nil
		case gobreaker.StateHalfOpen:
			if n := w.breaker.Counts(); n.Requests == n.TotalExclusions {
				return nil
			}
		case gobreaker.StateOpen:
		}
		if err := w.wait(ctx, poll); err != nil {
			return err
		}
	}
}

// afterRefusal gives the message of a workspace on hold back. It keeps one in
// hand while another one is tried, or nothing is known yet: given back, it would
// be taken again at once, as the queues are not paused then.
func (w *Worker) afterRefusal(ctx context.Context, refused error) error {
	held, ok := errors.AsType[*onhold.HeldError](refused)
	switch {
	case !ok:
		return w.wait(ctx, poll)
	case held.State.Phase == onhold.Trial:
		return w.waitFor(ctx, w.guard.Changed(), heldWait)
	}
	return &snoozeError{until: w.now().Add(heldWait), reason: refused.Error()}
}

// answered says what came of the request that was sent at that time. resp is nil
// where nothing came.
func (c *clearance) answered(ctx context.Context, o outcome, resp *intercom.Response, sentAt time.Time) {
	if c.done == nil {
		return
	}
	if o.err.Code == codeInvalid { // No request was made.
		c.permit.Cancel()
	} else {
		c.permit.Answered(resp, sentAt)
	}
	switch {
	case o.err.Code == codeInvalid:
		c.done(errSaysNothing)
	case o.kind == KindNotSent || o.kind == KindUncertain:
		c.done(errFailing)
	default:
		c.done(nil)
	}
	c.done = nil
	if err := c.tellGuard(ctx, o); err != nil {
		c.w.log.Warn("the workspace's hold is not recorded", zap.Error(err))
	}
}

func (c *clearance) tellGuard(ctx context.Context, o outcome) error {
	switch {
	case o.hold:
		return c.pass.Blocked(ctx, o.err)
	case o.kind == KindSent || o.kind == KindSentUnknownID || o.kind == KindContactMissing,
		o.kind == KindRefused && o.err.Code != codeInvalid:
		return c.pass.Answered(ctx)
	default:
		return c.pass.Cancel(ctx)
	}
}

// cancel says that no request was made.
func (c *clearance) cancel(ctx context.Context) {
	if c == nil || c.done == nil {
		return
	}
	c.permit.Cancel()
	c.done(errSaysNothing)
	c.done = nil
	if err := c.pass.Cancel(ctx); err != nil {
		c.w.log.Warn("the workspace's hold is not recorded", zap.Error(err))
	}
}

// searched says that a search was answered, or found without one to be of no
// use.
func (c *clearance) searched(ctx context.Context, resp *intercom.Response, sentAt time.Time) {
	if resp != nil && c.done != nil {
		c.permit.Answered(resp, sentAt)
	}
	c.cancel(ctx)
}
