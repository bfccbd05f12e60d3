package main

import (
	"context"
	"errors"
	"os"
	"runtime/debug"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/intercom-dispatch/intercom-dispatch/intercom"
	"github.com/intercom-dispatch/intercom-dispatch/internal/logging"
	"github.com/intercom-dispatch/intercom-dispatch/ledger"
	"github.com/intercom-dispatch/intercom-dispatch/replies"
	"github.com/intercom-dispatch/intercom-dispatch/worker"
)

type workerCommand struct {
	redisOptions    `embed:""`
	intercomOptions `embed:""`
	adminOptions    `embed:""`
	webhookOptions  `embed:""`
	pollOptions     `embed:""`

	Concurrency    int           `env:"DISPATCH_CONCURRENCY" default:"64" placeholder:"N" help:"Messages that are delivered at a time (${default}), and an eighth more of high priority."`
	RequestTimeout time.Duration `env:"DISPATCH_REQUEST_TIMEOUT" default:"30s" placeholder:"DURATION" help:"Limit for one request to Intercom (${default})."`
	ContactWait    time.Duration `env:"DISPATCH_CONTACT_WAIT" default:"15m" placeholder:"DURATION" help:"How long a contact that Intercom does not know may yet appear (${default})."`
	GiveUpAfter    time.Duration `env:"DISPATCH_GIVE_UP_AFTER" default:"24h" placeholder:"DURATION" help:"How long a message that Intercom does not take is tried (${default})."`
	SettleDelay    time.Duration `env:"DISPATCH_SETTLE_DELAY" default:"5m" placeholder:"DURATION" help:"How long a message that may have been created is looked for in Intercom, whose search lags behind, before it counts as not there (${default})."`
	RateShare      float64       `env:"DISPATCH_RATE_SHARE" default:"1.0" placeholder:"SHARE" help:"Part of Intercom's rate limit that all workers of the workspace together may use, above 0 and at most 1 (${default}). The rest is left for other apps."`
	PlainDequeue   bool          `env:"DISPATCH_PLAIN_DEQUEUE" help:"Leave fetching tasks to asynq: slower, one at a time and by polling, but in asynq's own ways only."`
	IfUncertain    string        `env:"DISPATCH_IF_UNCERTAIN" enum:"resend,hold" default:"resend" placeholder:"resend|hold" help:"What happens when an attempt may or may not have created the message (${default})."`

	OmitReplyText bool `env:"DISPATCH_OMIT_REPLY_TEXT" help:"Publish reply events without what contacts wrote."`

	Webhook bool `help:"Receive webhook notifications in the same process."`
	Monitor bool `help:"Serve the web UI in the same process, at --admin-addr."`
}

// pollOptions say whether replies are looked for.
type pollOptions struct {
	PollReplies bool    `env:"DISPATCH_POLL_REPLIES" help:"Look for replies in Intercom, for what webhooks lose and where none can be had; the same for all workers of the workspace."`
	PollShare   float64 `env:"DISPATCH_POLL_SHARE" default:"0.1" placeholder:"SHARE" help:"Part of Intercom's rate limit that all workers of the workspace together may use for that, above 0 and at most 1 (${default})."`
}

// gcPercent has the collector run less often than Go's default of 100: a worker's
// heap is some MiB, and collecting it took a fifth of its processor time.
const gcPercent = 400

func (c *workerCommand) Run(ctx context.Context, p *program) error {
	if _, set := os.LookupEnv("GOGC"); !set {
		debug.SetGCPercent(gcPercent)
	}
	log, err := p.log()
	if err != nil {
		return err
	}
	if c.Webhook {
		if _, _, err := c.webhookOptions.check(); err != nil {
			return err
		}
	}
	if err := c.check(); err != nil {
		return &exitError{exitUsage, err}
	}
	// High messages have an eighth besides, and the poller has one.
	client, err := c.client(c.RequestTimeout, c.Concurrency+c.Concurrency/8+2)
	if err != nil {
		return err
	}
	defer client.Close()
	// One connection for each delivery, and some for asynq itself.
	conn, err := c.connect(ctx, c.Concurrency+20)
	if err != nil {
		return err
	}
	defer conn.close()
	registry := newRegistry()
	w, err := c.worker(conn, client, log, registry)
	if err != nil {
		return &exitError{exitUsage, err}
	}
	matcher, err := replies.NewMatcher(replies.MatcherConfig{
		Redis: conn.client, Workspace: c.Workspace, RecordTTL: c.RecordTTL, OmitText: c.OmitReplyText,
		Log: log, AsynqLog: logging.Asynq(log), Metrics: registry,
	})
	if err != nil {
		return err
	}
	c.logConfig(log)
	intro := &introduction{client: client, redis: conn.client, workspace: c.Workspace, log: log}
	intro.first(ctx)

	parts := []part{w.Run, matcher.Run, intro.run}
	if c.PollReplies {
		poller, err := c.poller(conn, client, log, registry)
		if err != nil {
			return &exitError{exitUsage, err}
		}
		parts = append(parts, poller.Run)
	}
	if c.Webhook {
		receive, err := c.webhookOptions.open(ctx, conn, c.Workspace, registry, log)
		if err != nil {
			return err
		}
		parts = append(parts, receive)
	}
	admin, err := c.adminOptions.open(ctx, conn, c.Workspace, c.Monitor, registry, log,
		workspaceCheck(conn.client, c.Workspace))
	if err != nil {
		return err
	}
	err = runAll(ctx, append(parts, admin)...)
	log.Info("worker stopped", zap.Error(err))
	return err
}

