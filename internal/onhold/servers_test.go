package onhold_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hibiken/asynq"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"github.com/intercom-dispatch/intercom-dispatch/internal/onhold"
	"github.com/intercom-dispatch/intercom-dispatch/internal/roster"
	"github.com/intercom-dispatch/intercom-dispatch/internal/task"
)

const (
	backlog     = 150
	concurrency = 5
)

// fakeIntercom counts what it is asked for.
type fakeIntercom struct {
	good    atomic.Bool
	refused atomic.Int32
	mu      sync.Mutex
	sent    map[string]int
}

func (f *fakeIntercom) post(key string) bool {
	time.Sleep(5 * time.Millisecond)
	if !f.good.Load() {
		f.refused.Add(1)
		return false
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.sent[key]++
	return true
}

// deliver is what a worker does with a message.
func (p *process) deliver(f *fakeIntercom) asynq.HandlerFunc {
	return func(ctx context.Context, t *asynq.Task) error {
		pass, err := p.Enter(ctx)
		if err != nil {
			return err
		}
		if f.post(string(t.Payload())) {
			return pass.Answered(ctx)
		}
		return errors.Join(errors.New("refused"), pass.Blocked(ctx, noPlan))
	}
}

// serve runs an asynq server as a worker does, until the test ends.
func (p *process) serve(f *fakeIntercom) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(p.b.ctx))
	// Not the guard's connection: asynq's own scripts may not be repeated.
	rdb := p.b.server.Client(p.b.t)
	member, err := roster.New(roster.Config{Redis: rdb, Queues: queues, Log: zap.NewNop()})
	require.NoError(p.b.t, err)
	var wg sync.WaitGroup
	wg.Go(func() {
		_ = task.Server{
			Redis: rdb, Handler: p.deliver(f), Roster: member,
			Asynq: asynq.Config{
				Concurrency: concurrency, Queues: map[string]int{queues[0]: 2, queues[1]: 1},
				IsFailure:      func(error) bool { return false },
				RetryDelayFunc: func(int, error, *asynq.Task) time.Duration { return time.Second },
			},
		}.Serve(ctx)
	})
	p.b.t.Cleanup(func() {
		cancel()
		wg.Wait()
	})
}

func TestServersStopAndGoOn(t *testing.T) {
	t.Parallel()
	onEach(t, func(b *bundle) {
		f := &fakeIntercom{sent: map[string]int{}}
		client := asynq.NewClientFromRedisClient(b.rdb)
		for i := range backlog {
			_, err := client.Enqueue(asynq.NewTask("message", fmt.Appendf(nil, "k%d", i)), asynq.Queue(queues[i%2]))
			require.NoError(b.t, err)
		}
		b.good.Store(true) // /me succeeds, but messages are refused.
		ps := []*process{b.running(rarely), b.running(rarely)}
		for _, p := range ps {
			p.serve(f)
		}
		// The first answers, and two trials.
		b.eventually(func() bool { return b.read().Probes >= 3 })
		require.GreaterOrEqual(b.t, f.refused.Load(), int32(1))
		require.LessOrEqual(b.t, f.refused.Load(), int32(len(ps)*concurrency+3))

		f.good.Store(true)
		b.eventually(func() bool {
			f.mu.Lock()
			defer f.mu.Unlock()
			return len(f.sent) == backlog
		})
		for key, n := range f.sent {
			require.Equal(b.t, 1, n, key)
		}
		b.eventually(func() bool { return b.nonePaused() && !b.read().OnHold() })
	})
}

func rarely(c *onhold.Config) { c.Waits = []time.Duration{200 * time.Millisecond} }
