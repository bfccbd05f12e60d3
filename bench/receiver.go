package main

import (
	"context"
	"io"
	"net/http"
	"os"

	"github.com/hibiken/asynq"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/intercom-dispatch/intercom-dispatch/intercom"
	"github.com/intercom-dispatch/intercom-dispatch/internal/httpserver"
	"github.com/intercom-dispatch/intercom-dispatch/internal/logging"
	"github.com/intercom-dispatch/intercom-dispatch/internal/task"
	"github.com/intercom-dispatch/intercom-dispatch/ledger"
	"github.com/intercom-dispatch/intercom-dispatch/replies"
)

// receiverOf are the roles of the sides' receivers.
var receiverOf = map[string]string{sideOurs: roleOurReceiver, sidePlain: rolePlainReceiver}

// plainNotification is the type of the plain receiver's tasks.
const plainNotification = "webhook:notification"

// runOurReceiver is the webhook command (cmd/intercom-dispatch/webhook.go) with
// its defaults.
func runOurReceiver(ctx context.Context, s spec, ready func(string) error) error {
	log, err := logging.New("info", "json", os.Stderr)
	if err != nil {
		return err
	}
	rdb, err := ourRedis(s.Redis, s.DB, 0)
	if err != nil {
		return err
	}
	queue, err := replies.NewAppQueue(replies.AppQueueConfig{Redis: rdb, Log: log})
	if err != nil {
		return err
	}
	receiver, err := replies.NewReceiver(replies.ReceiverConfig{
		Secrets: []string{webhookSecret}, Queue: queue, Log: log, Metrics: prometheus.NewRegistry(),
	})
	if err != nil {
		return err
	}
	return serveReceiver(ctx, receiver, ready)
}

// runPlainReceiver looks at nothing and keeps everything.
func runPlainReceiver(ctx context.Context, s spec, ready func(string) error) error {
	client := asynq.NewClient(asynq.RedisClientOpt{Addr: s.Redis, DB: s.DB})
	return serveReceiver(ctx, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			http.Error(w, "cut short", http.StatusBadRequest)
			return
		}
		if _, err := client.EnqueueContext(r.Context(), asynq.NewTask(plainNotification, body)); err != nil {
			http.Error(w, "not queued", http.StatusServiceUnavailable)
		}
	}), ready)
}

func serveReceiver(ctx context.Context, h http.Handler, ready func(string) error) error {
	ln, err := httpserver.Listen(ctx, "127.0.0.1:0")
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.Handle(replies.WebhookPath, h)
	if err := ready(ln.Addr().String()); err != nil {
		return err
	}
	return httpserver.Serve(ctx, ln, mux, httpserver.Config{})
}

// notifications returns the ids of those that are in a side's queue.
func (r *redisServer) notifications(side string) (map[string]bool, error) {
	queue := map[string]string{sideOurs: task.NotificationQueue(ledger.DefaultWorkspace), sidePlain: "default"}[side]
	inspector := asynq.NewInspectorFromRedisClient(r.rdb)
	kept := make(map[string]bool)
	for page := 1; ; page++ {
		tasks, err := inspector.ListPendingTasks(queue, asynq.Page(page), asynq.PageSize(1000))
		if err != nil || len(tasks) == 0 {
			return kept, err
		}
		for _, t := range tasks {
			n, err := intercom.ParseNotification(t.Payload)
			if err != nil {
				return nil, err
			}
			kept[string(n.ID)] = true
		}
	}
}
