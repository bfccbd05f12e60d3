package onhold

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"sync/atomic"

	"github.com/redis/go-redis/v9"

	"github.com/intercom-dispatch/intercom-dispatch/ledger"
)

// Pass allows one attempt. Its holder says once what became of it, with
// Answered, Blocked or Cancel; later calls do nothing, so Cancel may be
// deferred. What they write in Redis does not end with their context, but
// takes 2 s at the most. A Pass is safe for concurrent use.
type Pass struct {
	g       *Guard
	settled atomic.Bool

	// trial tells that the attempt is the one that is tried, in this hold and
	// round, and has the trial's place with this token.
	trial bool
	id    string
	round int64
	token string
}

// Enter is called before each attempt. It answers from memory, except on
// Trial. It returns a *HeldError if the workspace is on hold or another message
// is being tried, ErrUnknown if the state was never read, and another error if
// it is on Trial and Redis does not answer. With an error nothing may be sent.
//
// On Trial the queues are resumed, so a caller who is refused then may keep its
// message in hand until Changed or for a second, and enter again: that keeps it
// from taking one message after the other out of the queue.
func (g *Guard) Enter(ctx context.Context) (*Pass, error) {
	g.mu.Lock()
	known, h, seen := g.known, g.cur, g.changes
	g.mu.Unlock()
	switch {
	case !known:
		return nil, ErrUnknown
	case h.Phase == Free:
		return &Pass{g: g}, nil
	case h.Phase == Trial:
		return g.try(ctx, h.State, seen)
	default:
		return nil, &HeldError{State: h.State}
	}
}

// try takes the one place of the trial.
func (g *Guard) try(ctx context.Context, s State, seen uint64) (*Pass, error) {
	p := &Pass{g: g, trial: true, id: s.ID, round: s.round, token: newToken()}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), writeTimeout)
	defer cancel()
	h, err := g.store.run(ctx, tryScript, p.id, p.round, p.token, g.cfg.TrialLease.Milliseconds())
	if err != nil {
		return nil, err
	}
	g.adopt(seen, h)
	switch {
	case h.granted:
		return p, nil
	case h.Phase == Free:
		return &Pass{g: g}, nil
	default:
		return nil, &HeldError{State: h.State}
	}
}

// Trial tells whether the attempt is the one by which the workspace is tried.
func (p *Pass) Trial() bool { return p.trial }

// Answered says that Intercom's answer was about the message: it was created,
// or refused for its own sake. That ends the hold if the pass is the trial's;
// attempts that were begun before the hold say nothing about it. If it returns
// an error, another message is tried when the lease is over.
func (p *Pass) Answered(ctx context.Context) error {
	return p.settle(ctx, endScript, p.id, p.round, int64(rememberEnded.Seconds()))
}

// Cancel says that the attempt was not made, or that its outcome says nothing
// about the workspace, as after a timeout. It gives the trial's place to
// another message.
func (p *Pass) Cancel(ctx context.Context) error {
	return p.settle(ctx, cancelScript, p.token)
}

func (p *Pass) settle(ctx context.Context, script *redis.Script, args ...any) error {
	if p.settled.Swap(true) || !p.trial {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), writeTimeout)
	defer cancel()
	seen := p.g.seen()
	h, err := p.g.store.run(ctx, script, args...)
	if err != nil {
		return err
	}
	p.g.adopt(seen, h)
	return nil
}

// Blocked says that Intercom refused the token, the plan or the configuration,
// and puts the workspace on hold: for this process at once, then in Redis,
// and then its queues are paused. If it returns an error, Redis did not take
// it all; this process is on hold all the same, and Run tries again. The
// reason is stored and shown: it must hold no token.
func (p *Pass) Blocked(ctx context.Context, reason ledger.Error) error {
	if p.settled.Swap(true) {
		return nil
	}
	r, seen := p.g.refuse(p, reason)
	return p.g.write(ctx, r, seen)
}

func (p *Pass) roundArg() string {
	if !p.trial {
		return ""
	}
	return strconv.FormatInt(p.round, 10)
}

func encodeReason(e ledger.Error) ([]byte, error) {
	b, err := json.Marshal(e)
	if err != nil {
		return nil, fmt.Errorf("encode the reason of a hold: %w", err)
	}
	return b, nil
}
