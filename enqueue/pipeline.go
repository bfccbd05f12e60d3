package enqueue

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/redis/go-redis/v9"

	"github.com/intercom-dispatch/intercom-dispatch/ledger"
)

// A pipeline is bounded in messages and in bytes, as Redis and the client keep
// all of it in memory.
const (
	pipelineLength = 1000
	pipelineBytes  = 4 << 20
)

// run enqueues the jobs in order and writes their results. It returns the error
// that ended it, after which the jobs behind are not tried: otherwise they would
// overtake those that are tried again, and each pipeline would wait for a Redis
// that is gone.
func (c *Client) run(ctx context.Context, jobs []*job) error {
	enqueue := c.runGuarded
	if _, cluster := c.rdb.(*redis.ClusterClient); cluster {
		enqueue = c.runOnCluster
	}
	err := c.composer.recorder.publish(ctx)
	for len(jobs) > 0 {
		n := pipelineOf(jobs)
		if err == nil {
			enqueue(ctx, jobs[:n])
			err = lost(jobs[:n])
		} else {
			skip(jobs[:n], err)
		}
		jobs = jobs[n:]
	}
	return err
}

// pipelineOf returns how many of the first jobs go into one pipeline.
func pipelineOf[T interface{ size() int }](jobs []T) int {
	bytes := 0
	for n, j := range jobs {
		if bytes += j.size(); n == pipelineLength || n > 0 && bytes > pipelineBytes {
			return n
		}
	}
	return len(jobs)
}

func (j *job) size() int { return j.bytes }

// lost returns the error of a job that Redis has not answered, or nil.
func lost(jobs []*job) error {
	for _, j := range jobs {
		if j.lost != nil {
			return j.lost
		}
	}
	return nil
}

func skip(jobs []*job, err error) {
	for _, j := range jobs {
		j.fail(fmt.Errorf("not tried: %w", err))
	}
}

// runGuarded looks and enqueues in one step for each job.
func (c *Client) runGuarded(ctx context.Context, jobs []*job) {
	calls := make([]call, len(jobs))
	for i, j := range jobs {
		calls[i] = j.guarded()
	}
	for i, cmd := range c.pipeline(ctx, calls) {
		jobs[i].read(cmd)
	}
}

// read takes over what the guarded script returned.
func (j *job) read(cmd *redis.Cmd) {
	answer, err := cmd.Result()
	if err != nil {
		j.unanswered(err)
		return
	}
	if known, ok := answer.([]any); ok && len(known) == 2 {
		verdict, _ := known[0].(string)
		state, _ := known[1].(string)
		j.settle(verdict, ledger.State(state))
		return
	}
	if answer != int64(1) {
		j.fail(errors.New("asynq refused the task"))
		return
	}
	j.settle(string(Enqueued), "")
}

// runOnCluster looks first, then gives the messages of an order their places,
// and then enqueues, because a script on a cluster may only touch one slot, and
// each of asynq's queues has its own. Between the first and the last step another
// producer may enqueue the same key at another priority; then both are told that
// they did, and the ledger lets one of them be sent.
func (c *Client) runOnCluster(ctx context.Context, jobs []*job) {
	free := c.look(ctx, jobs)
	keepBehind(jobs)
	free = c.place(ctx, untouched(free))
	calls := make([]call, len(free))
	for i, j := range free {
		calls[i] = j.bare()
	}
	var taken []*job
	for i, cmd := range c.pipeline(ctx, calls) {
		n, err := cmd.Int()
		switch {
		case err != nil:
			free[i].unanswered(err)
		case n == 1:
			free[i].settle(string(Enqueued), "")
		default:
			taken = append(taken, free[i])
		}
	}
	for _, j := range c.look(ctx, taken) {
		j.fail(errors.New("the task was there and is gone; try again"))
	}
	c.withdraw(ctx, taken)
}

// untouched returns the jobs that have not failed.
func untouched(jobs []*job) []*job {
	return slices.DeleteFunc(jobs, func(j *job) bool { return j.result.Err != nil })
}

