package stack_test

import (
	"context"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"github.com/intercom-dispatch/intercom-dispatch/enqueue"
	"github.com/intercom-dispatch/intercom-dispatch/intercom"
	"github.com/intercom-dispatch/intercom-dispatch/intercom/intercomtest"
	"github.com/intercom-dispatch/intercom-dispatch/internal/httpserver"
	"github.com/intercom-dispatch/intercom-dispatch/internal/stack"
	"github.com/intercom-dispatch/intercom-dispatch/ledger"
	"github.com/intercom-dispatch/intercom-dispatch/replies"
)

const patience = 15 * time.Second

func config() stack.Config {
	return stack.Config{
		Fake: intercomtest.Config{
			Token: "t", ClientSecret: "s", UnknownContacts: intercomtest.UnknownMessageable,
		},
		Log: zap.NewNop(),
	}
}

// run starts a stack.
func run(t *testing.T, cfg stack.Config) (st *stack.Stack, stop context.CancelFunc, done <-chan error) {
	t.Helper()
	st, err := stack.New(t.Context(), cfg)
	require.NoError(t, err)
	t.Cleanup(st.Close)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- st.Run(ctx) }()
	t.Cleanup(cancel)
	require.NoError(t, st.Ready(t.Context()))
	return st, cancel, ended
}

func end(t *testing.T, done <-chan error) error {
	t.Helper()
	select {
	case err := <-done:
		return err
	case <-time.After(patience):
		t.Fatal("the stack does not end")
		return nil
	}
}

func TestAStackDeliversMessagesAndTheirReplies(t *testing.T) {
	t.Parallel()
	st, stop, done := run(t, config())
	_, err := st.Producer.Enqueue(t.Context(), &intercom.Message{
		MessageType: intercom.InApp, Body: "Hi", From: intercom.FromAdmin(1), To: intercom.ToUser("jo"),
	}, enqueue.Key("k"))
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	require.NoError(t, st.Fake.WaitCreated(ctx, 1))
	_, err = st.Fake.Reply(ctx, st.Fake.Created()[0].ID, "Hello")
	require.NoError(t, err)
	tailing, stopTail := context.WithCancel(ctx)
	var got replies.Event
	require.NoError(t, replies.Tail(tailing, st.Redis, "", replies.TailOptions{FromStart: true}, func(e replies.Event) error {
		got = e
		stopTail()
		return nil
	}))
	require.Equal(t, "k", got.Key)
	require.Equal(t, "Hello", got.Text)
	r, err := st.Producer.Get(ctx, "k")
	require.NoError(t, err)
	require.Equal(t, ledger.Replied, r.State)
	stop()
	require.NoError(t, end(t, done))
}

// TestAStackLetsRequestsFinish: the fake outlives the worker.
func TestAStackLetsRequestsFinish(t *testing.T) {
	t.Parallel()
	st, stop, done := run(t, config())
	st.Fake.InjectFault(intercomtest.Fault{Latency: time.Second})
	_, err := st.Producer.Enqueue(t.Context(), &intercom.Message{
		MessageType: intercom.InApp, Body: "Hi", From: intercom.FromAdmin(1), To: intercom.ToUser("jo"),
	}, enqueue.Key("k"))
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	// The first request is Ready's.
	require.NoError(t, st.Fake.WaitFor(ctx, func(l intercomtest.Log) bool { return l.Arrived == 2 }))
	stop()
	require.NoError(t, end(t, done))
	r, err := st.Producer.Get(t.Context(), "k")
	require.NoError(t, err)
	require.Equal(t, ledger.Sent, r.State)
}

func TestNewNamesWhatItCannotHave(t *testing.T) {
	t.Parallel()
	ln, err := httpserver.Listen(t.Context(), "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = ln.Close() })
	taken := ln.Addr().String()
	for what, change := range map[string]func(*stack.Config){
		"Redis":         func(c *stack.Config) { c.RedisAddr = taken },
		"fake Intercom": func(c *stack.Config) { c.FakeAddr = taken },
		"webhook":       func(c *stack.Config) { c.WebhookAddr = taken },
	} {
		cfg := config()
		change(&cfg)
		_, err := stack.New(t.Context(), cfg)
		require.ErrorContains(t, err, what)
		require.ErrorContains(t, err, taken)
	}
	cfg := config()
	cfg.Fake.ClientSecret = ""
	_, err = stack.New(t.Context(), cfg)
	require.ErrorContains(t, err, "Secrets")
}

func TestAStackEndsWithAnErrorWhenAPartFails(t *testing.T) {
	t.Parallel()
	st, _, done := run(t, config())
	st.Close() // Its listeners with it.
	require.Error(t, end(t, done))
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, st.FakeURL, nil)
	require.NoError(t, err)
	_, err = (&http.Transport{}).RoundTrip(req) //nolint:bodyclose // There is no answer.
	require.Error(t, err)
}
