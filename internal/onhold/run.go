package onhold

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"
)

// Run keeps the state up to date, does what processes that ended have left
// undone, and asks the probe when it is this process' turn, until ctx ends. It
// may be called once. While Redis does not answer the last known state counts.
func (g *Guard) Run(ctx context.Context) error {
	r := &runner{Guard: g}
	defer r.probes.Wait()
	ticker := time.NewTicker(g.cfg.Interval)
	defer ticker.Stop()
	for {
		r.logErrors(ctx, r.tick(ctx))
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		case <-g.look:
		}
	}
}

type runner struct {
	*Guard

	probes  sync.WaitGroup
	probing atomic.Bool
	failing bool
}

// tick looks at the pauses before the hold: what the hold does not want then is
// left from a round that is over, and not from one that has just begun.
func (r *runner) tick(ctx context.Context) error {
	if err := r.rewrite(ctx); err != nil {
		return err
	}
	seen := r.seen()
	ours, err := r.store.pauses(ctx, r.cfg.Queues)
	if err != nil {
		return err
	}
	h, err := r.store.run(ctx, readScript)
	if err != nil {
		return err
	}
	r.adopt(seen, h)
	if err := r.store.repair(ctx, &h, r.cfg.Queues, ours); err != nil {
		return err
	}
	return r.probeIfDue(ctx, &h)
}

// logErrors writes one line when Redis stops answering, and one when it is
// back.
func (r *runner) logErrors(ctx context.Context, err error) {
	if ctx.Err() != nil || (err != nil) == r.failing {
		return
	}
	r.failing = err != nil
	if r.failing {
		r.log.Warn("cannot look whether the workspace is on hold; the last known state counts",
			zap.String("state", string(r.State().Phase)), zap.Error(err))
		return
	}
	r.log.Info("can look again whether the workspace is on hold")
}

func (r *runner) probeIfDue(ctx context.Context, h *hold) error {
	if h.Phase != Held || h.now.Before(h.NextProbe) || r.probing.Load() {
		return nil
	}
	token := newToken()
	// A probe of which nothing is heard may be under way for that long.
	lease := r.cfg.ProbeTimeout + writeTimeout
	turn, err := r.store.run(ctx, turnScript, h.ID, h.round, token, lease.Milliseconds())
	if err != nil || !turn.granted {
		return err
	}
	r.probing.Store(true)
	r.probes.Go(func() {
		defer r.lookSoon()
		defer r.probing.Store(false)
		r.probe(ctx, token)
	})
	return nil
}

// probe asks Intercom and tells Redis. If that fails, another process asks
// when the lease is over.
func (r *runner) probe(ctx context.Context, token string) {
	good := ""
	err := r.ask(ctx)
	if err == nil {
		good = "1"
	}
	r.log.Debug("probe", zap.Error(err))
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), writeTimeout)
	defer cancel()
	seen := r.seen()
	h, err := r.store.run(ctx, probedScript, append([]any{token, good}, millisArgs(r.cfg.Waits)...)...)
	if err != nil {
		r.log.Warn("result of a probe was not recorded", zap.Error(err))
		return
	}
	r.adopt(seen, h)
}

func (r *runner) ask(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, r.cfg.ProbeTimeout)
	defer cancel()
	return r.cfg.Probe(ctx)
}