// look settles the jobs whose key is known and returns the others.
func (c *Client) look(ctx context.Context, jobs []*job) (free []*job) {
	if len(jobs) == 0 {
		return nil
	}
	records := make([]*redis.SliceCmd, len(jobs))
	tasks := make([][]*redis.StringCmd, len(jobs))
	// Errors are those of the commands, which are looked at one by one.
	_, _ = c.rdb.Pipelined(ctx, func(p redis.Pipeliner) error {
		for i, j := range jobs {
			f := ledger.RecordFields()
			records[i] = p.HMGet(ctx, j.record(), f[:]...)
			for _, t := range j.tasks() {
				tasks[i] = append(tasks[i], p.HGet(ctx, t, "msg"))
			}
		}
		return nil
	})
	for i, j := range jobs {
		switch known, err := j.compare(records[i], tasks[i]); {
		case err != nil:
			j.unanswered(err)
		case !known:
			free = append(free, j)
		}
	}
	return free
}

// compare is the guard of the script, for answers that were fetched.
func (j *job) compare(record *redis.SliceCmd, tasks []*redis.StringCmd) (known bool, err error) {
	fields, err := record.Result()
	if err != nil {
		return false, err
	}
	if digest, ok := fields[0].(string); ok {
		state, _ := fields[1].(string)
		j.settle(j.verdict(digest == j.digest, fields[2] == j.token), ledger.State(state))
		return true, nil
	}
	for _, t := range tasks {
		msg, err := t.Result()
		if errors.Is(err, redis.Nil) {
			continue
		}
		if err != nil {
			return false, err
		}
		j.settle(j.verdict(strings.Contains(msg, j.digest), strings.Contains(msg, j.token)), ledger.Queued)
		return true, nil
	}
	return false, nil
}

func (j *job) verdict(sameMessage, sameEnqueueing bool) string {
	switch {
	case sameEnqueueing:
		return string(Enqueued)
	case sameMessage:
		return string(Duplicate)
	}
	return "conflict"
}

func (j *job) settle(verdict string, state ledger.State) {
	switch Status(verdict) {
	case Enqueued:
		j.result.Status = Enqueued
	case Duplicate:
		j.result.Status, j.result.State = Duplicate, state
	default:
		j.result.Err = &ConflictError{Key: j.key, State: state}
	}
}

func (j *job) fail(err error) { j.result.Err = fmt.Errorf("enqueue %q: %w", j.key, err) }

// unanswered fails a job with the error of its command, which may be Redis'
// answer all the same. Those behind are tried then, but not behind one that is
// ordered, which they might overtake.
func (j *job) unanswered(err error) {
	if _, reply := errors.AsType[redis.Error](err); !reply || j.ordered {
		j.lost = err
	}
	j.fail(err)
}

type call struct {
	script *redis.Script
	keys   []string
	args   []any
	// ordered says that its place among the others counts.
	ordered bool
}

// pipeline runs scripts in one round trip, and those that Redis does not know
// yet in a second. Where the order of any counts, the first of each script brings
// it with it: otherwise one that Redis knows would overtake another.
func (c *Client) pipeline(ctx context.Context, calls []call) []*redis.Cmd {
	cmds := make([]*redis.Cmd, len(calls))
	if len(calls) == 0 {
		return cmds
	}
	var unknown []int
	_, _ = c.rdb.Pipelined(ctx, func(p redis.Pipeliner) error {
		bring := len(calls) > 1 && slices.ContainsFunc(calls, func(s call) bool { return s.ordered })
		var brought []*redis.Script
		for i, s := range calls {
			if bring && !slices.Contains(brought, s.script) {
				cmds[i] = s.script.Eval(ctx, p, s.keys, s.args...)
				brought = append(brought, s.script)
			} else {
				cmds[i] = s.script.EvalSha(ctx, p, s.keys, s.args...)
			}
		}
		return nil
	})
	for i, cmd := range cmds {
		if cmd.Err() != nil && redis.HasErrorPrefix(cmd.Err(), "NOSCRIPT") {
			unknown = append(unknown, i)
		}
	}
	if len(unknown) == 0 {
		return cmds
	}
	_, _ = c.rdb.Pipelined(ctx, func(p redis.Pipeliner) error {
		for n, i := range unknown {
			s := calls[i]
			if n == 0 || s.script != calls[unknown[n-1]].script {
				cmds[i] = s.script.Eval(ctx, p, s.keys, s.args...)
			} else {
				cmds[i] = s.script.EvalSha(ctx, p, s.keys, s.args...)
			}
		}
		return nil
	})
	return cmds
}
