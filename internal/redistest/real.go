package redistest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"
)

const (
	// startTimeout is far more than a start takes, for machines under load.
	startTimeout = 30 * time.Second
	pollInterval = 5 * time.Millisecond
	portTries    = 20

	// Ports are taken from below the range that Linux gives to outgoing
	// connections and to listeners on port 0. Otherwise one of those could
	// sit on a killed server's port when it is to be started again.
	minPort = 10000
	maxPort = 32000
)

// errExited is a redis-server that ended while it was being waited for, most
// likely because its port was taken.
var errExited = errors.New("redis-server exited")

// realServer is a redis-server process that may be killed and started again.
type realServer struct {
	path string
	opts Options
	dir  string

	mu      sync.Mutex
	port    int
	busPort int
	proc    *process
}

func (r *realServer) addr() string {
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(r.port))
}

// startOnFreePort tries ports until the server could bind one: between the
// check and the start another process may take it.
func (r *realServer) startOnFreePort(ctx context.Context) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	var err error
	for range portTries {
		if r.port, err = freePort(ctx); err != nil {
			return err
		}
		if r.busPort, err = freePort(ctx); err != nil {
			return err
		}
		if err = r.start(ctx); !errors.Is(err, errExited) {
			return err
		}
	}
	return err
}

func (r *realServer) restart(ctx context.Context) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.killLocked()
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	for {
		err := r.start(ctx)
		if !errors.Is(err, errExited) {
			return err
		}
		if !pause(ctx, 20*pollInterval) {
			return err
		}
	}
}

// start runs the server once and returns when it answers commands. If that
// fails, no process is left.
func (r *realServer) start(ctx context.Context) error {
	p, err := startProcess(r.path, r.args(), filepath.Join(r.dir, "redis.log"))
	if err != nil {
		return err
	}
	r.proc = p
	err = p.waitUntilReady(ctx, r.addr())
	if err == nil && r.opts.Cluster {
		err = serveAllSlots(ctx, r.addr())
	}
	if err != nil {
		r.killLocked()
		return fmt.Errorf("start redis on %s: %w; its log ends with:\n%s", r.addr(), err, r.logTail())
	}
	return nil
}

func (r *realServer) args() []string {
	args := []string{
		"--bind", "127.0.0.1",
		"--port", strconv.Itoa(r.port),
		"--dir", r.dir,
		"--daemonize", "no",
		"--save", "",
		"--appendonly", yesNo(r.opts.AppendOnly),
	}
	if r.opts.Fsync != "" {
		args = append(args, "--appendfsync", r.opts.Fsync)
	}
	if r.opts.Cluster {
		args = append(args,
			"--cluster-enabled", "yes",
			"--cluster-port", strconv.Itoa(r.busPort),
			"--cluster-announce-ip", "127.0.0.1",
		)
	}
	return args
}

func (r *realServer) kill() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.killLocked()
}

func (r *realServer) killLocked() {
	if r.proc != nil {
		r.proc.kill()
		r.proc = nil
	}
}

func (r *realServer) logTail() string {
	const tail = 1000
	b, err := os.ReadFile(filepath.Join(r.dir, "redis.log"))
	if err != nil {
		return err.Error()
	}
	return string(b[max(0, len(b)-tail):])
}

func freePort(ctx context.Context) (int, error) {
	var lc net.ListenConfig
	var err error
	for range portTries {
		port := minPort + rand.IntN(maxPort-minPort) //nolint:gosec // A port is no secret.
		var l net.Listener
		l, err = lc.Listen(ctx, "tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
		if err == nil {
			return port, l.Close()
		}
	}
	return 0, fmt.Errorf("find a free port: %w", err)
}

// pause tells whether the context is still alive after d.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}

func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}
