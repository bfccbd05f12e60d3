package combine_test

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/intercom-dispatch/intercom-dispatch/internal/combine"
	"github.com/intercom-dispatch/intercom-dispatch/internal/redistest"
)

const patience = 30 * time.Second

// add adds to a counter and returns the number that came along.
func add() *redis.Script {
	return redis.NewScript(`redis.call('INCR', KEYS[1]) return ARGV[1]`)
}

// gate holds back what is sent until it is opened, and counts it.
type gate struct {
	reached, open chan struct{}
	fail          error

	mu    sync.Mutex
	sizes []int
}

func newGate() *gate { return &gate{reached: make(chan struct{}, 1000), open: make(chan struct{})} }

func (g *gate) pass(n int) error {
	g.mu.Lock()
	g.sizes = append(g.sizes, n)
	g.mu.Unlock()
	g.reached <- struct{}{}
	<-g.open
	return g.fail
}

func (*gate) DialHook(next redis.DialHook) redis.DialHook { return next }

func (g *gate) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		if cmd.Name() == "evalsha" {
			if err := g.pass(1); err != nil {
				return err
			}
		}
		return next(ctx, cmd)
	}
}

func (g *gate) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		// go-redis introduces a new connection with a pipeline of its own.
		if cmds[0].Name() == "evalsha" {
			if err := g.pass(len(cmds)); err != nil {
				return err
			}
		}
		return next(ctx, cmds)
	}
}

func TestEachScriptHasItsOwnResult(t *testing.T) {
	t.Parallel()
	redistest.EachAndCluster(t, func(t *testing.T, s *redistest.Server) {
		rdb := s.Client(t)
		c := combine.New(rdb)
		errs := make(chan error, 500)
		for i := range cap(errs) {
			go func() {
				its := strconv.Itoa(i)
				// The server does not know the script at first.
				got, err := add().Run(t.Context(), c, []string{"n" + strconv.Itoa(i%7)}, its).Text()
				if err == nil && got != its {
					err = fmt.Errorf("%s got the result of %s", its, got)
				}
				errs <- err
			}()
		}
		for range cap(errs) {
			require.NoError(t, <-errs)
		}
		c.Wait()
		total := 0
		for i := range 7 {
			n, err := rdb.Get(t.Context(), "n"+strconv.Itoa(i)).Int()
			require.NoError(t, err)
			total += n
		}
		require.Equal(t, cap(errs), total, "each is run once")
	})
}

func TestAScriptThatFailsLeavesOthersAlone(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, s *redistest.Server) {
		rdb := s.Client(t)
		require.NoError(t, rdb.Set(t.Context(), "text", "no number", 0).Err())
		require.NoError(t, add().Load(t.Context(), rdb).Err())
		g := newGate()
		rdb.AddHook(g)
		c := combine.New(rdb)
		results := run(t, c, g, "n", "text", "n")
		close(g.open)
		require.NoError(t, <-results[0])
		require.ErrorContains(t, <-results[1], "not an integer")
		require.NoError(t, <-results[2])
		require.Equal(t, []int{1, 2}, g.sizes)
	})
}

// run has the first script under way, and the others wait behind it.
func run(t *testing.T, c *combine.Client, g *gate, keys ...string) []chan error {
	t.Helper()
	results := make([]chan error, len(keys))
	for i, key := range keys {
		results[i] = make(chan error, 1)
		go func() { results[i] <- add().EvalSha(context.WithoutCancel(t.Context()), c, []string{key}, "1").Err() }()
		if i == 0 {
			<-g.reached
			continue
		}
		require.Eventually(t, func() bool { return c.Waiting() == i }, patience, time.Millisecond)
	}
	return results
}

func TestWhoLeavesDoesNotDisturbTheOthers(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, s *redistest.Server) {
		rdb := s.Client(t)
		require.NoError(t, add().Load(t.Context(), rdb).Err())
		g := newGate()
		rdb.AddHook(g)
		c := combine.New(rdb)
		sending, leaveSending := context.WithCancel(t.Context())
		waiting, leaveWaiting := context.WithCancel(t.Context())
		under, behind := make(chan error, 1), make(chan error, 1)
		go func() { under <- add().EvalSha(sending, c, []string{"n"}, "1").Err() }()
		<-g.reached
		go func() { behind <- add().EvalSha(waiting, c, []string{"n"}, "1").Err() }()
		require.Eventually(t, func() bool { return c.Waiting() == 1 }, patience, time.Millisecond)
		other := make(chan error, 1)
		go func() { other <- add().EvalSha(context.WithoutCancel(t.Context()), c, []string{"n"}, "1").Err() }()
		require.Eventually(t, func() bool { return c.Waiting() == 2 }, patience, time.Millisecond)

		leaveWaiting()
		require.ErrorIs(t, <-behind, context.Canceled)
		leaveSending()
		err := <-under
		require.ErrorIs(t, err, context.Canceled)
		require.ErrorContains(t, err, "may have been run")
		require.ErrorIs(t, add().EvalSha(sending, c, []string{"n"}, "1").Err(), context.Canceled)

		close(g.open)
		require.NoError(t, <-other)
		c.Wait()
		n, err := rdb.Get(t.Context(), "n").Int()
		require.NoError(t, err)
		require.Equal(t, 2, n, "the one that was sent, and the other")
	})
}

func TestALostConnectionFailsThoseThatItConcerns(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, s *redistest.Server) {
		rdb := s.Client(t)
		require.NoError(t, add().Load(t.Context(), rdb).Err())
		g := newGate()
		g.fail = errors.New("lost")
		rdb.AddHook(g)
		c := combine.New(rdb)
		results := run(t, c, g, "n", "n", "n")
		close(g.open)
		for _, r := range results {
			require.ErrorIs(t, <-r, g.fail)
		}
		c.Wait()
		g.fail = nil
		require.NoError(t, add().EvalSha(t.Context(), c, []string{"n"}, "1").Err())
	})
}

func TestPipelinesAreBounded(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, s *redistest.Server) {
		rdb := s.Client(t)
		echo := redis.NewScript(`return #ARGV[1]`)
		require.NoError(t, echo.Load(t.Context(), rdb).Err())
		g := newGate()
		rdb.AddHook(g)
		c := combine.New(rdb)
		results := make(chan error, 5)
		for i := range cap(results) {
			go func() {
				results <- echo.EvalSha(context.WithoutCancel(t.Context()), c, []string{"n"}, make([]byte, 400<<10)).Err()
			}()
			if i == 0 {
				<-g.reached
			}
		}
		require.Eventually(t, func() bool { return c.Waiting() == 4 }, patience, time.Millisecond)
		close(g.open)
		for range cap(results) {
			require.NoError(t, <-results)
		}
		require.Equal(t, []int{1, 2, 2}, g.sizes, "a pipeline takes a MiB")
	})
}
