package replies

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/intercom-dispatch/intercom-dispatch/ledger"
	"github.com/intercom-dispatch/intercom-dispatch/ratelimit"
)

// Poller finds replies by search, where no webhook can be had and for what
// webhooks lose, and publishes an event for each, once, whether a Matcher has
// found it or not. It looks at messages that were recorded by a ledger
// WithPolling. Several, in one process or many, share the work and a pace.
type Poller struct {
	cfg      PollerConfig
	ledger   *ledger.Ledger
	limiter  *ratelimit.Limiter
	log      *zap.Logger
	metrics  *pollMetrics
	schedule func(now time.Time, p *ledger.Poll) time.Time
	lease    time.Duration // pollLease
	idle     time.Duration // pollIdle

	// What follows only Run uses.

	limit    int // of the rate limit, 0 while unknown
	failures int // in a row
	trouble  string
}

// NewPoller returns a poller. Its error names the field of the configuration.
func NewPoller(cfg PollerConfig) (*Poller, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, fmt.Errorf("replies: %w", err)
	}
	l, err := ledger.New(cfg.Redis, cfg.Workspace, cfg.RecordTTL)
	if err != nil {
		return nil, fmt.Errorf("replies: %w", err)
	}
	log := cfg.Log.With(zap.String("workspace", cfg.Workspace))
	limiter, err := ratelimit.New(ratelimit.Config{
		Redis: cfg.Redis, Key: ledger.RateLimitKey(cfg.Workspace), Share: cfg.RateShare, Now: cfg.Now,
		Log: warnings(log),
	})
	if err != nil {
		return nil, fmt.Errorf("replies: %w", err)
	}
	m, err := newPollMetrics(cfg.Metrics)
	if err != nil {
		return nil, fmt.Errorf("replies: register metrics: %w", err)
	}
	return &Poller{
		cfg: cfg, ledger: l, limiter: limiter, log: log, metrics: m,
		schedule: schedule{ttl: cfg.RecordTTL}.next, lease: pollLease, idle: pollIdle,
	}, nil
}

// warnings is the limiter's log: what the limit is, a worker's says already.
func warnings(log *zap.Logger) *zap.Logger {
	if !log.Core().Enabled(zap.WarnLevel) {
		return log
	}
	return log.WithOptions(zap.IncreaseLevel(zap.WarnLevel))
}

// Run looks for replies until ctx ends, and gives back what it has not looked at
// then. It may be called once. While Redis or Intercom does not answer it tries
// again.
func (p *Poller) Run(ctx context.Context) error {
	limiting, stop := context.WithCancel(context.WithoutCancel(ctx))
	var limiter sync.WaitGroup
	limiter.Go(func() { _ = p.limiter.Run(limiting) }) // It returns no error.
	for ctx.Err() == nil {
		pause(ctx, p.step(ctx))
	}
	stop()
	limiter.Wait()
	return nil
}

// step looks after the messages that are due, and returns how long there is
// nothing to do.
func (p *Poller) step(ctx context.Context) time.Duration {
	interval := p.interval()
	period := max(pollTime, pollTurns*interval)
	claimed, err := p.ledger.ClaimPolls(ctx, ledger.PollClaim{
		Limit: pollBatch, Early: pollEarly, Lease: p.lease + period - pollTime, Interval: interval,
	})
	if err != nil {
		return p.failed(ctx, err)
	}
	p.metrics.messages.Set(float64(claimed.Total))
	p.metrics.late.Set(claimed.Late.Seconds())
	if len(claimed.Polls) == 0 {
		if claimed.Wait < 0 {
			return p.idle
		}
		return min(claimed.Wait, p.idle)
	}
	b := &batch{Poller: p, claimed: claimed, at: p.cfg.Now(), period: period}
	switch err := b.run(ctx); {
	case err == nil:
		p.worked()
	case !errors.Is(err, errPollTime):
		return p.failed(ctx, err)
	}
	return 0
}

// interval is the time between two requests of all pollers.
func (p *Poller) interval() time.Duration {
	if p.limit == 0 {
		return unknownInterval
	}
	each := float64(ratelimit.DefaultWindow) / (float64(p.limit) * p.cfg.Share)
	return time.Duration(min(each, float64(ledger.MaxPollDelay)))
}

// failed returns how long to wait after an error, and logs the first of a kind.
func (p *Poller) failed(ctx context.Context, err error) time.Duration {
	if ctx.Err() != nil {
		return 0
	}
	outcome := pollOutcome(err)
	if outcome != p.trouble {
		p.trouble = outcome
		level := zap.WarnLevel
		if outcome == pollRefused {
			level = zap.ErrorLevel
		}
		p.log.Log(level, troubles[outcome], zap.String("outcome", outcome), zap.Error(err))
	}
	if outcome != pollFailed {
		return 0 // All wait: by the rate limit, or by the pollers' pace.
	}
	p.failures++
	return p.backoff()
}

func (p *Poller) backoff() time.Duration {
	return min(time.Second<<min(p.failures-1, 10), pollMaxBackoff)
}

func (p *Poller) worked() {
	p.failures = 0
	if p.trouble != "" {
		p.trouble = ""
		p.log.Info("replies are looked for again")
	}
}
