// Package stack runs everything in one process, on an embedded Redis and the
// fake Intercom, for the demo and for local development. Nothing of it
// outlives the process.
package stack

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"
	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"github.com/intercom-dispatch/intercom-dispatch/enqueue"
	"github.com/intercom-dispatch/intercom-dispatch/intercom"
	"github.com/intercom-dispatch/intercom-dispatch/intercom/intercomtest"
	"github.com/intercom-dispatch/intercom-dispatch/internal/httpserver"
	"github.com/intercom-dispatch/intercom-dispatch/internal/logging"
	"github.com/intercom-dispatch/intercom-dispatch/replies"
	"github.com/intercom-dispatch/intercom-dispatch/worker"
)

// Config configures a Stack. Addresses are host:port; empty means a free port
// on the loopback address.
type Config struct {
	RedisAddr, FakeAddr, WebhookAddr string
	// Fake is the workspace of the fake Intercom. Its Token and ClientSecret
	// are those that the rest of the stack uses.
	Fake intercomtest.Config
	// Worker's OnAttempt, ContactWait, Concurrency and Metrics are taken over.
	Worker worker.Config
	Log    *zap.Logger
}

// Stack is a running embedded Redis, a fake Intercom and their connections.
type Stack struct {
	Redis    redis.UniversalClient
	Fake     *intercomtest.Server
	Producer *enqueue.Client
	// RedisAddr is host:port, the others are URLs.
	RedisAddr, FakeURL, WebhookURL string

	cfg      Config
	mini     *miniredis.Miniredis
	intercom *intercom.Client
	worker   *worker.Worker
	matcher  *replies.Matcher
	receiver *replies.Receiver
	fakeLn   net.Listener
	hookLn   net.Listener
}

// New builds a stack and binds its addresses. Close it after Run has returned.
func New(ctx context.Context, cfg Config) (*Stack, error) {
	s := &Stack{cfg: cfg}
	if err := s.open(ctx); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

func (s *Stack) open(ctx context.Context) error {
	for _, step := range []func(context.Context) error{s.openRedis, s.openFake, s.openWorker, s.openReplies} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (s *Stack) openRedis(context.Context) error {
	s.mini = miniredis.NewMiniRedis()
	s.mini.ClockTTL(true) // By itself it would keep everything for ever.
	if err := s.mini.StartAddr(orLoopback(s.cfg.RedisAddr)); err != nil {
		s.mini = nil
		return fmt.Errorf("start embedded Redis: %w", err)
	}
	s.RedisAddr = s.mini.Addr()
	s.Redis = redis.NewClient(&redis.Options{
		Addr: s.RedisAddr, PoolSize: cmp.Or(s.cfg.Worker.Concurrency, worker.DefaultConcurrency) + 20,
	})
	var err error
	s.Producer, err = enqueue.New(s.Redis, enqueue.Config{})
	return err
}

func (s *Stack) openFake(ctx context.Context) (err error) {
	s.Fake = intercomtest.New(s.cfg.Fake)
	if s.fakeLn, err = httpserver.Listen(ctx, orLoopback(s.cfg.FakeAddr)); err != nil {
		return fmt.Errorf("fake Intercom: %w", err)
	}
	s.FakeURL = "http://" + s.fakeLn.Addr().String()
	if s.hookLn, err = httpserver.Listen(ctx, orLoopback(s.cfg.WebhookAddr)); err != nil {
		return fmt.Errorf("webhook receiver: %w", err)
	}
	s.WebhookURL = "http://" + s.hookLn.Addr().String() + replies.WebhookPath
	s.Fake.SetWebhookURL(s.WebhookURL)
	return nil
}

func (s *Stack) openWorker(context.Context) (err error) {
	s.intercom, err = intercom.New(intercom.Config{Token: intercom.StaticToken(s.cfg.Fake.Token), BaseURL: s.FakeURL})
	if err != nil {
		return err
	}
	cfg := s.cfg.Worker
	cfg.Redis, cfg.Intercom, cfg.Log, cfg.AsynqLog = s.Redis, s.intercom, s.cfg.Log, logging.Asynq(s.cfg.Log)
	s.worker, err = worker.New(cfg)
	return err
}

func (s *Stack) openReplies(context.Context) (err error) {
	s.matcher, err = replies.NewMatcher(replies.MatcherConfig{
		Redis: s.Redis, Log: s.cfg.Log, AsynqLog: logging.Asynq(s.cfg.Log), Metrics: s.cfg.Worker.Metrics,
	})
	if err != nil {
		return err
	}
	queue, err := replies.NewAsynqQueue(s.Redis, "")
	if err != nil {
		return err
	}
	s.receiver, err = replies.NewReceiver(replies.ReceiverConfig{
		Secrets: []string{s.cfg.Fake.ClientSecret}, Queue: queue, Log: s.cfg.Log, Metrics: s.cfg.Worker.Metrics,
	})
	return err
}

// Run runs the stack until ctx ends, or until a part of it fails.
func (s *Stack) Run(ctx context.Context) error {
	// The servers outlive the worker, which may have requests under way.
	serving, stopServing := context.WithCancel(context.WithoutCancel(ctx))
	defer stopServing()
	servers, serving := errgroup.WithContext(serving)
	web := httpserver.Config{Log: s.cfg.Log}
	servers.Go(func() error { return httpserver.Serve(serving, s.fakeLn, s.Fake, web) })
	hooks := http.NewServeMux()
	hooks.Handle(replies.WebhookPath, s.receiver)
	servers.Go(func() error { return httpserver.Serve(serving, s.hookLn, hooks, web) })

	working, stopWorking := context.WithCancel(ctx)
	defer stopWorking()
	context.AfterFunc(serving, stopWorking)
	workers, working := errgroup.WithContext(working)
	workers.Go(func() error { return s.worker.Run(working) })
	workers.Go(func() error { return s.matcher.Run(working) })

	err := workers.Wait()
	stopServing()
	if serverErr := servers.Wait(); err == nil {
		err = serverErr
	}
	// Its Redis is in this process, and answers.
	_ = s.receiver.Close(context.WithoutCancel(ctx))
	return err
}

// Close ends what New opened.
func (s *Stack) Close() {
	if s.Fake != nil {
		s.Fake.Close()
	}
	if s.intercom != nil {
		s.intercom.Close()
	}
	for _, ln := range []net.Listener{s.fakeLn, s.hookLn} {
		if ln != nil {
			_ = ln.Close() // Closed already after Run.
		}
	}
	if s.Redis != nil {
		_ = s.Redis.Close() // Its server goes with it.
	}
	if s.mini != nil {
		s.mini.Close()
	}
}

func orLoopback(addr string) string {
	if addr == "" {
		return "127.0.0.1:0"
	}
	return addr
}

// startTimeout bounds how long the embedded parts may take to answer.
const startTimeout = 5 * time.Second

// Ready waits until the fake Intercom answers.
func (s *Stack) Ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	if _, _, err := s.intercom.Me(ctx); err != nil {
		return fmt.Errorf("fake Intercom: %w", err)
	}
	return nil
}
