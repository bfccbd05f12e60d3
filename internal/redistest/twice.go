package redistest

import (
	"context"
	"strings"

	"github.com/redis/go-redis/v9"
)

// Twice is a hook that sends every script twice and returns the second answer,
// as go-redis does when a connection breaks before the first one.
type Twice struct{ redis.Hook }

// DialHook implements redis.Hook.
func (Twice) DialHook(next redis.DialHook) redis.DialHook { return next }

// ProcessPipelineHook implements redis.Hook. Pipelines are sent once.
func (Twice) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

// ProcessHook implements redis.Hook.
func (Twice) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		if strings.HasPrefix(cmd.Name(), "eval") {
			first := redis.NewCmd(ctx, cmd.Args()...)
			if err := next(ctx, first); err != nil {
				cmd.SetErr(err)
				return err
			}
		}
		return next(ctx, cmd)
	}
}
