package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

// benchClient is the name of this command's own connections, so that what they
// do is not counted.
const benchClient = "bench"

// runRedis runs redis-server until ctx ends.
func runRedis(ctx context.Context, s spec, ready func(string) error) error {
	appendOnly := "no"
	if s.AppendOnly {
		appendOnly = "yes"
	}
	cmd := exec.CommandContext(ctx, "redis-server", //nolint:gosec // A number and a directory of our own.
		"--bind", "127.0.0.1", "--port", strconv.Itoa(s.Port), "--dir", s.Dir, "--daemonize", "no",
		"--save", "", "--appendonly", appendOnly, "--appendfsync", "everysec")
	cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
	if err := cmd.Start(); err != nil {
		return err
	}
	if err := ready(net.JoinHostPort("127.0.0.1", strconv.Itoa(s.Port))); err != nil {
		return err
	}
	if err := cmd.Wait(); ctx.Err() == nil {
		return err
	}
	return nil // It was killed.
}

// redisServer is the redis-server of this run.
type redisServer struct {
	*child
	rdb     *redis.Client
	version string
}

const redisStartTimeout = 10 * time.Second

func startRedis(ctx context.Context, dir string, appendOnly bool) (*redisServer, error) {
	port, err := freePort(ctx)
	if err != nil {
		return nil, err
	}
	c, err := start(ctx, dir, roleRedis, spec{Dir: dir, Port: port, AppendOnly: appendOnly})
	if err != nil {
		return nil, err
	}
	r := &redisServer{child: c, rdb: redis.NewClient(&redis.Options{Addr: c.addr, ClientName: benchClient})}
	ctx, cancel := context.WithTimeout(ctx, redisStartTimeout)
	defer cancel()
	for {
		info, err := r.info(ctx)
		if err == nil {
			r.version = info["redis_version"]
			return r, nil
		}
		if !pause(ctx, 10*time.Millisecond) {
			r.close()
			return nil, c.failed(errors.Join(err, ctx.Err()))
		}
	}
}

func (r *redisServer) close() {
	_ = r.rdb.Close()
	r.quit()
}

func freePort(ctx context.Context) (int, error) {
	ln, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer func() { _ = ln.Close() }()
	addr, ok := ln.Addr().(*net.TCPAddr)
	if !ok {
		return 0, fmt.Errorf("no port in %s", ln.Addr())
	}
	return addr.Port, nil
}

func (r *redisServer) flush(ctx context.Context) error { return r.rdb.FlushAll(ctx).Err() }

// info returns the fields of INFO.
func (r *redisServer) info(ctx context.Context) (map[string]string, error) {
	text, err := r.rdb.Info(ctx).Result()
	if err != nil {
		return nil, err
	}
	fields := make(map[string]string)
	for line := range strings.Lines(text) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), ":"); ok {
			fields[name] = value
		}
	}
	return fields, nil
}

// cpu returns the CPU time that Redis has used.
func (r *redisServer) cpu(ctx context.Context) (time.Duration, error) {
	sys, err := r.number(ctx, "used_cpu_sys")
	if err != nil {
		return 0, err
	}
	user, err := r.number(ctx, "used_cpu_user")
	return time.Duration((sys + user) * float64(time.Second)), err
}

func (r *redisServer) number(ctx context.Context, field string) (float64, error) {
	info, err := r.info(ctx)
	if err != nil {
		return 0, err
	}
	return strconv.ParseFloat(info[field], 64)
}

// drained returns once asynq has no task that is to run.
func (r *redisServer) drained(ctx context.Context) error {
	for {
		left, err := r.left(ctx)
		if err == nil && left == 0 {
			return nil
		}
		if !pause(ctx, 5*time.Millisecond) {
			return fmt.Errorf("%d of asynq's lists are not empty: %w", left, errors.Join(err, context.Cause(ctx)))
		}
	}
}

func (r *redisServer) left(ctx context.Context) (int64, error) {
	queues, err := r.rdb.SMembers(ctx, "asynq:queues").Result()
	if err != nil {
		return 0, err
	}
	var lists []string
	for _, q := range queues {
		for _, list := range []string{"pending", "active", "scheduled", "retry", "archived"} {
			lists = append(lists, "asynq:{"+q+"}:"+list)
		}
	}
	if len(lists) == 0 {
		return 0, nil
	}
	return r.rdb.Exists(ctx, lists...).Result()
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
