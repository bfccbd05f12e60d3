// Package ratelimittest prepares the shared rate limit for tests that are about
// something else.
package ratelimittest

import (
	"context"
	"net/http"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"github.com/intercom-dispatch/intercom-dispatch/intercom"
	"github.com/intercom-dispatch/intercom-dispatch/ratelimit"
)

// limit is what Intercom allows in a window, for an app with 10,000 requests a
// minute.
const limit = 1667

// Known leaves in Redis what workers of an earlier day have learned, under the
// key of the limit. Before the first answer they send one request a second.
func Known(tb testing.TB, rdb redis.UniversalClient, key string) {
	tb.Helper()
	l, err := ratelimit.New(ratelimit.Config{Redis: rdb, Key: key, Log: zap.NewNop()})
	require.NoError(tb, err)
	ctx, cancel := context.WithCancel(tb.Context())
	done := make(chan error, 1)
	go func() { done <- l.Run(ctx) }()
	p, err := l.Acquire(ctx, ratelimit.Normal)
	require.NoError(tb, err)
	now := time.Now()
	p.Answered(&intercom.Response{Status: http.StatusOK, Date: now, RateLimit: &intercom.RateLimit{
		Limit: limit, Remaining: limit - 1, Reset: now.Truncate(ratelimit.DefaultWindow).Add(ratelimit.DefaultWindow),
	}}, now)
	cancel()
	require.NoError(tb, <-done)
}
