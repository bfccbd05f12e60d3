package replies_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/intercom-dispatch/intercom-dispatch/internal/redistest"
	"github.com/intercom-dispatch/intercom-dispatch/replies"
)

// asConsumer in the environment makes the test binary a consumer on that Redis.
const asConsumer = "REPLIES_TEST_CONSUMER"

// stuckAt is the key of the event whose handler does not end in that process.
const stuckAt = "k-3"

func TestMain(m *testing.M) {
	if addr := os.Getenv(asConsumer); addr != "" {
		os.Exit(consumeForTest(addr))
	}
	os.Exit(m.Run())
}

// consumeForTest writes the keys of its events to standard output. It ends with
// standard input, and so with the process that started it.
func consumeForTest(addr string) int {
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(99) // The handler does not end.
	}()
	defer cancel()
	rdb := redis.NewClient(&redis.Options{Addr: addr})
	defer rdb.Close()
	cfg := replies.ConsumeConfig{Redis: rdb, RedeliverAfter: redeliverAfter}
	err := replies.Consume(ctx, cfg, "orders", func(_ context.Context, e replies.Event) error {
		fmt.Fprintln(os.Stdout, e.Key)
		if e.Key == stuckAt {
			select {}
		}
		return nil
	})
	fmt.Fprintln(os.Stderr, err)
	return 1
}

func TestAKilledConsumersEventsAreHandledByAnother(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, s *redistest.Server) {
		t.Helper()
		c := newConsuming(t, s)
		want := c.publish(10)
		cmd := exec.CommandContext(t.Context(), os.Args[0])
		cmd.Env = append(os.Environ(), asConsumer+"="+s.Addr)
		cmd.Stderr = os.Stderr
		_, err := cmd.StdinPipe()
		require.NoError(t, err)
		out, err := cmd.StdoutPipe()
		require.NoError(t, err)
		require.NoError(t, cmd.Start())
		lifetime := time.AfterFunc(patience, func() { _ = cmd.Process.Kill() })
		defer lifetime.Stop()
		lines := bufio.NewScanner(out)
		var got []string
		for lines.Scan() && lines.Text() != stuckAt {
			got = append(got, lines.Text())
		}
		require.Equal(t, stuckAt, lines.Text(), "it is in mid-handler")
		require.NoError(t, cmd.Process.Kill())
		require.Error(t, cmd.Wait())

		var i inbox
		c.start("orders", i.add)
		c.eventually("the rest is handled", func() bool { return i.len() == 7 })
		c.awaitDone()
		require.Equal(t, want, append(append(got, i.all()[6]), i.all()[:6]...), "none is lost, and only one comes again")
		require.Empty(t, c.dead(""))
	})
}
