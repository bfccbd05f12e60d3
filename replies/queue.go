package replies

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"github.com/intercom-dispatch/intercom-dispatch/intercom"
	"github.com/intercom-dispatch/intercom-dispatch/internal/task"
	"github.com/intercom-dispatch/intercom-dispatch/ledger"
)

// AsynqQueue puts notifications into the queue of one workspace in Redis, from
// where a Matcher takes them, whatever app they are of; [AppQueue] tells
// workspaces apart. It is safe for concurrent use.
type AsynqQueue struct {
	client    *asynq.Client
	workspace string
}

// NewAsynqQueue returns the queue of a workspace, ledger.DefaultWorkspace if
// it is empty. The connection stays the caller's to close.
func NewAsynqQueue(rdb redis.UniversalClient, workspace string) (*AsynqQueue, error) {
	if workspace == "" {
		workspace = ledger.DefaultWorkspace
	}
	if err := ledger.CheckWorkspace(workspace); err != nil {
		return nil, fmt.Errorf("replies: %w", err)
	}
	return &AsynqQueue{client: asynq.NewClientFromRedisClient(rdb), workspace: workspace}, nil
}

// QueueNotification returns nil once the notification is in Redis. One that is
// there already is no error: Intercom delivers at least once.
func (q *AsynqQueue) QueueNotification(ctx context.Context, n *intercom.Notification, raw []byte) error {
	return queueNotification(ctx, q.client, q.workspace, n, raw)
}

func queueNotification(ctx context.Context, c *asynq.Client, workspace string, n *intercom.Notification, raw []byte) error {
	opts := []asynq.Option{
		asynq.Queue(task.NotificationQueue(workspace)), asynq.MaxRetry(task.MaxRetry), asynq.Timeout(task.Timeout),
	}
	if id := string(n.ID); strings.TrimSpace(id) != "" { // asynq refuses a blank one
		opts = append(opts, asynq.TaskID(id))
	}
	_, err := c.EnqueueContext(ctx, asynq.NewTask(task.TypeNotification, raw), opts...)
	if err != nil && !errors.Is(err, asynq.ErrTaskIDConflict) {
		return fmt.Errorf("queue notification %s: %w", n.ID, err)
	}
	return nil
}
