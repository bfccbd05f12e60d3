package fetch_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/intercom-dispatch/intercom-dispatch/internal/task"
)

// dialed is a client whose connections are changed.
func (b *bundle) dialed(change func(net.Conn) net.Conn) redis.UniversalClient {
	b.t.Helper()
	dial := func(ctx context.Context, network, addr string) (net.Conn, error) {
		c, err := (&net.Dialer{}).DialContext(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		return change(c), nil
	}
	var rdb redis.UniversalClient
	if _, ok := b.rdb.(*redis.ClusterClient); ok {
		rdb = redis.NewClusterClient(&redis.ClusterOptions{Addrs: []string{b.server.Addr}, Dialer: dial})
	} else {
		rdb = redis.NewClient(&redis.Options{Addr: b.server.Addr, Dialer: dial})
	}
	b.t.Cleanup(func() { _ = rdb.Close() })
	return rdb
}

// refuser answers what holds a word by itself.
type refuser struct {
	net.Conn

	word, answer string
	mu           sync.Mutex
	pending      bytes.Buffer
}

func refuse(word, answer string) func(net.Conn) net.Conn {
	return func(c net.Conn) net.Conn { return &refuser{Conn: c, word: word, answer: "-" + answer + "\r\n"} }
}

func (r *refuser) Write(b []byte) (int, error) {
	if !bytes.Contains(b, []byte(r.word)) {
		return r.Conn.Write(b)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.pending.WriteString(r.answer)
	return len(b), nil
}

func (r *refuser) Read(b []byte) (int, error) {
	r.mu.Lock()
	if r.pending.Len() > 0 {
		defer r.mu.Unlock()
		return r.pending.Read(b)
	}
	r.mu.Unlock()
	return r.Conn.Read(b)
}

// cutter breaks connections in the middle of a fetch: when there are tasks in
// the answer to scripts, after the first of them, or before it.
type cutter struct {
	mu sync.Mutex
	// times is how many are left to be cut.
	times int
	// keep is how many tasks of an answer pass.
	keep int
	// fetches counts the fetches that were written.
	fetches int
}

func (c *cutter) wrap(conn net.Conn) net.Conn { return &cut{Conn: conn, cutter: c} }

func (c *cutter) count() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.fetches
}

type cut struct {
	net.Conn

	*cutter
	fetching bool
	broken   bool
}

func (c *cut) Write(b []byte) (int, error) {
	c.mu.Lock()
	c.fetching = bytes.Contains(b, []byte("evalsha")) && bytes.Contains(b, []byte(key(bulk, "pending"))) &&
		bytes.Contains(b, []byte(":paused"))
	if c.fetching {
		c.fetches++
	}
	c.mu.Unlock()
	return c.Conn.Write(b)
}

func (c *cut) Read(b []byte) (int, error) {
	if c.broken {
		return 0, io.EOF
	}
	n, err := c.Conn.Read(b)
	c.mu.Lock()
	defer c.mu.Unlock()
	if err != nil || !c.fetching || c.times == 0 || !bytes.Contains(b[:n], []byte("payload of")) {
		return n, err
	}
	c.times--
	c.broken = true
	time.Sleep(100 * time.Millisecond)                         // The server does all that it was asked for.
	kept := bytes.SplitAfter(b[:n], []byte("\r\n"))[:2*c.keep] // Length and text of each.
	n = copy(b, bytes.Join(kept, nil))
	if n == 0 {
		return 0, io.EOF
	}
	return n, nil
}

func TestAFetchThatBreaksIsNotRepeated(t *testing.T) {
	t.Parallel()
	source := recordDequeue(t)
	onEach(t, func(b *bundle) {
		c := &cutter{}
		d := newDirectOn(b, b.dialed(c.wrap), 8, source)
		d.fill(bulk, "b", 10)
		d.requireDequeue("b0")
		d.requireDequeue("b1")
		before := c.count()
		c.mu.Lock()
		c.times = 1
		c.mu.Unlock()
		_, err := d.dequeue() // A batch of 4.
		require.ErrorIs(b.t, err, io.EOF)
		require.Equal(b.t, before+1, c.count())
		require.Len(b.t, d.active(), 6)
		require.Equal(b.t, []string{"bulk/b0", "bulk/b1"}, d.hands())
	})
}

func TestWhatCameBeforeAFetchBrokeIsKept(t *testing.T) {
	t.Parallel()
	source := recordDequeue(t)
	onEach(t, func(b *bundle) {
		c := &cutter{keep: 1}
		d := newDirectOn(b, b.dialed(c.wrap), 8, source)
		d.fill(bulk, "b", 10)
		d.requireDequeue("b0")
		d.requireDequeue("b1")
		c.mu.Lock()
		c.times = 1
		c.mu.Unlock()
		d.requireDequeue("b2")
		require.Len(b.t, d.active(), 6)
		require.Equal(b.t, []string{"bulk/b0", "bulk/b1", "bulk/b2"}, d.hands())
		d.requireDequeue("b6")
	})
}

// TestTasksOfABrokenFetchRunLater runs with the roster's defaults: about 4 s on
// a quiet machine.
func TestTasksOfABrokenFetchRunLater(t *testing.T) {
	t.Parallel()
	for _, keep := range []int{0, 1} {
		t.Run(fmt.Sprint(keep), func(t *testing.T) {
			t.Parallel()
			onEach(t, func(b *bundle) {
				c := &cutter{times: 3, keep: keep}
				ids := b.fill(bulk, "b", 200)
				var r ran
				b.serve(16, func(ctx context.Context, _ *asynq.Task) error {
					r.add(ctx)
					return nil
				}, func(s *task.Server) { s.Redis = b.dialed(c.wrap) })
				eventually(b.t, "all run", func() bool { return len(r.all()) >= len(ids) })
				time.Sleep(100 * time.Millisecond)
				require.ElementsMatch(b.t, ids, r.all())
				c.mu.Lock()
				defer c.mu.Unlock()
				require.Zero(b.t, c.times, "three were cut")
			})
		})
	}
}
