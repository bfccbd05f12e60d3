package worker_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/redis/go-redis/v9"
)

// redisFault is what goes wrong at one command.
type redisFault string

const (
	noFault     redisFault = "none"
	notSent     redisFault = "not sent"
	answerLost  redisFault = "answer lost"
	sentTwice   redisFault = "sent twice"
	redisAway   redisFault = "redis away"
	crashBefore redisFault = "crash before"
	crashAfter  redisFault = "crash after"
)

// awayFor is how long redisAway lasts.
const awayFor = 2 * time.Second

// tap is a hook of one worker's Redis client. It counts the commands that
// concern the worker's one message and has a fault happen at one of them.
type tap struct {
	key string
	// direct goes past the tap.
	direct redis.UniversalClient
	fault  redisFault
	// at is the command at which the fault happens, from 1.
	at int
	// died is closed when the worker has crashed, and ended when what is left
	// of it may end.
	died, ended chan struct{}

	mu    sync.Mutex
	calls []string
	back  time.Time
	dead  bool
	// begun counts attempts; open tells that the last one has no outcome yet.
	begun int
	open  bool
}

func newTap(direct redis.UniversalClient, key string, fault redisFault, at int) *tap {
	return &tap{
		key: key, direct: direct, fault: fault, at: at,
		died: make(chan struct{}), ended: make(chan struct{}),
	}
}

func (p *tap) DialHook(next redis.DialHook) redis.DialHook { return next }

// ProcessPipelineHook takes a pipeline for the first of its commands that
// concerns the message.
func (p *tap) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		err := p.process(ctx, cmds, func() error { return next(ctx, cmds) })
		for _, cmd := range cmds {
			if err != nil && cmd.Err() == nil {
				cmd.SetErr(err)
			}
		}
		return err
	}
}

func (p *tap) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		return p.process(ctx, []redis.Cmder{cmd}, func() error { return next(ctx, cmd) })
	}
}

func (p *tap) process(ctx context.Context, cmds []redis.Cmder, send func() error) error {
	if err := p.reach(ctx); err != nil {
		return err
	}
	dequeues := false
	for _, cmd := range cmds {
		name := commandName(cmd)
		dequeues = dequeues || name == "dequeue"
		if !p.concerns(ctx, name, cmd) {
			continue
		}
		if p.count(name) != p.at {
			return p.execute(name, cmd, send)
		}
		return p.happen(ctx, name, cmd, send)
	}
	if dequeues {
		return redis.Nil // It must not become one that concerns the message.
	}
	return send()
}

func (p *tap) happen(ctx context.Context, name string, cmd redis.Cmder, send func() error) error {
	switch p.fault {
	case notSent:
		return refused()
	case answerLost:
		if err := p.execute(name, cmd, send); isNoScript(err) {
			return err
		}
		return p.lose(cmd)
	case sentTwice:
		if err := p.execute(name, cmd, send); isNoScript(err) {
			return err
		}
		return send()
	case redisAway:
		p.mu.Lock()
		p.back = time.Now().Add(awayFor)
		p.mu.Unlock()
		return refused()
	case crashAfter:
		if err := p.execute(name, cmd, send); isNoScript(err) {
			return err
		}
		return p.crash(ctx)
	case crashBefore:
		return p.crash(ctx)
	case noFault:
	}
	return p.execute(name, cmd, send)
}

// lose takes the answer away.
func (p *tap) lose(cmd redis.Cmder) error {
	if c, ok := cmd.(interface{ SetVal(any) }); ok {
		c.SetVal(nil)
	}
	cmd.SetErr(io.ErrUnexpectedEOF)
	return io.ErrUnexpectedEOF
}

// execute keeps the books of what Redis was told.
func (p *tap) execute(name string, cmd redis.Cmder, send func() error) error {
	err := send()
	p.mu.Lock()
	defer p.mu.Unlock()
	if isNoScript(cmd.Err()) || isNoScript(err) {
		// go-redis follows it up with the script itself.
		p.calls = p.calls[:len(p.calls)-1]
		return err
	}
	switch name {
	case "begin", "begin the first":
		if c, ok := cmd.(*redis.Cmd); ok {
			if answer, _ := c.StringSlice(); len(answer) > 0 && answer[0] == "begun" {
				p.begun++
				p.open = true
			}
		}
	case "commit", "commit as sent", "commit with an id", "abandon":
		p.open = false
	}
	return err
}

// crash makes the worker stand still, which is what is left of one that was
// killed as far as others can see.
func (p *tap) crash(ctx context.Context) error {
	p.mu.Lock()
	p.dead = true
	p.mu.Unlock()
	close(p.died)
	return p.reach(ctx)
}

