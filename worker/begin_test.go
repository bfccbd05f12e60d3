package worker_test

import (
	"context"
	"io"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/intercom-dispatch/intercom-dispatch/enqueue"
	"github.com/intercom-dispatch/intercom-dispatch/ledger"
)

// loseAnswer loses the answer to the first script that is about a record, which
// is Begin. The script runs all the same.
type loseAnswer struct {
	record string
	lost   *atomic.Bool
}

func (l loseAnswer) DialHook(next redis.DialHook) redis.DialHook { return next }

func (l loseAnswer) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

func (l loseAnswer) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		err := next(ctx, cmd)
		if err == nil && strings.HasPrefix(cmd.Name(), "eval") && slices.Contains(cmd.Args(), any(l.record)) &&
			l.lost.CompareAndSwap(false, true) {
			err = io.ErrUnexpectedEOF
			cmd.SetErr(err)
		}
		return err
	}
}

func TestALostAnswerBeforeTheRequestLeavesNoDoubt(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, b *bundle) {
		t.Helper()
		b.enqueue("ada", enqueue.IfUncertain(enqueue.Hold))
		lost := new(atomic.Bool)
		b.rdb.AddHook(loseAnswer{record: ledger.RecordKey("main", "ada"), lost: lost})
		b.run()
		r := b.waitState("ada", ledger.Sent)
		require.True(t, lost.Load())
		require.False(t, r.PossibleDuplicate)
		require.Equal(t, 2, r.Attempts)
		require.Len(t, b.requests("ada"), 1)
	})
}
