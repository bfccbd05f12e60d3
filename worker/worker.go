package worker

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/hibiken/asynq"
	"go.uber.org/zap"

	"github.com/intercom-dispatch/intercom-dispatch/internal/roster"
	"github.com/intercom-dispatch/intercom-dispatch/internal/task"
	"github.com/intercom-dispatch/intercom-dispatch/ledger"
)

// queueWeights say how often each priority's queue is looked at first. No
// queue is starved, and an urgent message waits for a few others at the most.
var queueWeights = map[string]int{task.High: 20, task.Normal: 5, task.Bulk: 1}

// Worker delivers the messages of one workspace. Several, in one process or
// many, share the work.
type Worker struct {
	cfg      Config
	ledger   *ledger.Ledger
	roster   *roster.Roster
	log      *zap.Logger
	metrics  *metrics
	gate     gate
	now      func() time.Time
	stopping chan struct{}
}

// New returns a worker. Its error names the field of the configuration.
func New(cfg Config) (*Worker, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, fmt.Errorf("worker: %w", err)
	}
	l, err := ledger.New(cfg.Redis, cfg.Workspace, cfg.RecordTTL)
	if err != nil {
		return nil, fmt.Errorf("worker: %w", err)
	}
	r, err := roster.New(roster.Config{
		Redis: cfg.Redis, Workspace: cfg.Workspace, Log: cfg.Log,
		Queues: slices.Collect(maps.Keys(queues(cfg.Workspace))),
	})
	if err != nil {
		return nil, fmt.Errorf("worker: %w", err)
	}
	m, err := newMetrics(cfg.Metrics)
	if err != nil {
		return nil, fmt.Errorf("worker: register metrics: %w", err)
	}
	return &Worker{
		cfg: cfg, ledger: l, roster: r, metrics: m, now: cfg.Now, stopping: make(chan struct{}),
		log: cfg.Log.With(zap.String("workspace", cfg.Workspace)),
	}, nil
}

// Run delivers messages until ctx ends, then takes no more and waits for those
// under way, for at most ShutdownTimeout. It may be called once. While Redis
// does not answer it waits and goes on.
func (w *Worker) Run(ctx context.Context) error {
	return task.Serve(ctx, w.cfg.Redis, asynq.Config{
		Concurrency:     w.cfg.Concurrency,
		Queues:          queues(w.cfg.Workspace),
		ShutdownTimeout: w.cfg.ShutdownTimeout,
		IsFailure:       isFailure,
		RetryDelayFunc: func(_ int, err error, _ *asynq.Task) time.Duration {
			return retryDelay(w.now, err)
		},
		Logger: w.cfg.AsynqLog,
	}, w, w.roster, func() { close(w.stopping) })
}

func queues(workspace string) map[string]int {
	weights := make(map[string]int, len(queueWeights))
	for priority, weight := range queueWeights {
		weights[task.Queue(workspace, priority)] = weight
	}
	return weights
}

// lease is how long an attempt counts as under way if nothing is heard of it.
func (w *Worker) lease() time.Duration {
	return w.cfg.RequestTimeout + w.cfg.CommitTimeout + leaseMargin
}
