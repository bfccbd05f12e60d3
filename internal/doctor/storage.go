package doctor

import (
	"cmp"
	"context"
	"fmt"
	"strconv"

	"github.com/redis/go-redis/v9"

	"github.com/intercom-dispatch/intercom-dispatch/internal/redisconn"
)

// What losing the latest writes does, in the operator's words.
const (
	lostWrites  = "a message that was enqueued then is lost, and one that was sent then may be sent twice"
	consoleHint = "The service does not let CONFIG be read. See in its console "
)

func (e *examination) persistence(ctx context.Context) []finding {
	return e.ofSettings(ctx, persistence, appendOnly, appendFsync, saveRules)
}

func (e *examination) eviction(ctx context.Context) []finding {
	return e.ofSettings(ctx, func(s settings) []finding {
		return []finding{policy(s), memory(s)}
	}, maxPolicy)
}

func (e *examination) replicas(ctx context.Context) []finding {
	return e.ofSettings(ctx, func(s settings) []finding {
		return []finding{replicas(s, e.Redis.Kind())}
	}, minReplicas, minReplicaLag)
}

// ofSettings judges the settings of each master.
func (e *examination) ofSettings(ctx context.Context, judge func(settings) []finding, names ...string) []finding {
	all, err := e.onMasters(ctx, func(ctx context.Context, node *redis.Client) ([]finding, error) {
		s, err := ask(ctx, node, names...)
		if err != nil {
			return nil, err
		}
		return judge(s), nil
	})
	if err != nil {
		return []finding{e.unreachable(ctx, err)}
	}
	return all
}

func persistence(s settings) []finding {
	var all []finding
	switch {
	case s.config[appendOnly] == "yes":
		all = append(all, fsync(s.config[appendFsync]))
	case s.config[appendOnly] == "no" && s.config[saveRules] != "":
		all = append(all, fail("appendonly no, save "+s.config[saveRules],
			"Redis has only snapshots: when it dies, everything since the last one is gone: "+lostWrites+
				". Set appendonly yes, and appendfsync always or everysec."))
	case s.config[appendOnly] == "no":
		all = append(all, fail("appendonly no, and no snapshots",
			"Redis keeps nothing on disk: when it dies, all queued messages are lost, and with the ledger the knowledge of what was sent: "+
				"what is enqueued again is sent twice. Set appendonly yes, and appendfsync always or everysec."))
	default:
		all = append(all, persistenceByInfo(s.info["aof_enabled"]))
	}
	if s.info["aof_enabled"] == "1" && cmp.Or(s.info["aof_last_write_status"], "ok") != "ok" {
		all = append(all, fail("the last write to the append only file failed", "Look at Redis' log and at the space on its disk."))
	}
	if s.config[saveRules] != "" && cmp.Or(s.info["rdb_last_bgsave_status"], "ok") != "ok" {
		all = append(all, fail("the last snapshot failed",
			"Redis may refuse writes until one succeeds: look at its log and at the space on its disk."))
	}
	return all
}

func fsync(mode string) finding {
	found := "appendonly yes, appendfsync " + mode
	switch mode {
	case "always":
		return ok("%s: nothing that was acknowledged is lost when Redis dies", found)
	case "everysec":
		return warn(found, "When Redis' machine dies, up to a second of writes is gone: "+lostWrites+
			". Set appendfsync always if that matters more than speed.")
	}
	return warn(found, "When Redis' machine dies, half a minute of writes may be gone: "+lostWrites+
		". Set appendfsync always, or everysec.")
}

// persistenceByInfo is for servers that refuse CONFIG.
func persistenceByInfo(aof string) finding {
	const advice = consoleHint + "that an append only file (AOF) is kept, and how often it is written to disk: " +
		"always loses nothing, everysec up to a second. What is lost: " + lostWrites + "."
	switch aof {
	case "1":
		return warn("an append only file is kept; how often it is written to disk is not told", advice)
	case "0":
		return warn("Redis says that no append only file is kept", advice)
	}
	return skipped("Redis does not tell how it keeps its data", advice)
}

func policy(s settings) finding {
	const advice = "Set maxmemory-policy noeviction: with another, Redis throws away queued messages, and records without which messages are sent twice."
	switch p := cmp.Or(s.config[maxPolicy], s.info["maxmemory_policy"]); p {
	case "noeviction":
		return ok("maxmemory-policy noeviction")
	case "":
		return skipped("Redis does not tell its maxmemory-policy", consoleHint+"that maxmemory-policy is noeviction.")
	default:
		return fail("maxmemory-policy "+p, advice)
	}
}

func memory(s settings) finding {
	used, errUsed := strconv.ParseUint(s.info["used_memory"], 10, 64)
	limit, errLimit := strconv.ParseUint(s.info["maxmemory"], 10, 64)
	switch {
	case errUsed != nil || errLimit != nil:
		return skipped("Redis does not tell how much memory it uses", "")
	case limit == 0:
		return ok("%s of memory used, maxmemory is not set", mebibytes(used))
	}
	percent := float64(used) / float64(limit) * 100
	found := fmt.Sprintf("%s of %s of memory used (%.0f %%)", mebibytes(used), mebibytes(limit), percent)
	if percent > 80 {
		return warn(found, "When it is full, Redis refuses writes: nothing is enqueued or sent. Give it more memory, or shorten --record-ttl.")
	}
	return ok("%s", found)
}

func mebibytes(n uint64) string { return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20)) }

func replicas(s settings, kind redisconn.Kind) finding {
	n, err := strconv.Atoi(s.info["connected_slaves"])
	if err != nil {
		return skipped("Redis does not tell its replicas", "See in the service's console whether there are some, and whether a failover waits for them.")
	}
	least, known := s.config[minReplicas]
	found := fmt.Sprintf("%d connected", n)
	if known {
		found += ", min-replicas-to-write " + least
	}
	// INFO has this line only where a minimum is set.
	if good, err := strconv.Atoi(s.info["min_slaves_good_slaves"]); err == nil {
		if want, err := strconv.Atoi(least); err == nil && good < want {
			return fail(fmt.Sprintf("%s, of which %d keep up", found, good), "Redis refuses writes until enough replicas keep up: look at them.")
		}
	}
	switch {
	case n == 0 && kind == redisconn.Single:
		return ok("%s: while Redis is away, nothing is enqueued or sent", found)
	case n == 0:
		return warn(found, "There is nothing to fail over to: add a replica.")
	case known && least != "0" && least != "":
		return ok("%s: a failover may lose writes of the last %s s at most, where replicas do not keep up", found, cmp.Or(s.config[minReplicaLag], "10"))
	}
	return warn(found, "A failover may lose writes that were acknowledged just before: "+lostWrites+
		". Set min-replicas-to-write 1, so that a master that lost its replicas stops taking writes.")
}
