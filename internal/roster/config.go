package roster

import (
	"errors"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"
	"go.uber.org/zap"

	"github.com/intercom-dispatch/intercom-dispatch/ledger"
)

// The defaults of Config.
const (
	DefaultInterval   = time.Second
	DefaultDeadAfter  = 8 * time.Second
	DefaultSweepEvery = 5 * time.Minute
)

// maxGap is how many intervals may lie between two observations without the
// observer losing its trust in what it saw before.
const maxGap = 3

// Config configures a Roster.
type Config struct {
	// Redis holds the roster and the queues. Required; stays the caller's to
	// close. It must read from where it writes: what replicas know is old.
	Redis redis.UniversalClient
	// Workspace is ledger.DefaultWorkspace if empty.
	Workspace string
	// Queues are asynq's queues whose active tasks are watched: those that the
	// member's own server serves. Whoever runs tasks of these queues must be a
	// member, or its tasks are taken from it.
	Queues []string
	// Log is required.
	Log *zap.Logger
	// Interval is how often a member says that it is there and looks at the
	// others; 1 s if zero. It should be the same for all.
	Interval time.Duration
	// DeadAfter is how long nothing is heard of a member until it counts as
	// gone; 8 s if zero. It must be more than 3 intervals.
	DeadAfter time.Duration
	// SweepEvery is how often one of the members looks for tasks that asynq has
	// in none of its lists; 5 min if zero.
	SweepEvery time.Duration
	// Now is time.Now if nil. Its monotonic reading is what counts.
	Now func() time.Time
}

func (c Config) withDefaults() (Config, error) {
	if c.Workspace == "" {
		c.Workspace = ledger.DefaultWorkspace
	}
	if c.Interval == 0 {
		c.Interval = DefaultInterval
	}
	if c.DeadAfter == 0 {
		c.DeadAfter = DefaultDeadAfter
	}
	if c.SweepEvery == 0 {
		c.SweepEvery = DefaultSweepEvery
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	return c, c.validate()
}

func (c Config) validate() error {
	switch {
	case c.Redis == nil:
		return errors.New("the field Redis is required")
	case c.Log == nil:
		return errors.New("the field Log is required")
	case c.Interval < 0:
		return errors.New("the field Interval is negative")
	case c.SweepEvery < sweepTurns*time.Millisecond:
		return fmt.Errorf("the field SweepEvery %s is too short", c.SweepEvery)
	case c.DeadAfter <= maxGap*c.Interval:
		return fmt.Errorf("the field DeadAfter %s must be more than %d times Interval %s: "+
			"members would be taken for dead whose next word is under way", c.DeadAfter, maxGap, c.Interval)
	}
	return ledger.CheckWorkspace(c.Workspace)
}
