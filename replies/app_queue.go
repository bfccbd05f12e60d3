package replies

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"
	"go.uber.org/zap"

	"github.com/intercom-dispatch/intercom-dispatch/intercom"
	"github.com/intercom-dispatch/intercom-dispatch/ledger"
)

// ErrOtherApp is returned for a notification of an Intercom workspace that no
// workspace here is for.
var ErrOtherApp = errors.New("the notification is of an Intercom app that no worker has announced and no setting names")

// AppQueueConfig configures an [AppQueue]. Redis is required.
type AppQueueConfig struct {
	// Redis holds the queues, and what workers have announced. It stays the
	// caller's to close.
	Redis redis.UniversalClient
	// Workspace gets the notifications of which nothing else is known.
	// ledger.DefaultWorkspace if empty.
	Workspace string
	// Apps says which workspace an app id belongs to. It is believed before what
	// workers have announced.
	Apps map[string]string
	// Log gets what is learnt about apps. Nil: nothing.
	Log *zap.Logger
}

// AppQueue puts each notification into the queue of the workspace that its
// app_id belongs to: one webhook URL gets those of all Intercom workspaces in
// which the app is installed, and ids of messages are not unique across them.
// It is safe for concurrent use.
//
// What it was not told it learns from Redis, where workers announce their apps
// ([AnnounceApp]). A notification of an app of which nothing is known is
// refused with [ErrOtherApp] if Workspace has an app, and otherwise taken for
// Workspace's: no worker has ever announced itself, so it may be.
type AppQueue struct {
	client *asynq.Client
	apps   *apps
}

// NewAppQueue returns an error that names the field which cannot be used.
func NewAppQueue(cfg AppQueueConfig) (*AppQueue, error) {
	if cfg.Redis == nil {
		return nil, errors.New("replies: Redis is required")
	}
	if cfg.Workspace == "" {
		cfg.Workspace = ledger.DefaultWorkspace
	}
	if err := ledger.CheckWorkspace(cfg.Workspace); err != nil {
		return nil, fmt.Errorf("replies: %w", err)
	}
	for app, workspace := range cfg.Apps {
		if err := CheckApp(app, workspace); err != nil {
			return nil, fmt.Errorf("replies: Apps: %w", err)
		}
	}
	return &AppQueue{client: asynq.NewClientFromRedisClient(cfg.Redis), apps: newApps(cfg)}, nil
}

// Run keeps what is known about apps fresh until ctx ends: it looks every 30 s.
// Without it only apps that are not known are looked for.
func (q *AppQueue) Run(ctx context.Context) error {
	const interval, limit = 30 * time.Second, 5 * time.Second
	every := time.NewTicker(interval)
	defer every.Stop()
	for {
		reading, cancel := context.WithTimeout(ctx, limit)
		err := q.apps.refresh(reading, 0)
		cancel()
		if err != nil && ctx.Err() == nil {
			q.apps.log.Warn("the Intercom apps of the workspaces could not be read", zap.Error(err))
		}
		select {
		case <-ctx.Done():
			return nil
		case <-every.C:
		}
	}
}

// QueueNotification returns nil once the notification is in Redis, and
// ErrOtherApp if it is nobody's here. One that is in Redis already is no
// error: Intercom delivers at least once.
func (q *AppQueue) QueueNotification(ctx context.Context, n *intercom.Notification, raw []byte) error {
	workspace, err := q.apps.workspaceOf(ctx, n.AppID)
	if err != nil {
		return err
	}
	return queueNotification(ctx, q.client, workspace, n, raw)
}
