package main

import (
	"context"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"github.com/intercom-dispatch/intercom-dispatch/intercom"
)

// commandLog notes Redis commands instead of making them.
type commandLog struct {
	mu  sync.Mutex
	all []string
}

// take returns what was noted since the last call.
func (l *commandLog) take() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	defer func() { l.all = nil }()
	return l.all
}

func (l *commandLog) note(cmd redis.Cmder) {
	var words []string
	for _, a := range cmd.Args() {
		words = append(words, a.(string))
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all = append(l.all, strings.Join(words, " "))
}

func (l *commandLog) DialHook(next redis.DialHook) redis.DialHook { return next }

func (l *commandLog) ProcessHook(redis.ProcessHook) redis.ProcessHook {
	return func(_ context.Context, cmd redis.Cmder) error { l.note(cmd); return nil }
}

func (l *commandLog) ProcessPipelineHook(redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(_ context.Context, cmds []redis.Cmder) error {
		for _, cmd := range cmds {
			l.note(cmd)
		}
		return nil
	}
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func TestAWorkerWhoseTokenIsMendedIntroducesItselfThen(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		asked, status := 0, http.StatusUnauthorized
		client, err := intercom.New(intercom.Config{
			Token: intercom.StaticToken("t"), BaseURL: "http://fake.invalid",
			Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
				asked++
				return &http.Response{
					StatusCode: status, Request: r, Header: http.Header{},
					Body: io.NopCloser(strings.NewReader(`{"type":"admin","id":"1","app":{"id_code":"abc12def"}}`)),
				}, nil
			}),
		})
		require.NoError(t, err)
		commands := &commandLog{}
		rdb := redis.NewClient(&redis.Options{Addr: "127.0.0.1:1"})
		rdb.AddHook(commands)
		i := &introduction{client: client, redis: rdb, workspace: "main", log: zap.NewNop()}
		i.first(t.Context())
		require.Equal(t, 1, asked)
		require.Empty(t, commands.take())

		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error, 1)
		status = http.StatusOK
		go func() { done <- i.run(ctx) }()
		time.Sleep(introductionInterval + time.Second)
		synctest.Wait()
		require.Contains(t, strings.Join(commands.take(), "; "), "hset dispatch:apps abc12def main")
		time.Sleep(introductionInterval)
		synctest.Wait()
		require.Equal(t, []string{"hsetnx dispatch:apps abc12def main"}, commands.take(), "Redis may have lost it")
		stop()
		require.NoError(t, <-done)
		require.Equal(t, 2, asked)
		client.Close()
		require.NoError(t, rdb.Close())
	})
}
