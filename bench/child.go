package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
)

// child is a process with a role, as its parent sees it. It is not safe for
// concurrent use.
type child struct {
	role    string
	cmd     *exec.Cmd
	in      io.WriteCloser
	out     chan []byte // lines of its standard output; closed at its end
	ended   chan struct{}
	addr    string
	logPath string
}

// start starts this program with a role, and returns when it is up. What it
// logs goes to a file in dir.
func start(ctx context.Context, dir, role string, s spec) (*child, error) {
	exe, err := os.Executable()
	if err != nil {
		return nil, err
	}
	arg, err := json.Marshal(s)
	if err != nil {
		return nil, err
	}
	log, err := os.CreateTemp(dir, role+"-*.log")
	if err != nil {
		return nil, err
	}
	c := &child{role: role, logPath: log.Name()}
	// The process has a descriptor of its own.
	defer func() { _ = log.Close() }()
	// It ends with its standard input, not with the context: redis-server has
	// to be stopped by it.
	c.cmd = exec.CommandContext(context.WithoutCancel(ctx), exe, roleArg, role, string(arg))
	c.cmd.Stderr = log
	if c.in, err = c.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := c.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start role %s: %w", role, err)
	}
	c.out, c.ended = make(chan []byte), make(chan struct{})
	go c.readLines(out)
	var up started
	if err := c.read(&up); err != nil {
		c.quit()
		return nil, err
	}
	c.addr = up.Addr
	return c, nil
}

// readLines ends with the process. quit waits for it.
func (c *child) readLines(out io.Reader) {
	for lines := bufio.NewScanner(out); lines.Scan(); {
		c.out <- bytes.Clone(lines.Bytes())
	}
	close(c.ended)
	close(c.out)
}

// running returns a context that ends with the process as well, so that nobody
// waits for what it was to do.
func (c *child) running(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	go func() {
		select {
		case <-c.ended:
			cancel(c.failed(errEnded))
		case <-ctx.Done():
		}
	}()
	return ctx, func() { cancel(nil) }
}

// usage returns the CPU time that the process has used so far.
func (c *child) usage() (usage, error) {
	var u usage
	if _, err := io.WriteString(c.in, orderUsage+"\n"); err != nil {
		return u, c.failed(err)
	}
	return u, c.read(&u)
}

func (c *child) read(v any) error {
	text, ok := <-c.out
	if !ok {
		return c.failed(errEnded)
	}
	if err := json.Unmarshal(text, v); err != nil {
		return c.failed(err)
	}
	return nil
}

var errEnded = errors.New("it has ended")

func (c *child) failed(err error) error {
	const tail = 1000
	log, _ := os.ReadFile(c.logPath) //nolint:gosec // In a directory of our own.
	return fmt.Errorf("role %s: %w; its log ends with:\n%s", c.role, err, log[max(0, len(log)-tail):])
}

// quit ends the process and waits for it. It may be called more than once.
func (c *child) quit() {
	_ = c.in.Close()
	for range c.out { // Its end.
	}
	_ = c.cmd.Wait()         // It may have failed, which was told where it mattered.
	_ = os.Remove(c.logPath) //nolint:gosec // CreateTemp has made it.
}
