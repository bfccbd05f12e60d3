package ratelimit

import (
	"errors"
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9"
	"go.uber.org/zap"
)

// The defaults of Config.
const (
	DefaultShare   = 1.0
	DefaultReserve = 0.05
	// DefaultWindow is the length of Intercom's windows.
	DefaultWindow = 10 * time.Second
)

// Config configures a Limiter. Zero values mean the defaults.
type Config struct {
	// Redis holds what the processes share. Required; stays the caller's to
	// close.
	Redis redis.UniversalClient
	// Key is the Redis key of the budget, the same for all who share it. A
	// second key begins with it, so on a cluster it needs a hash tag. Required.
	Key string
	// Share is the part of Intercom's limit that all processes together may
	// spend, above 0 and at most 1, 1 by default. The rest is left for other
	// apps. All processes should have the same.
	Share float64
	// Reserve is the part of the share by which urgent requests may run ahead,
	// at least 0 and below 1. Nil means the default, 0.05.
	Reserve *float64
	// Window is how long a window is expected to be until an answer says when
	// it ends, 10 s by default.
	Window time.Duration
	// Log is required.
	Log *zap.Logger
	// Metrics registers the limiter's metrics, if not nil.
	Metrics prometheus.Registerer
	// Now is time.Now if nil.
	Now func() time.Time
}

func (c Config) withDefaults() (Config, error) {
	if c.Share == 0 {
		c.Share = DefaultShare
	}
	if c.Reserve == nil {
		c.Reserve = new(DefaultReserve)
	}
	if c.Window == 0 {
		c.Window = DefaultWindow
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	switch {
	case c.Redis == nil:
		return c, errors.New("the field Redis is required")
	case c.Key == "":
		return c, errors.New("the field Key is required")
	case c.Log == nil:
		return c, errors.New("the field Log is required")
	case !(c.Share > 0 && c.Share <= 1):
		return c, fmt.Errorf("the field Share %v must be above 0 and at most 1", c.Share)
	case !(*c.Reserve >= 0 && *c.Reserve < 1):
		return c, fmt.Errorf("the field Reserve %v must be at least 0 and below 1", *c.Reserve)
	case c.Window < time.Second:
		return c, fmt.Errorf("the field Window %s must be at least 1s", c.Window)
	}
	return c, nil
}
