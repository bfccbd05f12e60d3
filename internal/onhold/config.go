package onhold

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9"
	"go.uber.org/zap"

	"github.com/intercom-dispatch/intercom-dispatch/ledger"
)

const (
	defaultProbeTimeout = 10 * time.Second
	defaultTrialLease   = time.Minute
	defaultInterval     = 500 * time.Millisecond
	defaultMaxWait      = 5 * time.Minute

	// writeTimeout bounds one change in Redis, and what is lost with it is done
	// again by a later tick or when a lease is over.
	writeTimeout = 2 * time.Second
)

// Config says which workspace to guard, and how.
type Config struct {
	// Redis is where the hold and asynq's queues are. It stays the caller's to
	// close. Required.
	Redis redis.UniversalClient
	// Workspace is the name of the workspace. Required.
	Workspace string
	// Queues are the names of the asynq queues to pause. Required.
	Queues []string
	// Probe asks Intercom something that sends nothing, and returns nil if the
	// token is good. Required.
	Probe func(context.Context) error
	// ProbeTimeout ends a probe. 10 s if zero.
	ProbeTimeout time.Duration
	// TrialLease is how long one message may be tried before another may be. It
	// must be longer than a request. 1 min if zero.
	TrialLease time.Duration
	// Interval is how often the state is looked at. 500 ms if zero.
	Interval time.Duration
	// Waits are the times before the probes of a hold, rising; the last one is
	// for all that follow. 1, 2, 4, 8 and 15 s if nil.
	Waits []time.Duration
	// MaxWait is the longest wait before a probe; refused trials double the
	// wait up to it. 5 min if zero.
	MaxWait time.Duration
	// Now is the clock for what is only known in this process. time.Now if nil.
	Now func() time.Time
	// Log gets a line for each change. None if nil.
	Log *zap.Logger
	// Metrics gets the gauge dispatch_workspace_on_hold. None if nil.
	Metrics prometheus.Registerer
}

func (c Config) withDefaults() Config {
	if c.ProbeTimeout == 0 {
		c.ProbeTimeout = defaultProbeTimeout
	}
	if c.TrialLease == 0 {
		c.TrialLease = defaultTrialLease
	}
	if c.Interval == 0 {
		c.Interval = defaultInterval
	}
	if c.MaxWait == 0 {
		c.MaxWait = defaultMaxWait
	}
	if c.Waits == nil {
		c.Waits = []time.Duration{time.Second, 2 * time.Second, 4 * time.Second, 8 * time.Second, 15 * time.Second}
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Log == nil {
		c.Log = zap.NewNop()
	}
	return c
}

func (c Config) validate() error {
	if c.Redis == nil {
		return errors.New("field Redis is required")
	}
	if err := ledger.CheckWorkspace(c.Workspace); err != nil {
		return fmt.Errorf("field Workspace: %w", err)
	}
	if len(c.Queues) == 0 {
		return errors.New("field Queues is required")
	}
	if c.Probe == nil {
		return errors.New("field Probe is required")
	}
	for name, d := range map[string]time.Duration{
		"ProbeTimeout": c.ProbeTimeout, "TrialLease": c.TrialLease, "Interval": c.Interval, "MaxWait": c.MaxWait,
	} {
		if d < time.Millisecond {
			return fmt.Errorf("field %s %s must be at least 1ms", name, d)
		}
	}
	return c.validateWaits()
}

func (c Config) validateWaits() error {
	if len(c.Waits) == 0 {
		return errors.New("field Waits must not be empty")
	}
	before := time.Duration(0)
	for _, w := range c.Waits {
		if w < time.Millisecond || w <= before {
			return errors.New("field Waits must rise, from 1ms or more")
		}
		before = w
	}
	return nil
}
