package replies

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9"
	"go.uber.org/zap"

	"github.com/intercom-dispatch/intercom-dispatch/intercom"
	"github.com/intercom-dispatch/intercom-dispatch/ledger"
	"github.com/intercom-dispatch/intercom-dispatch/ratelimit"
)

// DefaultPollShare is the part of Intercom's rate limit that pollers use unless
// they are told otherwise.
const DefaultPollShare = 0.1

const (
	// inFilter is how many ids an IN filter has. Intercom does not say how many
	// it may have.
	inFilter = 15
	// pollBatch is how many messages a search is for.
	pollBatch = intercom.MaxFilters * inFilter
	// pollEarly is by how much others come along with a message that is due: it
	// costs no request more.
	pollEarly = 30 * time.Second
	// pollTime is how long a poller looks after what it has claimed, more where
	// the pace is slow. The lease outlasts that by more than pollEarly, so that
	// nobody else takes it meanwhile.
	pollTime  = time.Minute
	pollLease = 2 * time.Minute
	// pollTurns is how many requests that time is enough for at the least.
	pollTurns = 4
	// pollIdle is how long there may be nothing to do before Redis is asked
	// again. It is shorter than a message waits for its first look.
	pollIdle = 5 * time.Second
	// unknownInterval is between two requests as long as the rate limit is not
	// known.
	unknownInterval = time.Second
	// pollMaxBackoff is the longest wait after failures in a row, which begin
	// with one of a second.
	pollMaxBackoff = time.Minute
	// refusedWait is how long nobody polls after Intercom has refused to: a
	// person has to change the token or its permissions.
	refusedWait = 5 * time.Minute
	// redisTime bounds what is told to Redis when the poller is told to stop.
	redisTime = 2 * time.Second
)

// Conversations is the part of the Intercom client that a Poller needs.
// *intercom.Client is one. A Poller makes one call at a time.
type Conversations interface {
	SearchConversations(context.Context, intercom.SearchRequest) (*intercom.ConversationPage, *intercom.Response, error)
	Conversation(ctx context.Context, id string) (*intercom.Conversation, *intercom.Response, error)
}

// PollerConfig configures a Poller.
type PollerConfig struct {
	// Redis holds the ledger. Required; stays the caller's to close.
	Redis redis.UniversalClient
	// Intercom is asked. Required.
	Intercom Conversations
	// Workspace is ledger.DefaultWorkspace if empty.
	Workspace string
	// RecordTTL is how long records and events are kept, ledger.DefaultTTL if
	// zero.
	RecordTTL time.Duration
	// Share is the part of Intercom's rate limit that all pollers of the
	// workspace together may use, above 0 and at most 1, DefaultPollShare if
	// zero. They should all have the same.
	Share float64
	// RateShare is the workers', of which the pollers' requests are a part: see
	// ratelimit.Config.
	RateShare float64
	// OmitText publishes events without what the contacts wrote, as
	// MatcherConfig's does.
	OmitText bool
	// Log is required.
	Log *zap.Logger
	// Metrics registers the poller's metrics, if not nil.
	Metrics prometheus.Registerer
	// Now is time.Now if nil.
	Now func() time.Time
}

func (c PollerConfig) withDefaults() (PollerConfig, error) {
	if c.Workspace == "" {
		c.Workspace = ledger.DefaultWorkspace
	}
	if c.RecordTTL == 0 {
		c.RecordTTL = ledger.DefaultTTL
	}
	if c.Share == 0 {
		c.Share = DefaultPollShare
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	switch {
	case c.Redis == nil:
		return c, errors.New("the field Redis is required")
	case c.Intercom == nil:
		return c, errors.New("the field Intercom is required")
	case c.Log == nil:
		return c, errors.New("the field Log is required")
	case !(c.Share > 0 && c.Share <= 1):
		return c, fmt.Errorf("the field Share %v must be above 0 and at most 1", c.Share)
	}
	return c, nil
}

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
		// A worker's says as well what the limit is.
		Log: log.WithOptions(zap.IncreaseLevel(zap.WarnLevel)),
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

// Run looks for replies until ctx ends, and gives back what it has not looked at
// then. It may be called once. While Redis or Intercom does not answer it tries
// again.
func (p *Poller) Run(ctx context.Context) error {
	limiting, stop := context.WithCancel(context.WithoutCancel(ctx))
	var limiter sync.WaitGroup
	limiter.Go(func() { _ = p.limiter.Run(limiting) }) // It returns no error.
	for ctx.Err() == nil {
		sleep(ctx, p.step(ctx))
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

func sleep(ctx context.Context, d time.Duration) {
	if d <= 0 {
		return
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
