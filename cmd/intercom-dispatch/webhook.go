package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"

	"go.uber.org/zap"

	"github.com/intercom-dispatch/intercom-dispatch/internal/httpserver"
	"github.com/intercom-dispatch/intercom-dispatch/replies"
)

// webhookOptions configure the receiver of notifications.
type webhookOptions struct {
	secretOptions `embed:""`

	WebhookAddr string `name:"webhook-addr" env:"DISPATCH_WEBHOOK_ADDR" default:":8080" placeholder:"ADDR" help:"Where notifications are received, at the path /webhooks/intercom (${default})."`
}

// secretOptions say what notifications are signed with.
type secretOptions struct {
	Secrets    []string `name:"intercom-client-secret" env:"INTERCOM_CLIENT_SECRET" placeholder:"SECRET" help:"Client secret of the Intercom app; two, separated by a comma, while it is being replaced."`
	SecretFile string   `name:"intercom-client-secret-file" env:"INTERCOM_CLIENT_SECRET_FILE" placeholder:"FILE" help:"File that holds the client secret, one a line."`
}

func (o *secretOptions) secrets() ([]string, error) {
	secrets := o.Secrets
	if o.SecretFile != "" {
		if len(secrets) > 0 {
			return nil, errors.New("give --intercom-client-secret or --intercom-client-secret-file, not both")
		}
		b, err := os.ReadFile(o.SecretFile)
		if err != nil {
			return nil, fmt.Errorf("--intercom-client-secret-file: %w", err)
		}
		secrets = strings.Fields(string(b))
	}
	if len(secrets) == 0 {
		return nil, errors.New("a client secret is required: set INTERCOM_CLIENT_SECRET, --intercom-client-secret or --intercom-client-secret-file")
	}
	return secrets, nil
}

// open binds the address for notifications and returns what receives them
// until its context ends.
func (o *webhookOptions) open(ctx context.Context, conn *connection, workspace string, log *zap.Logger) (part, error) {
	secrets, err := o.secrets()
	if err != nil {
		return nil, &exitError{exitUsage, err}
	}
	queue, err := replies.NewAsynqQueue(conn.client, workspace)
	if err != nil {
		return nil, &exitError{exitUsage, err}
	}
	receiver, err := replies.NewReceiver(replies.ReceiverConfig{Secrets: secrets, Queue: queue, Log: log})
	if err != nil {
		return nil, &exitError{exitUsage, err}
	}
	ln, err := httpserver.Listen(ctx, o.WebhookAddr)
	if err != nil {
		return nil, fmt.Errorf("--webhook-addr: %w", err)
	}
	log.Info("receiving webhook notifications", zap.String("addr", ln.Addr().String()), zap.String("path", replies.WebhookPath))
	mux := http.NewServeMux()
	mux.Handle(replies.WebhookPath, receiver)
	return func(ctx context.Context) error {
		return httpserver.Serve(ctx, ln, mux, httpserver.Config{Log: log})
	}, nil
}

type webhookCommand struct {
	redisOptions   `embed:""`
	webhookOptions `embed:""`
	adminOptions   `embed:""`
}

func (c *webhookCommand) Run(ctx context.Context, p *program) error {
	log, err := p.log()
	if err != nil {
		return err
	}
	if _, err := c.secrets(); err != nil {
		return &exitError{exitUsage, err}
	}
	conn, err := c.connect(ctx, 0)
	if err != nil {
		return err
	}
	defer conn.close()
	receive, err := c.webhookOptions.open(ctx, conn, c.Workspace, log)
	if err != nil {
		return err
	}
	admin, err := c.adminOptions.open(ctx, conn, c.Workspace, false, newRegistry(), log)
	if err != nil {
		return err
	}
	return runAll(ctx, receive, admin)
}
