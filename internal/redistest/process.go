package redistest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strings"

	"github.com/redis/go-redis/v9"
)

// process is one run of redis-server.
type process struct {
	cmd *exec.Cmd
	// done is closed when the process is gone and has been waited for.
	done chan struct{}
}

func startProcess(path string, args []string, logPath string) (*process, error) {
	log, err := os.OpenFile(logPath, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	// The child has a descriptor of its own.
	defer func() { _ = log.Close() }()
	cmd := exec.Command(path, args...) //nolint:noctx // It outlives the call; kill ends it.
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = dieWithParent()

	p := &process{cmd: cmd, done: make(chan struct{})}
	started := make(chan error, 1)
	go func() {
		defer close(p.done)
		// The kernel takes the end of the thread that started the child for
		// the end of its parent, so that thread is held as long.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			_ = cmd.Wait()
		}
	}()
	if err := <-started; err != nil {
		return nil, fmt.Errorf("start redis-server: %w", err)
	}
	return p, nil
}

func (p *process) kill() {
	// It fails only when the process has ended already.
	_ = p.cmd.Process.Kill()
	<-p.done
}

// waitUntilReady returns when this very process answers on addr and has
// loaded its data.
func (p *process) waitUntilReady(ctx context.Context, addr string) error {
	for {
		err := p.ready(ctx, addr)
		if err == nil {
			return nil
		}
		select {
		case <-p.done:
			return errExited
		default:
		}
		if !pause(ctx, pollInterval) {
			return errors.Join(context.Cause(ctx), err)
		}
	}
}

func (p *process) ready(ctx context.Context, addr string) error {
	// go-redis would log each refused connection.
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", addr)
	if err != nil {
		return err
	}
	_ = conn.Close()
	info, err := ask(ctx, addr, "INFO")
	if err != nil {
		return err
	}
	// Another server may have taken the port a moment before.
	if want := fmt.Sprintf("process_id:%d\r\n", p.cmd.Process.Pid); !strings.Contains(info, want) {
		return fmt.Errorf("another redis-server answers on %s", addr)
	}
	if !strings.Contains(info, "\r\nloading:0\r\n") {
		return errors.New("it is still loading its data")
	}
	return nil
}

// serveAllSlots makes the node a whole cluster, unless it was one before its
// restart, and waits until it takes commands for keys.
func serveAllSlots(ctx context.Context, addr string) error {
	for {
		info, err := ask(ctx, addr, "CLUSTER", "INFO")
		if err != nil {
			return err
		}
		switch {
		case strings.Contains(info, "cluster_state:ok"):
			return nil
		case strings.Contains(info, "cluster_slots_assigned:0\r\n"):
			if _, err := ask(ctx, addr, "CLUSTER", "ADDSLOTSRANGE", 0, 16383); err != nil {
				return err
			}
		}
		if !pause(ctx, pollInterval) {
			return fmt.Errorf("the cluster did not come up: %w", context.Cause(ctx))
		}
	}
}

// ask sends one command. Each call has a client of its own, because a go-redis
// client dials less often once it has failed.
func ask(ctx context.Context, addr string, command ...any) (string, error) {
	c := redis.NewClient(&redis.Options{Addr: addr, MaxRetries: -1, DialerRetries: 1})
	defer func() { _ = c.Close() }()
	return c.Do(ctx, command...).Text()
}