// maxRequestTimeout is far from what asynq gives to a task.
const maxRequestTimeout = 10 * time.Minute

// check refuses, by the names of flags, what cannot work or would be taken
// for a default.
func (c *workerCommand) check() error {
	switch {
	case c.Concurrency < 1:
		return errors.New("--concurrency must be at least 1")
	case c.RequestTimeout <= 0 || c.RequestTimeout > maxRequestTimeout:
		return errors.New("--request-timeout must be longer than 0 and at most 10m")
	case c.ContactWait < 0:
		return errors.New("--contact-wait must not be negative; 0 is not to wait")
	case c.GiveUpAfter <= 0:
		return errors.New("--give-up-after must be longer than 0")
	case c.SettleDelay <= 0:
		return errors.New("--settle-delay must be longer than 0")
	case !(c.RateShare > 0 && c.RateShare <= 1):
		return errors.New("--rate-share must be above 0 and at most 1, such as 0.8")
	case !(c.PollShare > 0 && c.PollShare <= 1):
		return errors.New("--poll-share must be above 0 and at most 1, such as 0.1; leave out --poll-replies not to poll")
	case c.RecordTTL <= max(c.GiveUpAfter, c.SettleDelay, c.ContactWait):
		return errors.New("--record-ttl must be longer than --give-up-after, --settle-delay and --contact-wait: " +
			"the record of a message that still waits would be forgotten, and the message sent again")
	}
	return nil
}

func (c *workerCommand) worker(conn *connection, client *intercom.Client, log *zap.Logger, r prometheus.Registerer) (*worker.Worker, error) {
	return worker.New(worker.Config{
		Redis: conn.client, Intercom: client, Workspace: c.Workspace,
		Concurrency: c.Concurrency, RequestTimeout: c.RequestTimeout, ContactWait: &c.ContactWait,
		GiveUpAfter: c.GiveUpAfter, SettleDelay: c.SettleDelay, IfUncertain: ledger.Policy(c.IfUncertain), RecordTTL: c.RecordTTL,
		RateShare: c.RateShare, PlainDequeue: c.PlainDequeue, PollReplies: c.PollReplies,
		Log: log, AsynqLog: logging.Asynq(log), Metrics: r,
	})
}

func (c *workerCommand) poller(conn *connection, client *intercom.Client, log *zap.Logger, r prometheus.Registerer) (*replies.Poller, error) {
	return replies.NewPoller(replies.PollerConfig{
		Redis: conn.client, Intercom: client, Workspace: c.Workspace, RecordTTL: c.RecordTTL,
		Share: c.PollShare, RateShare: c.RateShare, OmitText: c.OmitReplyText, Log: log, Metrics: r,
	})
}

func (c *workerCommand) logConfig(log *zap.Logger) {
	log.Info("worker starting",
		zap.String("version", buildVersion()), zap.String("workspace", c.Workspace),
		zap.Int("concurrency", c.Concurrency), zap.Duration("request_timeout", c.RequestTimeout),
		zap.Duration("contact_wait", c.ContactWait), zap.Duration("give_up_after", c.GiveUpAfter),
		zap.Duration("settle_delay", c.SettleDelay), zap.String("if_uncertain", c.IfUncertain), zap.Duration("record_ttl", c.RecordTTL), zap.Float64("rate_share", c.RateShare), zap.Bool("plain_dequeue", c.PlainDequeue),
		zap.String("intercom_region", c.Region), zap.String("intercom_base_url", c.BaseURL),
		zap.String("intercom_version", c.Version), zap.Bool("intercom_token_configured", true),
		zap.String("admin_addr", c.AdminAddr), zap.Bool("webhook", c.Webhook), zap.Bool("monitor", c.Monitor),
		zap.Bool("poll_replies", c.PollReplies), zap.Float64("poll_share", c.PollShare),
		zap.Bool("omit_reply_text", c.OmitReplyText),
	)
}