// reach fails while the worker does not reach Redis.
func (p *tap) reach(ctx context.Context) error {
	p.mu.Lock()
	dead, away := p.dead, time.Now().Before(p.back)
	p.mu.Unlock()
	switch {
	case dead:
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-p.ended:
			// asynq tries without a pause.
			pauseFor(ctx, 20*time.Millisecond)
			return refused()
		}
	case away:
		pauseFor(ctx, 20*time.Millisecond)
		return refused()
	}
	return nil
}

func pauseFor(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

func refused() error { return fmt.Errorf("dial redis: %w", syscall.ECONNREFUSED) }

func isNoScript(err error) bool { return err != nil && strings.HasPrefix(err.Error(), "NOSCRIPT") }

func (p *tap) count(name string) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.calls = append(p.calls, name)
	return len(p.calls)
}

// made returns the commands so far.
func (p *tap) made() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.calls)
}

// attempts returns how many attempts were begun, and whether the last one has
// no outcome.
func (p *tap) attempts() (begun int, open bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.begun, p.open
}

// concerns tells whether the command is about the message. What a worker does
// by the clock is not, though it may name the message: its word to the roster,
// asynq's heartbeat and leases.
func (p *tap) concerns(ctx context.Context, name string, cmd redis.Cmder) bool {
	args := cmd.Args()
	switch name {
	case "heartbeat", "zadd", "hset":
		return false
	case "dequeue":
		ids, err := p.direct.LRange(ctx, fmt.Sprint(args[3]), 0, -1).Result()
		return err == nil && slices.Contains(ids, p.key)
	case "forward":
		ids, err := p.direct.ZRangeByScore(ctx, fmt.Sprint(args[3]), &redis.ZRangeBy{Min: "-inf", Max: fmt.Sprint(args[5])}).Result()
		return err == nil && slices.Contains(ids, p.key)
	case "get":
		return strings.Contains(fmt.Sprint(args[1]), "}:id:")
	}
	return slices.ContainsFunc(args, func(arg any) bool {
		switch arg := arg.(type) {
		case string:
			return strings.Contains(arg, p.key)
		case []byte:
			return bytes.Contains(arg, []byte(p.key))
		}
		return false
	})
}

// commandName names a command, and a script by its keys and arguments.
func commandName(cmd redis.Cmder) string {
	args := cmd.Args()
	if !strings.HasPrefix(cmd.Name(), "eval") || len(args) < 3 {
		return cmd.Name()
	}
	n, err := strconv.Atoi(fmt.Sprint(args[2]))
	if err != nil || n == 0 || len(args) < 3+n {
		return cmd.Name()
	}
	keys := make([]string, n)
	for i := range keys {
		keys[i] = fmt.Sprint(args[3+i])
	}
	if strings.HasPrefix(keys[0], "asynq:") {
		return asynqScript(keys)
	}
	return ledgerScript(n, args[3+n:])
}

func asynqScript(keys []string) string {
	ends := func(i int, part string) bool { return i < len(keys) && strings.HasSuffix(keys[i], part) }
	switch {
	case strings.HasPrefix(keys[0], "asynq:servers"):
		return "heartbeat"
	case ends(1, ":paused"):
		return "dequeue"
	case len(keys) == 2 && ends(1, ":pending"):
		return "forward"
	case len(keys) == 5 && ends(0, ":active"):
		return "asynq done"
	case ends(3, ":retry"):
		return "asynq retry"
	case ends(3, ":archived"):
		return "asynq archive"
	case len(keys) == 4 && ends(2, ":pending"):
		return "put back"
	}
	return fmt.Sprintf("asynq's script of %d keys", len(keys))
}

// ledgerScript tells the ledger's scripts apart by how many keys and arguments
// they have. One that is not known here would be counted under its numbers.
func ledgerScript(keys int, args []any) string {
	switch [2]int{keys, len(args)} {
	case [2]int{1, 8}:
		return "begin the first"
	case [2]int{10, 12}:
		return "begin"
	case [2]int{10, 11}:
		return "commit"
	case [2]int{3, 8}:
		return "commit with an id"
	case [2]int{14, 10}:
		return "commit as sent"
	case [2]int{15, 8}:
		return "settle"
	case [2]int{10, 4}:
		if _, payload := args[3].([]byte); payload {
			return "hold"
		}
		if _, err := strconv.Atoi(fmt.Sprint(args[2])); err != nil {
			return "abandon" // Its third argument is a token.
		}
		return "look again"
	}
	return fmt.Sprintf("script of %d keys and %d arguments", keys, len(args))
}
