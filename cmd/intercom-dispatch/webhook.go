package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/intercom-dispatch/intercom-dispatch/internal/httpserver"
	"github.com/intercom-dispatch/intercom-dispatch/replies"
)

// webhookOptions configure the receiver of notifications.
type webhookOptions struct {
	secretOptions `embed:""`

	WebhookAddr   string   `name:"webhook-addr" env:"DISPATCH_WEBHOOK_ADDR" default:":8080" placeholder:"ADDR" help:"Where notifications are received, at the path /webhooks/intercom (${default})."`
	AppWorkspaces []string `name:"app-workspace" env:"DISPATCH_APP_WORKSPACES" placeholder:"APP_ID=WORKSPACE" help:"Workspace that the notifications of an Intercom app_id are for; several with commas, or the flag again. Workers announce theirs by themselves."`
}

// check returns the client secrets and the workspaces of apps, or an error
// that names the flag to mend.
func (o *webhookOptions) check() (secrets []string, apps map[string]string, err error) {
	if secrets, err = o.secrets(); err != nil {
		return nil, nil, &exitError{exitUsage, err}
	}
	if apps, err = o.apps(); err != nil {
		return nil, nil, &exitError{exitUsage, fmt.Errorf("--app-workspace: %w", err)}
	}
	return secrets, apps, nil
}

func (o *webhookOptions) apps() (map[string]string, error) {
	all := make(map[string]string)
	for _, text := range o.AppWorkspaces {
		if text = strings.TrimSpace(text); text == "" {
			continue
		}
		app, workspace, ok := strings.Cut(text, "=")
		if !ok {
			return nil, fmt.Errorf("%.80q must be APP_ID=WORKSPACE, such as abc12def=main", text)
		}
		if err := replies.CheckApp(app, workspace); err != nil {
			return nil, err
		}
		if other, ok := all[app]; ok && other != workspace {
			return nil, fmt.Errorf("app id %q is given to two workspaces, %q and %q", app, other, workspace)
		}
		all[app] = workspace
	}
	return all, nil
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

// receiverTimeout bounds the wait for Redis at the end.
const receiverTimeout = 5 * time.Second

// webhookReadTimeout bounds the arrival of requests, on other paths too.
const webhookReadTimeout = 10 * time.Second

// open binds the address for notifications and returns what receives them
// until its context ends.
func (o *webhookOptions) open(
	ctx context.Context, conn *connection, workspace string, registry prometheus.Registerer, log *zap.Logger,
) (part, error) {
	secrets, apps, err := o.check()
	if err != nil {
		return nil, err
	}
	queue, err := replies.NewAppQueue(replies.AppQueueConfig{Redis: conn.client, Workspace: workspace, Apps: apps, Log: log})
	if err != nil {
		return nil, &exitError{exitUsage, err}
	}
	receiver, err := replies.NewReceiver(replies.ReceiverConfig{Secrets: secrets, Queue: queue, Log: log, Metrics: registry})
	if err != nil {
		return nil, &exitError{exitUsage, err}
	}
	ln, err := httpserver.Listen(ctx, o.WebhookAddr)
	if err != nil {
		return nil, fmt.Errorf("--webhook-addr: %w", err)
	}
	log.Info("receiving webhook notifications", zap.String("addr", ln.Addr().String()), zap.String("path", replies.WebhookPath),
		zap.String("workspace", workspace), zap.Int("client_secrets", len(secrets)), zap.Any("app_workspaces", apps))
	mux := http.NewServeMux()
	mux.Handle(replies.WebhookPath, receiver)
	return func(ctx context.Context) error {
		err := runAll(ctx, queue.Run, func(ctx context.Context) error {
			return httpserver.Serve(ctx, ln, mux, httpserver.Config{Log: log, ReadTimeout: webhookReadTimeout})
		})
		ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), receiverTimeout)
		defer cancel()
		if closeErr := receiver.Close(ending); closeErr != nil {
			log.Warn("notifications were left while Redis did not answer", zap.Error(closeErr))
		}
		return err
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
	if _, _, err := c.check(); err != nil {
		return err
	}
	conn, err := c.connect(ctx, 0)
	if err != nil {
		return err
	}
	defer conn.close()
	registry := newRegistry()
	receive, err := c.webhookOptions.open(ctx, conn, c.Workspace, registry, log)
	if err != nil {
		return err
	}
	admin, err := c.adminOptions.open(ctx, conn, c.Workspace, false, registry, log)
	if err != nil {
		return err
	}
	return runAll(ctx, receive, admin)
}
