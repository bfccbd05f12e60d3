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

	"github.com/intercom-dispatch/intercom-dispatch/intercom"
	"github.com/intercom-dispatch/intercom-dispatch/internal/roster"
	"github.com/intercom-dispatch/intercom-dispatch/internal/task"
	"github.com/intercom-dispatch/intercom-dispatch/ledger"
)

const (
	matcherConcurrency = 8
	matcherShutdown    = 10 * time.Second
	// unknownTries is how often a conversation whose message is not known is
	// looked at again: its reply may be quicker than the record of its
	// message, whose worker has just got the id.
	unknownTries = 5
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
	tries  int // unknownTries
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
		cfg: cfg, ledger: l, roster: r, log: cfg.Log.With(zap.String("workspace", cfg.Workspace)), tries: unknownTries,
		counts: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "dispatch_notifications_total", Help: "Webhook notifications that were worked off, by what they were.",
		}, []string{"outcome"}),
	}
	if cfg.Metrics != nil {
		if err := cfg.Metrics.Register(m.counts); err != nil {
			return nil, fmt.Errorf("replies: register metrics: %w", err)
		}
	}
	return m, nil
}

// Run matches notifications until ctx ends. It may be called once.
func (m *Matcher) Run(ctx context.Context) error {
	return task.Server{
		Redis: m.cfg.Redis,
		Asynq: asynq.Config{
			Concurrency:     matcherConcurrency,
			Queues:          map[string]int{task.NotificationQueue(m.cfg.Workspace): 1},
			ShutdownTimeout: matcherShutdown,
			RetryDelayFunc:  retryDelay,
			IsFailure:       func(err error) bool { return errors.Is(err, errUnknownMessage) },
			Logger:          m.cfg.AsynqLog,
		},
		Handler: m, Roster: m.roster,
	}.Serve(ctx)
}

// retryDelay gives a message's record a second or two to appear, and Redis
// some time to come back.
func retryDelay(n int, _ error, _ *asynq.Task) time.Duration {
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
	if !strings.HasPrefix(n.Topic, "conversation.") {
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
	p := publisher{ledger: m.ledger, by: MatchedByWebhook, omitText: m.cfg.OmitText, count: func(outcome string) { m.counts.WithLabelValues(outcome).Inc() }}
	_, err = p.publish(ctx, log, record, c)
	return err
}

// unknown brings a notification back for a while, if its conversation could be
// one of ours.
func (m *Matcher) unknown(ctx context.Context, log *zap.Logger, c *intercom.Conversation) error {
	tried, _ := asynq.GetRetryCount(ctx)
	if c.Source.Author.Type == "admin" && tried < m.tries {
		return errUnknownMessage
	}
	m.counts.WithLabelValues("not_ours").Inc()
	log.Debug("conversation is not about a message of ours", zap.String("message_id", string(c.Source.ID)))
	return nil
}
