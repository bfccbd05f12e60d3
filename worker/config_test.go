package worker_test

import (
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"github.com/intercom-dispatch/intercom-dispatch/intercom"
	"github.com/intercom-dispatch/intercom-dispatch/worker"
)

// usable is a configuration that only lacks a Redis that answers.
func usable(t *testing.T) worker.Config {
	t.Helper()
	c, err := intercom.New(intercom.Config{Token: intercom.StaticToken(token)})
	require.NoError(t, err)
	t.Cleanup(c.Close)
	rdb := redis.NewClient(&redis.Options{Addr: "192.0.2.1:1"})
	t.Cleanup(func() { _ = rdb.Close() })
	return worker.Config{Redis: rdb, Intercom: c, Log: zap.NewNop()}
}

func TestNewRefusesWhatCannotWorkAndNamesTheField(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		change func(*worker.Config)
		want   string
	}{
		"no Redis":        {func(c *worker.Config) { c.Redis = nil }, "Redis"},
		"no Intercom":     {func(c *worker.Config) { c.Intercom = nil }, "Intercom"},
		"no log":          {func(c *worker.Config) { c.Log = nil }, "Log"},
		"workspace":       {func(c *worker.Config) { c.Workspace = "Main!" }, "workspace"},
		"concurrency":     {func(c *worker.Config) { c.Concurrency = -1 }, "Concurrency"},
		"request timeout": {func(c *worker.Config) { c.RequestTimeout = -1 }, "RequestTimeout"},
		"commit timeout":  {func(c *worker.Config) { c.CommitTimeout = -1 }, "CommitTimeout"},
		"contact wait":    {func(c *worker.Config) { c.ContactWait = new(time.Duration(-1)) }, "ContactWait"},
		"give up after":   {func(c *worker.Config) { c.GiveUpAfter = -1 }, "GiveUpAfter"},
		"policy":          {func(c *worker.Config) { c.IfUncertain = "retry" }, "IfUncertain"},
		"record TTL":      {func(c *worker.Config) { c.RecordTTL = time.Second }, "TTL"},
		"a shutdown that cuts requests off": {
			func(c *worker.Config) { c.ShutdownTimeout = worker.DefaultRequestTimeout }, "ShutdownTimeout",
		},
		"a shutdown without time for the commit": {
			func(c *worker.Config) {
				c.RequestTimeout, c.CommitTimeout, c.ShutdownTimeout = 10*time.Second, 5*time.Second, 15*time.Second
			}, "ShutdownTimeout",
		},
		"requests longer than a task": {
			func(c *worker.Config) { c.RequestTimeout = 30 * time.Minute }, "RequestTimeout",
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cfg := usable(t)
			tt.change(&cfg)
			_, err := worker.New(cfg)
			require.ErrorContains(t, err, tt.want)
		})
	}
}

func TestNewTakesTheDefaultsAndRegistersTheMetrics(t *testing.T) {
	t.Parallel()
	cfg := usable(t)
	reg := prometheus.NewRegistry()
	cfg.Metrics = reg
	_, err := worker.New(cfg)
	require.NoError(t, err)
	_, err = worker.New(cfg)
	require.ErrorContains(t, err, "metrics", "two workers cannot have the same metrics")
	cfg.Metrics, cfg.ContactWait = nil, new(time.Duration)
	_, err = worker.New(cfg)
	require.NoError(t, err)
}
