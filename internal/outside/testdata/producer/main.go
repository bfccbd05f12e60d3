// Command producer sends messages to the fake Intercom with a worker in its
// own process, and prints what it learned of them. It ends with status 1 if
// that is not what it should be.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http/httptest"
	"os"
	"time"

	"github.com/redis/go-redis/v9"
	"go.uber.org/zap"

	"github.com/intercom-dispatch/intercom-dispatch/enqueue"
	"github.com/intercom-dispatch/intercom-dispatch/intercom"
	"github.com/intercom-dispatch/intercom-dispatch/intercom/intercomtest"
	"github.com/intercom-dispatch/intercom-dispatch/ledger"
	"github.com/intercom-dispatch/intercom-dispatch/replies"
	"github.com/intercom-dispatch/intercom-dispatch/worker"
)

func main() {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "producer:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	opts, err := redis.ParseURL(os.Getenv("REDIS_URL"))
	if err != nil {
		return err
	}
	rdb := redis.NewClient(opts)
	defer rdb.Close()
	fake := intercomtest.New(intercomtest.Config{Token: "token", ClientSecret: "secret"})
	defer fake.Close()
	fake.AddContact(intercomtest.Contact{ID: "ada"})
	server := httptest.NewServer(fake)
	defer server.Close()
	stopReceiving, err := receive(ctx, rdb, fake)
	if err != nil {
		return err
	}
	defer stopReceiving()
	stopWorking, err := work(ctx, rdb, server.URL)
	if err != nil {
		return err
	}
	defer stopWorking()
	return produce(ctx, rdb, fake)
}

// work runs a worker until the returned function is called.
func work(ctx context.Context, rdb *redis.Client, url string) (stop func(), err error) {
	client, err := intercom.New(intercom.Config{Token: intercom.StaticToken("token"), BaseURL: url})
	if err != nil {
		return nil, err
	}
	w, err := worker.New(worker.Config{Redis: rdb, Intercom: client, Concurrency: 4, Log: zap.NewNop()})
	if err != nil {
		return nil, err
	}
	m, err := replies.NewMatcher(replies.MatcherConfig{Redis: rdb, Log: zap.NewNop()})
	if err != nil {
		return nil, err
	}
	end := inBackground(ctx, w.Run, m.Run)
	return func() {
		end()
		client.Close()
	}, nil
}

// receive serves the webhook until the returned function is called.
func receive(ctx context.Context, rdb *redis.Client, fake *intercomtest.Server) (stop func(), err error) {
	queue, err := replies.NewAsynqQueue(rdb, "")
	if err != nil {
		return nil, err
	}
	receiver, err := replies.NewReceiver(replies.ReceiverConfig{Secrets: []string{"secret"}, Queue: queue})
	if err != nil {
		return nil, err
	}
	hook := httptest.NewServer(receiver)
	return hook.Close, fake.Subscribe(ctx, hook.URL)
}

func inBackground(ctx context.Context, runs ...func(context.Context) error) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan error, len(runs))
	for _, run := range runs {
		go func() { done <- run(ctx) }()
	}
	return func() {
		cancel()
		for range runs {
			if err := <-done; err != nil {
				fmt.Fprintln(os.Stderr, "producer:", err)
				os.Exit(1)
			}
		}
	}
}

func produce(ctx context.Context, rdb *redis.Client, fake *intercomtest.Server) error {
	client, err := enqueue.New(rdb, enqueue.Config{})
	if err != nil {
		return err
	}
	message := &intercom.Message{
		MessageType: intercom.InApp, Body: "Your order is on its way",
		From: intercom.FromAdmin(1), To: intercom.ToUser("ada"),
	}
	for _, want := range []enqueue.Status{enqueue.Enqueued, enqueue.Duplicate} {
		r, err := client.Enqueue(ctx, message,
			enqueue.Key("order-1042"), enqueue.Metadata(map[string]string{"order": "1042"}))
		if err != nil {
			return err
		}
		if r.Status != want || r.Key != "order-1042" {
			return fmt.Errorf("got %+v, want %s", r, want)
		}
	}
	_, err = client.Enqueue(ctx, &intercom.Message{MessageType: intercom.InApp})
	if invalid, ok := errors.AsType[*intercom.ValidationError](err); !ok || invalid.Field != "message.body" {
		return fmt.Errorf("a message without a body: %w", err)
	}
	if _, err := client.Get(ctx, "order-0"); !errors.Is(err, enqueue.ErrNotFound) {
		return fmt.Errorf("a key that is not known: %w", err)
	}
	sent, err := await(ctx, client, ledger.Sent)
	if err != nil {
		return err
	}
	created := fake.Created()
	if len(created) != 1 || created[0].ID != sent.MessageID {
		return fmt.Errorf("created are %+v, but the record has message %q", created, sent.MessageID)
	}
	byID, err := client.ByMessageID(ctx, sent.MessageID)
	if err != nil {
		return err
	}
	if byID.Key != "order-1042" {
		return fmt.Errorf("by message id found %q", byID.Key)
	}
	return answer(ctx, rdb, fake, client, sent.MessageID)
}

// answer lets the contact answer, and prints the reply's event.
func answer(ctx context.Context, rdb *redis.Client, fake *intercomtest.Server, client *enqueue.Client, id string) error {
	if _, err := fake.Reply(ctx, id, "Thank you!"); err != nil {
		return err
	}
	if _, err := await(ctx, client, ledger.Replied); err != nil {
		return err
	}
	o := replies.TailOptions{FromStart: true, NoFollow: true}
	return replies.Tail(ctx, rdb, "", o, func(e replies.Event) error {
		return json.NewEncoder(os.Stdout).Encode(map[string]string{
			"key": e.Key, "order": e.Metadata["order"], "message_id": e.MessageID, "text": e.Text,
		})
	})
}

func await(ctx context.Context, client *enqueue.Client, state ledger.State) (*ledger.Record, error) {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		r, err := client.Get(ctx, "order-1042")
		if err != nil || r.State == state {
			return r, err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil, fmt.Errorf("still %s, not %s: %w", r.State, state, ctx.Err())
		}
	}
}
