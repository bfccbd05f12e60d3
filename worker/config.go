package worker

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/hibiken/asynq"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9"
	"go.uber.org/zap"

	"github.com/intercom-dispatch/intercom-dispatch/intercom"
	"github.com/intercom-dispatch/intercom-dispatch/internal/task"
	"github.com/intercom-dispatch/intercom-dispatch/ledger"
	"github.com/intercom-dispatch/intercom-dispatch/ratelimit"
)

// Intercom is the part of the Intercom client that a worker needs: it sends
// messages, looks for those of which it is not known whether they exist, and
// asks whether the token works. *intercom.Client is one. It is called from many
// goroutines at once.
type Intercom interface {
	CreateMessage(context.Context, *intercom.Message) (*intercom.CreatedMessage, *intercom.Response, error)
	SearchConversations(context.Context, intercom.SearchRequest) (*intercom.ConversationPage, *intercom.Response, error)
	Me(context.Context) (*intercom.Me, *intercom.Response, error)
}

// The defaults of Config.
const (
	DefaultConcurrency    = 64
	DefaultRequestTimeout = 30 * time.Second
	DefaultCommitTimeout  = 10 * time.Second
	DefaultContactWait    = 15 * time.Minute
	DefaultGiveUpAfter    = 24 * time.Hour
	DefaultSettleDelay    = 5 * time.Minute
	DefaultRateShare      = ratelimit.DefaultShare
)

// leaseMargin is what an attempt may take besides its request and its commit
// before another worker may think that its worker is gone.
const leaseMargin = 5 * time.Second

// Config configures a Worker. Zero durations and numbers mean the defaults.
type Config struct {
	// Redis holds the queues and the ledger. Its pool should have at least
	// Concurrency connections. Required; stays the caller's to close, after Run
	// has returned: asynq panics when it loses its subscription that way.
	Redis redis.UniversalClient
	// Intercom sends the messages. Required.
	Intercom Intercom
	// Workspace is ledger.DefaultWorkspace if empty.
	Workspace string
	// Concurrency is how many messages are delivered at a time, 64 by default.
	// Above 1, an eighth more are for those with the priority high.
	Concurrency int
	// RequestTimeout bounds one request to Intercom, 30 s by default.
	RequestTimeout time.Duration
	// CommitTimeout is how long a worker that is told to stop tries to record
	// an outcome while Redis does not answer, 10 s by default. A worker that is
	// not tries for as long as it lives.
	CommitTimeout time.Duration
	// ShutdownTimeout is how long Run waits for deliveries under way when it
	// is told to stop. It must be longer than RequestTimeout and CommitTimeout
	// together, and is 5 s more than that by default.
	ShutdownTimeout time.Duration
	// ContactWait is how long a contact that Intercom does not know may yet
	// appear, 15 min by default, for messages that do not say. Nil means the
	// default, 0 not to wait at all.
	ContactWait *time.Duration
	// GiveUpAfter is how long a message that Intercom does not take is tried,
	// counted from the first failure that no other answer has come after, 24 h
	// by default. One that may have been created by then is held instead of
	// failed.
	GiveUpAfter time.Duration
	// SettleDelay is how long a message that may have been created is looked
	// for in Intercom, whose search lags behind, before it counts as not there,
	// 5 min by default. Only messages that open a conversation are looked for.
	SettleDelay time.Duration
	// IfUncertain is ledger.Resend by default, for messages that do not say.
	IfUncertain ledger.Policy
	// RateShare is the part of Intercom's rate limit that all workers of the
	// workspace together may use, above 0 and at most 1, 1 by default. They
	// should all have the same.
	RateShare float64
	// PlainDequeue leaves fetching tasks to asynq, one at a time and at
	// intervals, instead of fetching batches and waiting for tasks in Redis.
	// That is slower and needs nothing but asynq's own ways.
	PlainDequeue bool
	// PollReplies has a replies.Poller look for the replies to the messages that
	// this worker sends, which costs some memory of Redis for each. All workers
	// of a workspace should have the same.
	PollReplies bool
	// RecordTTL is how long records are kept, ledger.DefaultTTL by default.
	RecordTTL time.Duration
	// Log is required.
	Log *zap.Logger
	// AsynqLog gets asynq's own log lines; nil discards them.
	AsynqLog asynq.Logger
	// Metrics registers the worker's metrics, if not nil.
	Metrics prometheus.Registerer
	// OnAttempt, if not nil, is called after each attempt's outcome was
	// recorded, from the goroutine that delivers the message, which waits for
	// it.
	OnAttempt func(Report)
	// Now is time.Now if nil.
	Now func() time.Time
}

