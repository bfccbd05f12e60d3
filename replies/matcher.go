package replies

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/hibiken/asynq"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9"
	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"github.com/intercom-dispatch/intercom-dispatch/intercom"
	"github.com/intercom-dispatch/intercom-dispatch/internal/roster"
	"github.com/intercom-dispatch/intercom-dispatch/internal/task"
	"github.com/intercom-dispatch/intercom-dispatch/internal/wake"
	"github.com/intercom-dispatch/intercom-dispatch/ledger"
)

const (
	matcherConcurrency = 8
	matcherShutdown    = 10 * time.Second
	// A conversation whose message is not known is parked: its reply may be
	// quicker than the record of its message. Whoever records the id brings it
	// back. In case that does not happen, or that the conversation settles a
	// message whose worker has died, it is looked at again so often, after
	// unknownWait and then after twice as long each time: for some ten minutes.
	unknownTries = 7
	unknownWait  = 5 * time.Second
	parkedFor    = unknownWait << (unknownTries + 1)
)

// errUnknownMessage brings a notification back whose message is not known.
var errUnknownMessage = errors.New("the conversation's message is not known, or not yet")

// MatcherConfig configures a Matcher.
type MatcherConfig struct {
	// Redis holds the queues and the ledger. Required; stays the caller's to
	// close, after Run has returned: asynq panics when it loses its
	// subscription that way.
	Redis redis.UniversalClient
	// Workspace is ledger.DefaultWorkspace if empty.
	Workspace string
	// RecordTTL is how long records and events are kept, ledger.DefaultTTL if
	// zero.
	RecordTTL time.Duration
	// OmitText publishes events without what the contacts wrote.
	OmitText bool
	// Log is required.
	Log *zap.Logger
	// AsynqLog gets asynq's own log lines.
	AsynqLog asynq.Logger
	// Metrics registers the matcher's metrics, if not nil.
	Metrics prometheus.Registerer
}

// Matcher takes webhook notifications from their queue, finds the messages
// that they answer, and publishes an event for each reply, once.
type Matcher struct {
	cfg    MatcherConfig
	ledger *ledger.Ledger
	roster *roster.Roster
	log    *zap.Logger
	counts *prometheus.CounterVec
	wakes  *wake.Messages
	tries  int           // unknownTries
	wait   time.Duration // unknownWait
}

// NewMatcher returns a matcher. Its error names the field of the
// configuration.
func NewMatcher(cfg MatcherConfig) (*Matcher, error) {
	if cfg.Workspace == "" {
		cfg.Workspace = ledger.DefaultWorkspace
	}
	if cfg.Redis == nil || cfg.Log == nil {
		return nil, errors.New("replies: Redis and Log are required")
	}
	l, err := ledger.New(cfg.Redis, cfg.Workspace, cfg.RecordTTL)
	if err != nil {
		return nil, fmt.Errorf("replies: %w", err)
	}
	r, err := roster.New(roster.Config{
		Redis: cfg.Redis, Workspace: cfg.Workspace, Log: cfg.Log,
		Queues: []string{task.NotificationQueue(cfg.Workspace)},
	})
	if err != nil {
		return nil, fmt.Errorf("replies: %w", err)
	}
	m := &Matcher{
		cfg: cfg, ledger: l, roster: r, log: cfg.Log.With(zap.String("workspace", cfg.Workspace)), tries: unknownTries, wait: unknownWait,
		counts: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "dispatch_notifications_total", Help: "Webhook notifications that were worked off, by what they were.",
		}, []string{"outcome"}),
	}
	m.wakes = wake.NewMessages(wake.New(cfg.Redis, m.log, time.Now), l)
	if cfg.Metrics != nil {
		if err := cfg.Metrics.Register(m.counts); err != nil {
			return nil, fmt.Errorf("replies: register metrics: %w", err)
		}
	}
	return m, nil
}

// Run matches notifications until ctx ends. It may be called once.
func (m *Matcher) Run(ctx context.Context) error {
	waking, stop := context.WithCancel(context.WithoutCancel(ctx))
	var wakes errgroup.Group
	wakes.Go(func() error { return m.wakes.Run(waking) })
	err := m.serve(ctx)
	stop()
	return errors.Join(err, wakes.Wait())
}

