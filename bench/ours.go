package main

import (
	"context"
	"fmt"
	"os"
	"runtime/debug"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9"
	"golang.org/x/sync/errgroup"

	"github.com/intercom-dispatch/intercom-dispatch/enqueue"
	"github.com/intercom-dispatch/intercom-dispatch/intercom"
	"github.com/intercom-dispatch/intercom-dispatch/internal/logging"
	"github.com/intercom-dispatch/intercom-dispatch/internal/redisconn"
	"github.com/intercom-dispatch/intercom-dispatch/replies"
	"github.com/intercom-dispatch/intercom-dispatch/worker"
)

// gcPercent is that of the worker command.
const gcPercent = 400

// runOurs is the worker command (cmd/intercom-dispatch/worker.go) with its
// defaults, but for the concurrency and the admin server, which nobody asks.
func runOurs(ctx context.Context, s spec, ready func(string) error) error {
	debug.SetGCPercent(gcPercent)
	log, err := logging.New("info", "json", os.Stderr)
	if err != nil {
		return err
	}
	client, err := intercom.New(intercom.Config{
		Token: intercom.StaticToken("bench"), BaseURL: s.Fake, Concurrency: s.Concurrency,
	})
	if err != nil {
		return err
	}
	defer client.Close()
	rdb, err := ourRedis(s.Redis, s.DB, s.Concurrency+20)
	if err != nil {
		return err
	}
	registry := prometheus.NewRegistry()
	w, err := worker.New(worker.Config{
		Redis: rdb, Intercom: client, Concurrency: s.Concurrency,
		Log: log, AsynqLog: logging.Asynq(log), Metrics: registry,
	})
	if err != nil {
		return err
	}
	matcher, err := replies.NewMatcher(replies.MatcherConfig{
		Redis: rdb, Log: log, AsynqLog: logging.Asynq(log), Metrics: registry,
	})
	if err != nil {
		return err
	}
	if err := ready(""); err != nil {
		return err
	}
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return w.Run(ctx) })
	g.Go(func() error { return matcher.Run(ctx) })
	return g.Wait()
}

func ourRedis(addr string, db, poolSize int) (redis.UniversalClient, error) {
	cfg, err := redisconn.Parse(fmt.Sprintf("redis://%s/%d", addr, db))
	if err != nil {
		return nil, err
	}
	cfg.PoolSize = poolSize
	return cfg.NewClient(), nil
}

// ourProducer enqueues with this project's client.
type ourProducer struct {
	rdb    redis.UniversalClient
	client *enqueue.Client
}

func newOurProducer(addr string, db int) (producer, error) {
	rdb, err := ourRedis(addr, db, producerPool)
	if err != nil {
		return nil, err
	}
	client, err := enqueue.New(rdb, enqueue.Config{})
	if err != nil {
		return nil, err
	}
	return &ourProducer{rdb, client}, nil
}

func (p *ourProducer) enqueue(ctx context.Context, i item) error {
	_, err := p.client.Enqueue(ctx, i.message, enqueue.Key(i.key), enqueue.At(i.at))
	return err
}

func (p *ourProducer) batch(ctx context.Context, items []item) error {
	requests := make([]enqueue.Request, len(items))
	for n, i := range items {
		requests[n] = enqueue.Request{Key: i.key, Message: i.message, At: i.at}
	}
	_, err := p.client.EnqueueBatch(ctx, requests)
	return err
}

func (p *ourProducer) close() { _ = p.rdb.Close() }
