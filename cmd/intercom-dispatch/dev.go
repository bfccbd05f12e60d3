package main

import (
	"context"
	"fmt"
	"net"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/intercom-dispatch/intercom-dispatch/intercom/intercomtest"
	"github.com/intercom-dispatch/intercom-dispatch/internal/stack"
	"github.com/intercom-dispatch/intercom-dispatch/worker"
)

type devCommand struct {
	RedisAddr   string `default:"127.0.0.1:6380" placeholder:"ADDR" help:"Where the embedded Redis listens (${default})."`
	FakeAddr    string `default:"127.0.0.1:8070" placeholder:"ADDR" help:"Where the fake Intercom listens (${default})."`
	WebhookAddr string `env:"DISPATCH_WEBHOOK_ADDR" default:"127.0.0.1:8080" placeholder:"ADDR" help:"Where the webhook receiver listens (${default})."`
	AdminAddr   string `env:"DISPATCH_ADMIN_ADDR" default:"127.0.0.1:8090" placeholder:"ADDR" help:"Web UI, /healthz, /readyz and /metrics (${default})."`
}

const (
	devToken  = "dev_token"
	devSecret = "dev_secret"
)

func (c *devCommand) Run(ctx context.Context, p *program) error {
	log, err := p.log()
	if err != nil {
		return err
	}
	registry := prometheus.NewRegistry()
	s, err := stack.New(ctx, stack.Config{
		RedisAddr: c.RedisAddr, FakeAddr: c.FakeAddr, WebhookAddr: c.WebhookAddr, Log: log,
		Fake: intercomtest.Config{
			Token: devToken, ClientSecret: devSecret, UnknownContacts: intercomtest.UnknownMessageable, AnyAdmin: true,
		},
		Worker: worker.Config{Metrics: registry},
	})
	if err != nil {
		return err
	}
	defer s.Close()
	ui, err := stackUI(s)
	if err != nil {
		return err
	}
	defer ui.Close()
	web, err := listenAdmin(ctx, c.AdminAddr, adminParts{ui: ui, registry: registry, redis: s.Redis, log: log})
	if err != nil {
		return err
	}
	introduce(p, s, web.Addr())
	return runAll(ctx, s.Run, web.Serve)
}

func introduce(p *program, s *stack.Stack, web net.Addr) {
	fmt.Fprintf(p.stdout, `Everything is up, in memory, until you press Ctrl-C.

  export REDIS_URL=redis://%s/0          for enqueue, message get, replies tail, and your service
  export INTERCOM_BASE_URL=%s   the fake Intercom
  export INTERCOM_ACCESS_TOKEN=%s
  export INTERCOM_CLIENT_SECRET=%s

  web UI             http://%s/
  what was created   curl %s/_fake/log

In the fake Intercom every contact exists; appears-in-5s-NAME is not there for 5 s, never-NAME never.
`, s.RedisAddr, s.FakeURL, devToken, devSecret, web, s.FakeURL)
}
