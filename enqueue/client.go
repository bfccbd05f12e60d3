package enqueue

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"
	"go.uber.org/zap"

	"github.com/intercom-dispatch/intercom-dispatch/intercom"
	"github.com/intercom-dispatch/intercom-dispatch/internal/wake"
	"github.com/intercom-dispatch/intercom-dispatch/ledger"
)

// Config says which workspace to enqueue for. The zero value is ready to use.
type Config struct {
	// Workspace is ledger.DefaultWorkspace if empty. It must be the workers'.
	Workspace string
	// RecordTTL is how long the record of a cancelled message is kept, and an
	// order after the last message was added to it, ledger.DefaultTTL if zero.
	// It should be the workers'.
	RecordTTL time.Duration
	// Now is the clock against which At and ExpiresAt are held, time.Now if
	// nil.
	Now func() time.Time
}

// Client enqueues messages and tells what became of them. It is safe for
// concurrent use.
type Client struct {
	rdb       redis.UniversalClient
	ledger    *ledger.Ledger
	inspector *asynq.Inspector
	asynq     *asynq.Client
	composer  *composer
	gatherers *gatherers
	wakes     *wake.Messages
	workspace string
	now       func() time.Time
}

// New returns a client on a connection to the workers' Redis, which stays the
// caller's to close. It does not connect yet. Errors name the field of the
// configuration.
func New(rdb redis.UniversalClient, cfg Config) (*Client, error) {
	if cfg.Workspace == "" {
		cfg.Workspace = ledger.DefaultWorkspace
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.RecordTTL == 0 {
		cfg.RecordTTL = ledger.DefaultTTL
	}
	l, err := ledger.New(rdb, cfg.Workspace, cfg.RecordTTL)
	if err != nil {
		return nil, fmt.Errorf("enqueue: %w", err)
	}
	c := &Client{
		rdb: rdb, ledger: l, workspace: cfg.Workspace, now: cfg.Now,
		inspector: asynq.NewInspectorFromRedisClient(rdb),
		asynq:     asynq.NewClientFromRedisClient(rdb),
		wakes:     wake.NewMessages(wake.New(rdb, zap.NewNop(), cfg.Now), l),
		composer:  newComposer(rdb, cfg.Workspace, cfg.RecordTTL),
	}
	c.gatherers = newGatherers(c.run)
	return c, nil
}

// Status tells what Enqueue found.
type Status string

const (
	// Enqueued says that the message is in Redis and will be sent.
	Enqueued Status = "enqueued"
	// Duplicate says that the same message was enqueued under this key before.
	Duplicate Status = "duplicate"
)

// Result is what became of a request.
type Result struct {
	// Key is the request's key, or the one that was generated. It is set also
	// when there is an error, to try again with.
	Key string
	// Status is empty if there is an error.
	Status Status
	// State is where a duplicate stands.
	State ledger.State
	// Err is the request's error, for EnqueueBatch.
	Err error
}

// Enqueue hands over a message. Its errors are an *intercom.ValidationError
// for what Intercom or this package would reject, a *ConflictError for a key
// that another message has, and errors of Redis.
//
// Calls at the same time share pipelines: one of them sends for those who wait.
// When ctx ends before there is an answer, the error is the context's; the
// message may be enqueued then, as after errors of Redis. As with all of
// go-redis, a call to Redis that is under way heeds a deadline only where
// ContextTimeoutEnabled is set.
func (c *Client) Enqueue(ctx context.Context, m *intercom.Message, opts ...Option) (Result, error) {
	r := Request{Message: m}
	for _, o := range opts {
		o(&r)
	}
	key, j, err := c.prepare(ctx, &r)
	if err != nil {
		return Result{Key: key, Err: err}, err
	}
	j.result = &Result{Key: key}
	result := c.gatherers.enqueue(ctx, j)
	return result, result.Err
}

// EnqueueBatch hands over many messages in pipelines, in order. Each request
// has its own result in the same place: one that is refused does not stop the
// others. Where Redis fails, those behind are not tried, so that they do not
// overtake those that are tried again. The error is a *BatchError if any result
// has one.
func (c *Client) EnqueueBatch(ctx context.Context, requests []Request) ([]Result, error) {
	results := make([]Result, len(requests))
	c.stream(ctx, requests, results)
	return results, batchError(results)
}

func batchError(results []Result) error {
	e := &BatchError{Total: len(results)}
	for _, r := range results {
		if r.Err == nil {
			continue
		}
		if e.Failed++; e.First == nil {
			e.First = r.Err
		}
	}
	if e.Failed == 0 {
		return nil
	}
	return e
}

// prepare checks a request and turns it into asynq's own script call. It
// returns the key also with an error, as far as there is one.
func (c *Client) prepare(ctx context.Context, given *Request) (string, *job, error) {
	r, now := *given, c.now()
	if r.in > 0 {
		r.At = now.Add(r.in)
	}
	message, err := r.encode(now)
	if err != nil {
		return r.Key, nil, err
	}
	if r.Key == "" {
		id, err := uuid.NewV7()
		if err != nil {
			return "", nil, fmt.Errorf("generate a key: %w", err)
		}
		r.Key = id.String()
	}
	if r.Priority == "" {
		r.Priority = Normal
	}
	e := r.envelope(now, message)
	payload, err := encodePayload(e, message)
	if err != nil {
		return r.Key, nil, fmt.Errorf("encode message %q: %w", r.Key, err)
	}
	j, err := c.composer.compose(ctx, r.Key, e, payload)
	return r.Key, j, err
}
