package doctor

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

const (
	pings    = 5
	slowPing = 20 * time.Millisecond
)

func (e *examination) redis(ctx context.Context) []finding {
	all, err := e.onMasters(ctx, e.server)
	if err != nil {
		return []finding{e.unreachable(ctx, err)}
	}
	e.reached = true
	return all
}

// unreachable explains why Redis does not work at all. The URL has its
// passwords hidden.
func (e *examination) unreachable(ctx context.Context, err error) finding {
	advice := "Is it running, and is --redis-url right? Is there a firewall in between?"
	switch {
	case redis.HasErrorPrefix(err, "NOAUTH"), redis.HasErrorPrefix(err, "WRONGPASS"):
		advice = "Check the user and password in --redis-url."
	case redis.HasErrorPrefix(err, "NOPERM"):
		advice = "Give the user in --redis-url the right to use all commands but administrative ones, on asynq:* and dispatch:*."
	case redis.HasErrorPrefix(err, "LOADING"):
		advice = "It is reading its data after a start: wait, and try again."
	case strings.Contains(err.Error(), "cluster support disabled"):
		advice = "The server is no cluster: use redis:// in --redis-url."
	}
	return fail(fmt.Sprintf("%s does not work: %s", e.Redis, reason(ctx, err)), advice)
}

func (e *examination) server(ctx context.Context, node *redis.Client) ([]finding, error) {
	latency, err := pingTime(ctx, node)
	if err != nil {
		return nil, err
	}
	s, err := ask(ctx, node)
	if err != nil {
		return nil, err
	}
	return []finding{version(s.info["redis_version"]), role(s.info), e.mode(s.info["redis_mode"]), slowness(latency)}, nil
}

// pingTime is the median of some round trips, without that which connects.
func pingTime(ctx context.Context, node *redis.Client) (time.Duration, error) {
	if err := node.Ping(ctx).Err(); err != nil {
		return 0, err
	}
	took := make([]time.Duration, pings)
	for i := range took {
		began := time.Now()
		if err := node.Ping(ctx).Err(); err != nil {
			return 0, err
		}
		took[i] = time.Since(began)
	}
	slices.Sort(took)
	return took[pings/2], nil
}

func slowness(latency time.Duration) finding {
	found := fmt.Sprintf("PING takes %s", latency.Round(10*time.Microsecond))
	if latency > slowPing {
		return warn(found, "Each message needs several round trips to Redis: run the workers near it.")
	}
	return ok("%s", found)
}

func version(v string) finding {
	if v == "" {
		return warn("it does not tell its version", "See that it is Redis 6.2 or newer.")
	}
	major, minor, err := parseVersion(v)
	switch {
	case err != nil:
		return warn(fmt.Sprintf("its version is %q", v), "See that it is Redis 6.2 or newer.")
	case major < 6 || major == 6 && minor < 2:
		return fail("Redis "+v, "Redis 6.2 is the oldest that works: update it.")
	case major < 7:
		return warn("Redis "+v, "It works, but tests are made with Redis 7: update it when you can.")
	}
	return ok("Redis %s", v)
}

func parseVersion(v string) (major, minor int, err error) {
	first, rest, _ := strings.Cut(v, ".")
	second, _, _ := strings.Cut(rest, ".")
	major, errMajor := strconv.Atoi(first)
	minor, errMinor := strconv.Atoi(second)
	return major, minor, errors.Join(errMajor, errMinor)
}

func role(info map[string]string) finding {
	switch r := info["role"]; r {
	case "master":
		return ok("master")
	case "":
		return warn("it does not tell its role", "See that --redis-url leads to the master.")
	default:
		return fail("it is a replica", "Nothing can be written to a replica: --redis-url must lead to the master, or to the Sentinels.")
	}
}

// mode compares what the server is with what the URL says.
func (e *examination) mode(mode string) finding {
	kind := e.Redis.Kind()
	switch {
	case mode == "cluster" && kind != "cluster":
		return fail("it is a node of a cluster", "Use redis-cluster:// in --redis-url: other nodes have a part of the keys.")
	case mode == "sentinel":
		return fail("it is a Sentinel", "Use redis-sentinel://…?master=NAME in --redis-url.")
	}
	return ok("kind %s", kind)
}
