package worker

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/hibiken/asynq"
	"github.com/sony/gobreaker/v2"
	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"github.com/intercom-dispatch/intercom-dispatch/internal/combine"
	"github.com/intercom-dispatch/intercom-dispatch/internal/onhold"
	"github.com/intercom-dispatch/intercom-dispatch/internal/roster"
	"github.com/intercom-dispatch/intercom-dispatch/internal/settle"
	"github.com/intercom-dispatch/intercom-dispatch/internal/task"
	"github.com/intercom-dispatch/intercom-dispatch/internal/wake"
	"github.com/intercom-dispatch/intercom-dispatch/ledger"
	"github.com/intercom-dispatch/intercom-dispatch/ratelimit"
)

// queueWeights are the shares of the priorities' queues. The one of high
// messages comes before the others all the same (see task.Server.First).
var queueWeights = map[string]int{task.High: 20, task.Normal: 5, task.Bulk: 1}

// Worker delivers the messages of one workspace. Several, in one process or
// many, share the work.
type Worker struct {
	cfg     Config
	scripts *combine.Client
	ledger  *ledger.Ledger
	log     *zap.Logger
	metrics *metrics
	roster  *roster.Roster
	onHold  *onhold.Guard
	guard   guard // onHold
	breaker *gobreaker.TwoStepCircuitBreaker[struct{}]
	finder  *settle.Finder
	wakes   *wake.Messages
	crowds  *crowds
	rate    *ratelimit.Limiter
	limiter limiter // rate
	now     func() time.Time
	// stopCtx ends when the worker is told to stop.
	stopCtx context.Context //nolint:containedctx // Stages have a task's context, and this one besides.
	stop    context.CancelFunc
}

// New returns a worker. Its error names the field of the configuration.
func New(cfg Config) (*Worker, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, fmt.Errorf("worker: %w", err)
	}
	scripts := combine.New(cfg.Redis)
	l, err := ledger.New(scripts, cfg.Workspace, cfg.RecordTTL)
	if err != nil {
		return nil, fmt.Errorf("worker: %w", err)
	}
	if cfg.PollReplies {
		l = l.WithPolling()
	}
	m, err := newMetrics(cfg.Metrics)
	if err != nil {
		return nil, fmt.Errorf("worker: register metrics: %w", err)
	}
	w := &Worker{
		cfg: cfg, scripts: scripts, ledger: l, metrics: m, now: cfg.Now,
		log:    cfg.Log.With(zap.String("workspace", cfg.Workspace)),
		finder: settle.NewFinder(cfg.Intercom), crowds: newCrowds(),
	}
	w.wakes = wake.NewMessages(wake.New(scripts, w.log, cfg.Now), l)
	w.breaker = w.newBreaker()
	if w.onHold, err = w.newGuard(); err != nil {
		return nil, fmt.Errorf("worker: %w", err)
	}
	w.guard = w.onHold
	if w.rate, err = w.newLimiter(); err != nil {
		return nil, fmt.Errorf("worker: %w", err)
	}
	w.limiter = w.rate
	w.stopCtx, w.stop = context.WithCancel(context.Background())
	if w.roster, err = w.newRoster(); err != nil {
		return nil, fmt.Errorf("worker: %w", err)
	}
	return w, nil
}

func (w *Worker) newRoster() (*roster.Roster, error) {
	return roster.New(roster.Config{
		Redis: w.cfg.Redis, Workspace: w.cfg.Workspace, Queues: w.queueNames(), Log: w.cfg.Log,
	})
}

func (w *Worker) newLimiter() (*ratelimit.Limiter, error) {
	return ratelimit.New(ratelimit.Config{
		Redis: w.cfg.Redis, Key: ledger.RateLimitKey(w.cfg.Workspace), Share: w.cfg.RateShare,
		Log: w.log, Metrics: w.cfg.Metrics,
	})
}

func (w *Worker) newGuard() (*onhold.Guard, error) {
	return onhold.New(onhold.Config{
		Redis: w.cfg.Redis, Workspace: w.cfg.Workspace, Queues: w.queueNames(),
		Probe: func(ctx context.Context) error {
			_, _, err := w.cfg.Intercom.Me(ctx)
			return err
		},
		TrialLease: w.cfg.RequestTimeout + leaseMargin,
		Log:        w.cfg.Log, Metrics: w.cfg.Metrics,
	})
}

// Run delivers messages until ctx ends, then takes no more and waits for those
// under way, for at most ShutdownTimeout. It may be called once. While Redis
// does not answer it waits and goes on.
func (w *Worker) Run(ctx context.Context) error {
	// Where it fails, messages wait until it is known.
	_ = w.onHold.Load(ctx)
	guarding, stop := context.WithCancel(context.WithoutCancel(ctx))
	var guards errgroup.Group
	guards.Go(func() error { return w.onHold.Run(guarding) })
	guards.Go(func() error { return w.rate.Run(guarding) })
	guards.Go(func() error { return w.wakes.Run(guarding) })
	err := w.serve(ctx)
	stop()
	err = errors.Join(err, guards.Wait())
	w.scripts.Wait()
	return err
}

func (w *Worker) serve(ctx context.Context) error {
	return task.Server{
		Redis: w.cfg.Redis,
		Asynq: asynq.Config{
			Concurrency:     w.cfg.Concurrency,
			Queues:          w.queues(),
			ShutdownTimeout: w.cfg.ShutdownTimeout,
			IsFailure:       isFailure,
			RetryDelayFunc: func(_ int, err error, _ *asynq.Task) time.Duration {
				return retryDelay(w.now, err)
			},
			Logger: w.cfg.AsynqLog,
		},
		Handler: w, Roster: w.roster, First: task.Queue(w.cfg.Workspace, task.High),
		Plain: w.cfg.PlainDequeue, Scripts: w.scripts, Stopping: w.stop,
	}.Serve(ctx)
}

func (w *Worker) queueNames() []string { return slices.Sorted(maps.Keys(w.queues())) }

func (w *Worker) queues() map[string]int {
	queues := make(map[string]int, len(queueWeights))
	for priority, weight := range queueWeights {
		queues[task.Queue(w.cfg.Workspace, priority)] = weight
	}
	return queues
}

// lease is how long an attempt counts as under way if nothing is heard of it.
func (w *Worker) lease() time.Duration {
	return w.cfg.RequestTimeout + w.cfg.CommitTimeout + leaseMargin
}
