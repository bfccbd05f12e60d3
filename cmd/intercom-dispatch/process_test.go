package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// patience bounds every wait for something that takes a moment at most. It
// only matters when a test fails, or when the machine is very busy.
const patience = 30 * time.Second

// process is a run of the program.
type process struct {
	t      *testing.T
	cmd    *exec.Cmd
	stdin  io.WriteCloser // nil unless the call asked for it
	stdout *output
	stderr *output
	ended  chan struct{}
}

// call is a command line with what surrounds it.
type call struct {
	args  []string
	env   []string
	stdin io.Reader
	// pipe makes process.stdin, in place of stdin.
	pipe bool
}

// start starts the program with nothing of the tests' own environment. What
// still runs when the test ends is killed.
func start(t *testing.T, c call) *process {
	t.Helper()
	exe, err := os.Executable()
	require.NoError(t, err)
	cmd := exec.CommandContext(t.Context(), exe, c.args...)
	cmd.Env = append([]string{
		asProgram + "=1", "PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir(), "GORACE=atexit_sleep_ms=0",
	}, c.env...)
	p := &process{t: t, cmd: cmd, stdout: newOutput(), stderr: newOutput(), ended: make(chan struct{})}
	cmd.Stdout, cmd.Stderr, cmd.Stdin = p.stdout, p.stderr, c.stdin
	cmd.WaitDelay = time.Second
	if c.pipe {
		p.stdin, err = cmd.StdinPipe()
		require.NoError(t, err)
	}
	lifeline, keep, err := os.Pipe()
	require.NoError(t, err)
	cmd.ExtraFiles = []*os.File{lifeline}
	require.NoError(t, cmd.Start())
	require.NoError(t, lifeline.Close())
	go func() {
		defer close(p.ended)
		_ = cmd.Wait() // The exit status says the same.
		_ = keep.Close()
		p.stdout.end()
		p.stderr.end()
	}()
	t.Cleanup(p.cleanUp)
	return p
}

func (p *process) cleanUp() {
	p.kill()
	if p.t.Failed() {
		p.t.Logf("%s\n--- standard output\n%s\n--- standard error\n%s", strings.Join(p.cmd.Args[1:], " "), clip(p.stdout), clip(p.stderr))
	}
}

func clip(o *output) string {
	const most = 6000
	s := o.String()
	if len(s) > most {
		return s[:most/2] + "\n[…]\n" + s[len(s)-most/2:]
	}
	return s
}

// kill ends the program as kill -9 does.
func (p *process) kill() {
	_ = p.cmd.Process.Kill() // It may have ended already.
	<-p.ended
}

func (p *process) signal(s os.Signal) {
	p.t.Helper()
	require.NoError(p.t, p.cmd.Process.Signal(s))
}

// status waits for the program's end and returns its exit status, -1 for one
// that a signal ended.
func (p *process) status() int {
	p.t.Helper()
	select {
	case <-p.ended:
	case <-time.After(patience):
		require.FailNow(p.t, "the program does not end", "%v", p.cmd.Args[1:])
	}
	return p.cmd.ProcessState.ExitCode()
}

// interrupt asks the program to end, which it must do with status 0.
func (p *process) interrupt() {
	p.t.Helper()
	p.signal(os.Interrupt)
	require.Equal(p.t, 0, p.status())
}

// result is what a program that has ended left behind.
type result struct {
	status         int
	stdout, stderr string
}

// finish runs the program to its end.
func finish(t *testing.T, c call) result {
	t.Helper()
	p := start(t, c)
	return result{status: p.status(), stdout: p.stdout.String(), stderr: p.stderr.String()}
}

// logged waits for a log line with the message and returns its fields.
func (p *process) logged(msg string) map[string]any {
	p.t.Helper()
	var fields map[string]any
	p.stderr.await(p.t, "the log line "+msg, func(line string) bool {
		fields = nil
		return json.Unmarshal([]byte(line), &fields) == nil && fields["msg"] == msg
	})
	return fields
}

// adminURL waits until the admin address is bound.
func (p *process) adminURL() string {
	p.t.Helper()
	return "http://" + p.logged("admin address")["addr"].(string)
}

// webhookURL waits until notifications are received.
func (p *process) webhookURL() string {
	p.t.Helper()
	f := p.logged("receiving webhook notifications")
	return "http://" + f["addr"].(string) + f["path"].(string)
}

// output collects what a process writes, for tests to wait for lines of it.
type output struct {
	mu      sync.Mutex
	buf     bytes.Buffer
	closed  bool
	changed chan struct{}
}

func newOutput() *output { return &output{changed: make(chan struct{})} }

func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.wake()
	return o.buf.Write(b)
}

func (o *output) end() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.closed = true
	o.wake()
}

func (o *output) wake() {
	close(o.changed)
	o.changed = make(chan struct{})
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.String()
}

func (o *output) look() (text string, closed bool, changed <-chan struct{}) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.String(), o.closed, o.changed
}

// await waits for a whole line that wanted accepts.
func (o *output) await(t *testing.T, what string, wanted func(line string) bool) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for {
		text, closed, changed := o.look()
		for line := range strings.Lines(text) {
			if strings.HasSuffix(line, "\n") && wanted(strings.TrimSuffix(line, "\n")) {
				return strings.TrimSuffix(line, "\n")
			}
		}
		require.False(t, closed, "the program ended without "+what)
		select {
		case <-changed:
		case <-ctx.Done():
			require.FailNow(t, "waited in vain for "+what)
		}
	}
}