// Report tells of one attempt.
type Report struct {
	Key     string
	Attempt int
	Outcome Kind
	// State is where the message stands now.
	State ledger.State
	// MessageID and ConversationID are what Intercom answered, if it did.
	MessageID, ConversationID string
	// Error is nil for an attempt that sent the message.
	Error *ledger.Error
	// NextAttemptAt is zero where none is planned.
	NextAttemptAt time.Time
	// Took is the time until the answer.
	Took time.Duration
}

// withDefaults fills in what was left out and returns an error that names the
// field of what cannot work.
func (c Config) withDefaults() (Config, error) {
	setDefault(&c.Workspace, ledger.DefaultWorkspace)
	setDefault(&c.Concurrency, DefaultConcurrency)
	setDefault(&c.RequestTimeout, DefaultRequestTimeout)
	setDefault(&c.CommitTimeout, DefaultCommitTimeout)
	setDefault(&c.ShutdownTimeout, c.RequestTimeout+c.CommitTimeout+leaseMargin)
	setDefault(&c.GiveUpAfter, DefaultGiveUpAfter)
	setDefault(&c.SettleDelay, DefaultSettleDelay)
	setDefault(&c.IfUncertain, ledger.Resend)
	setDefault(&c.RateShare, DefaultRateShare)
	setDefault(&c.RecordTTL, ledger.DefaultTTL)
	if c.ContactWait == nil {
		c.ContactWait = new(DefaultContactWait)
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	return c, c.validate()
}

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

func (c Config) validate() error {
	positive := []struct {
		field string
		d     time.Duration
	}{
		{"RequestTimeout", c.RequestTimeout},
		{"CommitTimeout", c.CommitTimeout},
		{"ContactWait", *c.ContactWait + 1},
		{"GiveUpAfter", c.GiveUpAfter},
		{"SettleDelay", c.SettleDelay},
	}
	for _, p := range positive {
		if p.d <= 0 {
			return fmt.Errorf("the field %s is negative", p.field)
		}
	}
	switch {
	case c.Redis == nil:
		return errors.New("the field Redis is required")
	case c.Intercom == nil:
		return errors.New("the field Intercom is required")
	case c.Log == nil:
		return errors.New("the field Log is required")
	case c.Concurrency < 0:
		return errors.New("the field Concurrency is negative")
	case c.ShutdownTimeout <= c.RequestTimeout+c.CommitTimeout:
		return fmt.Errorf("the field ShutdownTimeout %s must be longer than RequestTimeout %s and CommitTimeout %s together: "+
			"messages under way would be sent again elsewhere", c.ShutdownTimeout, c.RequestTimeout, c.CommitTimeout)
	case c.RequestTimeout+c.CommitTimeout+leaseMargin >= task.Timeout:
		return fmt.Errorf("the fields RequestTimeout %s and CommitTimeout %s must be shorter than %s together: asynq ends a task then",
			c.RequestTimeout, c.CommitTimeout, task.Timeout)
	case c.RecordTTL <= max(c.GiveUpAfter, c.SettleDelay, *c.ContactWait):
		return fmt.Errorf("the field RecordTTL %s must be longer than GiveUpAfter %s, SettleDelay %s and ContactWait %s: "+
			"the record of a message that still waits would be forgotten, and the message sent again",
			c.RecordTTL, c.GiveUpAfter, c.SettleDelay, *c.ContactWait)
	case !(c.RateShare > 0 && c.RateShare <= 1):
		return fmt.Errorf("the field RateShare %v must be above 0 and at most 1", c.RateShare)
	case c.IfUncertain != ledger.Resend && c.IfUncertain != ledger.Hold:
		return fmt.Errorf("the field IfUncertain %q is unknown; use resend or hold", c.IfUncertain)
	}
	return nil
}
