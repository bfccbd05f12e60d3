package onhold

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/intercom-dispatch/intercom-dispatch/ledger"
)

// ErrUnknown refuses an attempt as long as it was never read whether the
// workspace is on hold.
var ErrUnknown = errors.New("it is not known yet whether the workspace is on hold")

// Guard is a process' part in the hold of a workspace. Each process has one,
// and all of them have the same queues. It is safe for concurrent use.
type Guard struct {
	cfg   Config
	store store
	log   *zap.Logger
	gauge prometheus.Gauge
	// look makes Run look at the state at once.
	look chan struct{}

	mu    sync.Mutex
	known bool
	cur   hold
	// changes counts those of cur, so that an answer of Redis that was asked for
	// before one is not taken for the newest.
	changes uint64
	changed chan struct{}
	// unwritten is a refused answer that Redis has not taken yet.
	unwritten *refusal
}

// New returns a guard. Its error names the field of the configuration.
func New(cfg Config) (*Guard, error) {
	cfg = cfg.withDefaults()
	if err := cfg.validate(); err != nil {
		return nil, fmt.Errorf("onhold: %w", err)
	}
	g := &Guard{
		cfg: cfg, store: store{cfg.Redis, cfg.Workspace},
		log:     cfg.Log.With(zap.String("workspace", cfg.Workspace)),
		look:    make(chan struct{}, 1),
		changed: make(chan struct{}),
		gauge: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "dispatch_workspace_on_hold",
			Help: "1 while Intercom refuses the workspace's token, plan or configuration, 0 while messages are sent or tried.",
		}),
	}
	if cfg.Metrics == nil {
		return g, nil
	}
	if err := cfg.Metrics.Register(g.gauge); err != nil {
		return nil, fmt.Errorf("onhold: register metrics: %w", err)
	}
	return g, nil
}

// Load reads the state once. Attempts may be made only after a Load or a look
// of Run's that succeeded; until then Enter returns ErrUnknown.
func (g *Guard) Load(ctx context.Context) error {
	seen := g.seen()
	h, err := g.store.run(ctx, readScript)
	if err != nil {
		return err
	}
	g.adopt(seen, h)
	return nil
}

// State returns the last known state: while Redis does not answer, the one
// from before.
func (g *Guard) State() State {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.cur.State
}

// Changed returns a channel that is closed when the phase that State tells
// changes next.
func (g *Guard) Changed() <-chan struct{} {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.changed
}

func (g *Guard) seen() uint64 {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.changes
}

// adopt takes what Redis told, asked when there had been so many changes.
func (g *Guard) adopt(seen uint64, h hold) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.unwritten == nil && g.changes == seen {
		g.set(h)
		return
	}
	g.lookSoon()
}

// set is called with the lock held.
func (g *Guard) set(h hold) {
	before := g.cur
	g.cur, g.known = h, true
	if h.Phase == before.Phase && h.ID == before.ID && h.round == before.round {
		return
	}
	g.changes++
	close(g.changed)
	g.changed = make(chan struct{})
	if h.Phase != before.Phase {
		g.report(before, h)
	}
}

func (g *Guard) report(before, h hold) {
	g.gauge.Set(0)
	switch h.Phase {
	case Free:
		g.log.Info("workspace goes on", zap.String("hold", before.ID),
			zap.Duration("lasted", h.now.Sub(before.Since)), zap.Int("probes", before.Probes))
	case Trial:
		g.log.Info("workspace is tried with one message", zap.String("hold", h.ID), zap.Int("probes", h.Probes))
	case Held:
		g.gauge.Set(1)
		message := "workspace is on hold"
		if before.Phase == Trial {
			message = "workspace is on hold again"
		}
		g.log.Error(message, zap.String("hold", h.ID), zap.Time("since", h.Since),
			zap.String("code", h.Reason.Code), zap.Int("status", h.Reason.Status),
			zap.String("request_id", h.Reason.RequestID), zap.String("reason", h.Reason.Message))
	}
}

func (g *Guard) lookSoon() {
	select {
	case g.look <- struct{}{}:
	default:
	}
}

// refusal is one refused answer on its way to Redis.
type refusal struct {
	// id names the hold that it begins, if it begins one.
	id     string
	reason ledger.Error
	// pass is the attempt that was refused.
	pass *Pass
}

// refuse puts the workspace on hold for this process, and returns what Redis is
// to be told.
func (g *Guard) refuse(p *Pass, reason ledger.Error) (*refusal, uint64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	r := &refusal{id: newToken(), reason: reason, pass: p}
	switch {
	case g.cur.Phase == Free && !p.trial:
		g.unwritten = r
		g.set(hold{State: State{Phase: Held, ID: r.id, Since: g.cfg.Now().UTC(), Reason: reason, round: 1}})
	case p.trial && g.cur.Phase == Trial && g.cur.ID == p.id && g.cur.round == p.round:
		g.unwritten = r
		h := g.cur
		h.Phase, h.Reason, h.round = Held, reason, h.round+1
		g.set(h)
	case g.unwritten != nil && !p.trial:
		r = g.unwritten
	}
	return r, g.changes
}

// write tells Redis of a refused answer, and pauses the queues. It is safe to
// repeat.
func (g *Guard) write(ctx context.Context, r *refusal, seen uint64) error {
	reason, err := encodeReason(r.reason)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), writeTimeout)
	defer cancel()
	h, err := g.store.run(ctx, blockScript, r.id, reason, r.pass.id, r.pass.roundArg(),
		g.cfg.Waits[0].Milliseconds(), g.cfg.MaxWait.Milliseconds())
	if err != nil {
		return err
	}
	g.written(r, seen, h)
	return g.store.pause(ctx, &h, g.cfg.Queues)
}

func (g *Guard) written(r *refusal, seen uint64, h hold) {
	g.mu.Lock()
	if g.unwritten == r {
		g.unwritten = nil
	}
	g.mu.Unlock()
	g.adopt(seen, h)
}

// rewrite tells Redis of the refused answer that it has not taken.
func (g *Guard) rewrite(ctx context.Context) error {
	g.mu.Lock()
	r, seen := g.unwritten, g.changes
	g.mu.Unlock()
	if r == nil {
		return nil
	}
	return g.write(ctx, r, seen)
}

// millisArgs writes durations as the scripts read them.
func millisArgs(waits []time.Duration) []any {
	args := make([]any, len(waits))
	for i, w := range waits {
		args[i] = w.Milliseconds()
	}
	return args
}
