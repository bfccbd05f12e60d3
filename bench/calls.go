package main

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

// callsMessages are enough for a mean, and few enough for Redis' slow log to
// hold every command.
const callsMessages = 2000

// callsCase counts what a message costs in Redis. It is apart from the dispatch
// cases because to log every command takes time.
func callsCase() testCase {
	calls := line{name: "Redis calls a message", digits: 2}
	inner := line{name: "Redis commands a message, with those that scripts make", digits: 1}
	return testCase{
		lines: []line{calls, inner},
		run: func(ctx context.Context, b *bench, side string, round int) (values, error) {
			n := min(b.messages, callsMessages)
			var all loggedCommands
			if err := b.loggingCommands(ctx, 0, &all, func() error { return b.dispatchAll(ctx, side, n) }); err != nil {
				return nil, err
			}
			if b.options.details && round == 0 {
				if err := b.callTimes(ctx, side, n); err != nil {
					return nil, err
				}
			}
			return values{
				calls.name: float64(len(all.calls)) / float64(n),
				inner.name: float64(len(all.calls)+all.inner) / float64(n),
			}, nil
		},
	}
}

// dispatchAll dispatches n messages. That the worker starts counts as well.
func (b *bench) dispatchAll(ctx context.Context, side string, n int) error {
	_, err := b.dispatch(ctx, side, n, 0, spec{Concurrency: 64})
	return err
}

// callTimes notes what each call took. The time to log a script's own commands
// would be in its time, so that only what is not trivial is logged.
func (b *bench) callTimes(ctx context.Context, side string, n int) error {
	const threshold = 8 * time.Microsecond
	if err := b.redis.flush(ctx); err != nil {
		return err
	}
	var slow loggedCommands
	if err := b.loggingCommands(ctx, threshold, &slow, func() error { return b.dispatchAll(ctx, side, n) }); err != nil {
		return err
	}
	type cost struct {
		name  string
		calls int
		took  time.Duration
	}
	byName := make(map[string]*cost)
	for _, c := range slow.calls {
		name := callName(c.Args)
		if byName[name] == nil {
			byName[name] = &cost{name: name}
		}
		byName[name].calls++
		byName[name].took += c.Duration
	}
	rows := [][]string{{side + ": Redis calls of " + threshold.String() + " and longer", "a message", "us a call", "us a message"}}
	costs := slices.Collect(maps.Values(byName))
	slices.SortFunc(costs, func(a, b *cost) int { return cmp.Compare(b.took, a.took) })
	for _, c := range costs[:min(len(costs), 10)] {
		us := float64(c.took) / float64(time.Microsecond)
		rows = append(rows, []string{
			c.name, number(float64(c.calls)/float64(n), 2), number(us/float64(c.calls), 1), number(us/float64(n), 1),
		})
	}
	b.details = append(b.details, table(rows))
	return nil
}

// callName names a call by its command, and a script by the beginning of its
// digest, by the kind of its first key and by how many keys it has.
func callName(args []string) string {
	name := strings.ToLower(args[0])
	switch {
	case name == "evalsha" && len(args) > 3:
		return fmt.Sprintf("%s %.8s, %s keys, first %s", name, args[1], args[2], keyKind(args[3]))
	case name == "eval" || len(args) < 2:
		return name
	}
	return name + " " + keyKind(args[1])
}

// keyKind is the key without its last part.
func keyKind(key string) string {
	if i := strings.LastIndexByte(key, ':'); i >= 0 {
		return key[:i+1] + "*"
	}
	return key
}

// loggedCommands are the commands of other clients than this command's own.
type loggedCommands struct {
	calls []redis.SlowLog
	// inner counts the commands that scripts made.
	inner int
}

// scriptAddr is the address that Redis' slow log has for commands of scripts.
const scriptAddr = "?:0"

// loggingCommands runs f and notes all commands that took at least threshold.
func (b *bench) loggingCommands(ctx context.Context, threshold time.Duration, to *loggedCommands, f func() error) error {
	rdb := b.redis.rdb
	const off = "-1"
	defer rdb.ConfigSet(ctx, "slowlog-log-slower-than", off)
	for _, err := range []error{
		rdb.ConfigSet(ctx, "slowlog-max-len", "10000000").Err(),
		rdb.ConfigSet(ctx, "slowlog-log-slower-than", fmt.Sprint(threshold.Microseconds())).Err(),
		rdb.Do(ctx, "slowlog", "reset").Err(),
	} {
		if err != nil {
			return err
		}
	}
	if err := f(); err != nil {
		return err
	}
	entries, err := rdb.SlowLogGet(ctx, -1).Result()
	for _, e := range entries {
		switch {
		case e.ClientAddr == scriptAddr:
			to.inner++
		case e.ClientName != benchClient:
			to.calls = append(to.calls, e)
		}
	}
	rdb.Do(ctx, "slowlog", "reset")
	return err
}
