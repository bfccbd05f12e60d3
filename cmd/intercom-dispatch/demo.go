package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/intercom-dispatch/intercom-dispatch/enqueue"
	"github.com/intercom-dispatch/intercom-dispatch/internal/demo"
	"github.com/intercom-dispatch/intercom-dispatch/internal/stack"
)

type demoCommand struct {
	File  string `placeholder:"FILE" help:"Tell it with these messages, one JSON object a line as for enqueue, instead of the built-in ones."`
	Stay  bool   `help:"Keep everything up afterwards, with the web UI, until interrupted."`
	Admin string `name:"admin-addr" env:"DISPATCH_ADMIN_ADDR" default:"127.0.0.1:8090" placeholder:"ADDR" help:"Where --stay serves the web UI (${default})."`
}

func (c *demoCommand) Run(ctx context.Context, p *program) error {
	requests, refused, err := c.requests(p)
	if err != nil {
		return err
	}
	// The story is told on standard output; the parts' own logs would only
	// stand in between.
	log := zap.NewNop()
	if p.logLevel == "debug" {
		if log, err = p.log(); err != nil {
			return err
		}
	}
	registry := prometheus.NewRegistry()
	cfg := demo.Config{Out: p.stdout, Requests: requests, Log: log, Metrics: registry}
	if c.Stay {
		cfg.Stay = func(ctx context.Context, s *stack.Stack) error { return c.stay(ctx, p, s, registry) }
	}
	err = demo.Run(ctx, cfg)
	if c.Stay && ctx.Err() != nil && errors.Is(err, context.Canceled) {
		err = nil
	}
	if err == nil && refused > 0 {
		return &exitError{status: exitFailed}
	}
	return err
}

// requests reads the file's good lines and says which ones are bad.
func (c *demoCommand) requests(p *program) (requests []enqueue.Request, refused int, err error) {
	if c.File == "" {
		return nil, 0, nil
	}
	f, err := os.Open(c.File)
	if err != nil {
		return nil, 0, &exitError{exitUsage, err}
	}
	defer f.Close()
	err = readLines(f, func(l inputLine) bool {
		request, bad := parseLine(l)
		if bad != nil {
			refused++
			fmt.Fprintf(p.stderr, "line %d: %v\n", l.number, bad)
			return true
		}
		// By the number that the file's editor shows.
		request.Key = cmp.Or(request.Key, fmt.Sprintf("line-%d", l.number))
		requests = append(requests, request)
		return true
	})
	if err != nil {
		return nil, 0, fmt.Errorf("read %s: %w", c.File, err)
	}
	if len(requests) == 0 {
		return nil, 0, fmt.Errorf("%s holds no message that can be sent", c.File)
	}
	return requests, refused, nil
}

func (c *demoCommand) stay(ctx context.Context, p *program, s *stack.Stack, registry *prometheus.Registry) error {
	ui, err := stackUI(s)
	if err != nil {
		return err
	}
	defer ui.Close()
	web, err := listenAdmin(ctx, c.Admin, adminParts{ui: ui, registry: registry, redis: s.Redis, log: zap.NewNop()})
	if err != nil {
		return err
	}
	fmt.Fprintf(p.stdout, "\nThe web UI is at http://%s/ until you press Ctrl-C.\n", web.Addr())
	return web.Serve(ctx)
}
