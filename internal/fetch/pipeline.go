package fetch

import (
	"context"
	"errors"

	"github.com/redis/go-redis/v9"
)

// script is what is known of asynq's dequeue script. Its source becomes known
// when a server does not know the script.
type script struct{ sha, src string }

func (s *script) learn(from call) {
	if from.sha != "" && from.sha != s.sha {
		*s = script{sha: from.sha}
	}
	if from.src != "" {
		s.src, s.sha = from.src, redis.NewScript(from.src).Hash()
	}
}

// once is a command that go-redis does not send again when the connection
// breaks: the first one may have taken a task.
type once struct{ *redis.Cmd }

// NoRetry implements redis.Cmder.
func (once) NoRetry() bool { return true }

// asked is an ask with the answers that it got.
type asked struct {
	ask
	cmds []once
}

// got are the messages that came, also from a pipeline that failed half way:
// each of these tasks is active.
func (a asked) got() []string {
	var msgs []string
	for _, cmd := range a.cmds {
		if msg, ok := cmd.Val().(string); ok {
			msgs = append(msgs, msg)
		}
	}
	return msgs
}

// err is the first error other than that there is no task.
func (a asked) err() error {
	for _, cmd := range a.cmds {
		if err := cmd.Err(); err != nil && !errors.Is(err, redis.Nil) {
			return err
		}
	}
	return nil
}

func (a asked) unknownScript() bool { return redis.HasErrorPrefix(a.err(), "NOSCRIPT") }

// fetch asks for tasks and buffers what comes. It returns an error if there is
// none, and where asynq has to tell the script's source.
func (c *Client) fetch(ctx context.Context, by call, asks []ask) error {
	unknown, got, err := c.send(ctx, by, asks, false)
	if len(unknown) > 0 && c.script.src == "" {
		return err
	}
	if len(unknown) > 0 {
		var more int
		if _, more, err = c.send(ctx, by, unknown, true); more > 0 {
			return nil
		}
	}
	if got > 0 {
		return nil // The queues that failed are asked again later.
	}
	return err
}

// send sends one pipeline, and buffers what comes. With load the script comes
// along. It returns the queues whose server does not know the script.
func (c *Client) send(ctx context.Context, by call, asks []ask, load bool) (unknown []ask, got int, failed error) {
	now := c.cfg.Now()
	lease := by.leaseAt(now)
	pipe := c.Pipeline()
	all := make([]asked, len(asks))
	for i, a := range asks {
		all[i] = asked{ask: a, cmds: make([]once, a.n)}
		for j := range all[i].cmds {
			cmd := once{c.script.command(ctx, a.q, lease, load && j == 0)}
			all[i].cmds[j] = cmd
			_ = pipe.Process(ctx, cmd)
		}
	}
	_, _ = pipe.Exec(ctx) // Each command has its own error.

	c.mu.Lock()
	defer c.mu.Unlock()
	for _, a := range all {
		msgs, err := a.got(), a.err()
		for _, msg := range msgs {
			a.q.class.buffered = append(a.q.class.buffered, c.claim(a.q, msg, lease, now))
		}
		got += len(msgs)
		if failed == nil {
			failed = err
		}
		if a.unknownScript() && !load {
			unknown, failed = append(unknown, a.ask), err
			continue
		}
		a.q.settle(a.n, len(msgs), err != nil)
	}
	return unknown, got, failed
}

func (s *script) command(ctx context.Context, q *queue, lease int64, load bool) *redis.Cmd {
	name, by := "evalsha", s.sha
	if load {
		name, by = "eval", s.src
	}
	args := make([]any, 0, 9)
	args = append(args, name, by, len(q.keys))
	for _, key := range q.keys {
		args = append(args, key)
	}
	return redis.NewCmd(ctx, append(args, lease, q.taskPrefix)...)
}