func (m *Matcher) serve(ctx context.Context) error {
	return task.Server{
		Redis: m.cfg.Redis,
		Asynq: asynq.Config{
			Concurrency:     matcherConcurrency,
			Queues:          map[string]int{task.NotificationQueue(m.cfg.Workspace): 1},
			ShutdownTimeout: matcherShutdown,
			RetryDelayFunc:  m.retryDelay,
			IsFailure:       func(err error) bool { return errors.Is(err, errUnknownMessage) },
			Logger:          m.cfg.AsynqLog,
		},
		Handler: m, Roster: m.roster,
	}.Serve(ctx)
}

// retryDelay gives a message's record time to appear, and Redis to come back.
func (m *Matcher) retryDelay(n int, err error, _ *asynq.Task) time.Duration {
	if errors.Is(err, errUnknownMessage) {
		return m.wait << min(n, unknownTries)
	}
	return time.Second << min(n, 5)
}

// ProcessTask matches the notification of a task. It is called by asynq.
func (m *Matcher) ProcessTask(ctx context.Context, t *asynq.Task) error {
	n, err := intercom.ParseNotification(t.Payload())
	if err != nil {
		m.counts.WithLabelValues("unreadable").Inc()
		return fmt.Errorf("notification cannot be read: %w: %w", err, asynq.SkipRetry)
	}
	log := m.log.With(zap.String("notification_id", string(n.ID)), zap.String("topic", n.Topic))
	switch {
	case strings.HasPrefix(n.Topic, "contact."):
		return m.contact(ctx, log, n)
	case !strings.HasPrefix(n.Topic, "conversation."):
		m.counts.WithLabelValues("ignored").Inc()
		return nil
	}
	c, err := n.Conversation()
	if err != nil {
		m.counts.WithLabelValues("unreadable").Inc()
		return fmt.Errorf("notification holds no conversation: %w: %w", err, asynq.SkipRetry)
	}
	return m.match(ctx, log.With(zap.String("conversation_id", string(c.ID))), c)
}

func (m *Matcher) match(ctx context.Context, log *zap.Logger, c *intercom.Conversation) error {
	if err := m.alive(ctx, log, c); err != nil {
		return err
	}
	if c.Source.ID == "" {
		m.counts.WithLabelValues("no_reply").Inc()
		return nil
	}
	record, err := m.ledger.LookupMessage(ctx, string(c.Source.ID))
	if errors.Is(err, ledger.ErrNotFound) {
		record, err = m.settle(ctx, log, c)
	}
	if errors.Is(err, ledger.ErrNotFound) {
		return m.unknown(ctx, log, c)
	}
	if err != nil {
		return err
	}
	return m.publish(ctx, log, record, c)
}

func (m *Matcher) publish(ctx context.Context, log *zap.Logger, record *ledger.Record, c *intercom.Conversation) error {
	p := publisher{
		ledger: m.ledger, by: MatchedByWebhook, omitText: m.cfg.OmitText,
		count: func(outcome string) { m.counts.WithLabelValues(outcome).Inc() },
	}
	_, err := p.publish(ctx, log, record, c)
	return err
}

// unknown parks a notification for a while, if its conversation could be one of
// ours.
func (m *Matcher) unknown(ctx context.Context, log *zap.Logger, c *intercom.Conversation) error {
	tried, _ := asynq.GetRetryCount(ctx)
	if c.Source.Author.Type == "admin" && tried < m.tries {
		return m.park(ctx, log, c)
	}
	m.counts.WithLabelValues("not_ours").Inc()
	log.Debug("conversation is not about a message of ours", zap.String("message_id", string(c.Source.ID)))
	return nil
}

// park has the notification come back when the message's id is recorded.
func (m *Matcher) park(ctx context.Context, log *zap.Logger, c *intercom.Conversation) error {
	id, _ := asynq.GetTaskID(ctx)
	parked, err := m.ledger.Park(ctx, string(c.Source.ID), id, parkedFor)
	if err != nil {
		return err
	}
	if parked {
		m.counts.WithLabelValues("parked").Inc()
		return errUnknownMessage
	}
	// It was recorded meanwhile.
	record, err := m.ledger.LookupMessage(ctx, string(c.Source.ID))
	if err != nil {
		return err
	}
	return m.publish(ctx, log, record, c)
}
