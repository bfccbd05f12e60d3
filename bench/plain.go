package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"github.com/intercom-dispatch/intercom-dispatch/intercom"
)

const (
	plainType = "message:send"
	// plainTTL is how long the index entries live: as long as our records.
	plainTTL = 90 * 24 * time.Hour
	// requestTimeout is the default of our worker.
	requestTimeout = 30 * time.Second
)

// plainWorker is what one writes with asynq's README: post the message, store
// its id, and by the id its key, for matching replies.
type plainWorker struct {
	url  string
	http *http.Client
	rdb  *redis.Client
}

// runPlain has connections enough for its concurrency: http.Client's default
// of two idle ones, and go-redis' of ten for each CPU, would be an unfair
// comparison.
func runPlain(ctx context.Context, s spec, ready func(string) error) error {
	w := &plainWorker{
		url: s.Fake + "/messages",
		http: &http.Client{Timeout: requestTimeout, Transport: &http.Transport{
			MaxIdleConns: s.Concurrency, MaxIdleConnsPerHost: s.Concurrency,
		}},
		rdb: redis.NewClient(&redis.Options{Addr: s.Redis, DB: s.DB, PoolSize: s.Concurrency}),
	}
	srv := asynq.NewServer(
		asynq.RedisClientOpt{Addr: s.Redis, DB: s.DB, PoolSize: s.Concurrency + 20},
		asynq.Config{Concurrency: s.Concurrency},
	)
	mux := asynq.NewServeMux()
	mux.HandleFunc(plainType, w.handle)
	if err := ready(""); err != nil {
		return err
	}
	if err := srv.Start(mux); err != nil {
		return err
	}
	<-ctx.Done()
	srv.Shutdown()
	return nil
}

func (w *plainWorker) handle(ctx context.Context, t *asynq.Task) error {
	var m intercom.Message
	if err := json.Unmarshal(t.Payload(), &m); err != nil {
		return fmt.Errorf("decode: %w: %w", err, asynq.SkipRetry)
	}
	id, err := w.post(ctx, t.Payload())
	if err != nil {
		return err
	}
	key := t.ResultWriter().TaskID()
	now := time.Now().UnixMilli()
	_, err = w.rdb.Pipelined(ctx, func(p redis.Pipeliner) error {
		p.HSet(ctx, "message:"+key, "state", "sent", "message_id", id, "contact", m.To[0].ID,
			"type", m.MessageType, "attempts", 1, "sent_at", now)
		p.Set(ctx, "message_id:"+id, key, plainTTL)
		return nil
	})
	return err
}

func (w *plainWorker) post(ctx context.Context, body []byte) (id string, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, w.url, bytes.NewReader(body))
	if err != nil {
		return "", err
	}
	req.Header.Set("Authorization", "Bearer bench")
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept", "application/json")
	req.Header.Set("Intercom-Version", intercom.DefaultVersion)
	answer, err := w.http.Do(req)
	if err != nil {
		return "", err
	}
	defer func() { _ = answer.Body.Close() }()
	if answer.StatusCode != http.StatusOK {
		return "", fmt.Errorf("Intercom answered %s", answer.Status) //nolint:staticcheck // It is a name.
	}
	var created struct {
		ID string `json:"id"`
	}
	if err := json.NewDecoder(answer.Body).Decode(&created); err != nil {
		return "", err
	}
	return created.ID, nil
}

// plainProducer enqueues with asynq's client.
type plainProducer struct{ client *asynq.Client }

func newPlainProducer(addr string, db int) (producer, error) {
	return &plainProducer{asynq.NewClient(asynq.RedisClientOpt{Addr: addr, DB: db, PoolSize: producerPool})}, nil
}

func (p *plainProducer) enqueue(ctx context.Context, i item) error {
	payload, err := json.Marshal(i.message)
	if err != nil {
		return err
	}
	opts := []asynq.Option{asynq.TaskID(i.key)}
	if !i.at.IsZero() {
		opts = append(opts, asynq.ProcessAt(i.at))
	}
	_, err = p.client.EnqueueContext(ctx, asynq.NewTask(plainType, payload), opts...)
	return err
}

// batch is a loop: asynq.Client has no batches.
func (p *plainProducer) batch(ctx context.Context, items []item) error {
	for _, i := range items {
		if err := p.enqueue(ctx, i); err != nil {
			return err
		}
	}
	return nil
}

func (p *plainProducer) close() { _ = p.client.Close() }
