package main

import (
	"context"
	"fmt"
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/redis/go-redis/v9"
	"go.uber.org/zap"

	"github.com/intercom-dispatch/intercom-dispatch/internal/admin"
	"github.com/intercom-dispatch/intercom-dispatch/internal/monitor"
	"github.com/intercom-dispatch/intercom-dispatch/internal/onhold"
	"github.com/intercom-dispatch/intercom-dispatch/internal/redisconn"
	"github.com/intercom-dispatch/intercom-dispatch/internal/stack"
	"github.com/intercom-dispatch/intercom-dispatch/worker"
)

// adminOptions configure what operators and their tools ask.
type adminOptions struct {
	AdminAddr     string   `name:"admin-addr" env:"DISPATCH_ADMIN_ADDR" default:"127.0.0.1:8090" placeholder:"ADDR" help:"/healthz, /readyz and /metrics, and the web UI where there is one; it has no login (${default})."`
	AdminHosts    []string `name:"admin-host" env:"DISPATCH_ADMIN_HOSTS" placeholder:"NAME" help:"Host name by which browsers reach the web UI, besides localhost and IP addresses; '*' for any, behind a proxy that checks who comes."`
	AdminReadOnly bool     `name:"admin-read-only" env:"DISPATCH_ADMIN_READ_ONLY" help:"Refuse every action in the web UI."`
}

// adminParts are what the admin address serves.
type adminParts struct {
	ui       http.Handler // nil for none
	registry *prometheus.Registry
	redis    redis.UniversalClient
	checks   []admin.Check // besides Redis
	log      *zap.Logger
}

// workspaceCheck fails while the workspace is on hold, and says why.
func workspaceCheck(rdb redis.UniversalClient, workspace string) admin.Check {
	return admin.Check{Name: "workspace", Run: func(ctx context.Context) error {
		s, err := onhold.Read(ctx, rdb, workspace)
		if err == nil && s.OnHold() {
			err = &onhold.HeldError{State: s}
		}
		return err
	}}
}

// open binds the admin address and returns what serves it until its context
// ends, with the web UI if ui is set.
func (o *adminOptions) open(
	ctx context.Context, conn *connection, workspace string, ui bool, r *prometheus.Registry, log *zap.Logger, checks ...admin.Check,
) (part, error) {
	parts := adminParts{registry: r, redis: conn.client, checks: checks, log: log}
	if err := r.Register(worker.NewQueueMetrics(conn.client, workspace)); err != nil {
		return nil, fmt.Errorf("register metrics: %w", err)
	}
	closeUI := func() {}
	if ui {
		h, err := monitor.New(monitor.Config{Redis: conn.config, Log: log, Hosts: o.AdminHosts, ReadOnly: o.AdminReadOnly})
		if err != nil {
			return nil, err
		}
		// It holds connections only, and the process ends with it.
		closeUI = func() { _ = h.Close() }
		parts.ui = h
	}
	s, err := listenAdmin(ctx, o.AdminAddr, parts)
	if err != nil {
		closeUI()
		return nil, err
	}
	return func(ctx context.Context) error {
		defer closeUI()
		return s.Serve(ctx)
	}, nil
}

// listenAdmin binds the admin address.
func listenAdmin(ctx context.Context, addr string, parts adminParts) (*admin.Server, error) {
	s, err := admin.Listen(ctx, addr, admin.Config{
		Checks: append([]admin.Check{{
			Name: "redis",
			Run:  func(ctx context.Context) error { return parts.redis.Ping(ctx).Err() },
		}}, parts.checks...),
		Metrics: parts.registry,
		Root:    parts.ui,
		Log:     parts.log,
	})
	if err != nil {
		return nil, fmt.Errorf("--admin-addr: %w", err)
	}
	parts.log.Info("admin address", zap.String("addr", s.Addr().String()), zap.Bool("web_ui", parts.ui != nil))
	return s, nil
}

// stackUI is the web UI of an embedded stack.
func stackUI(s *stack.Stack) (*monitor.Handler, error) {
	cfg, err := redisconn.Parse("redis://" + s.RedisAddr + "/0")
	if err != nil {
		return nil, err
	}
	return monitor.New(monitor.Config{Redis: cfg})
}

// newRegistry returns a registry with the metrics of the process itself.
func newRegistry() *prometheus.Registry {
	r := prometheus.NewRegistry()
	r.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return r
}
