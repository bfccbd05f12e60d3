package roster

import (
	"strconv"

	"github.com/redis/go-redis/v9"
)

// The keys of an asynq queue, as in internal/base/base.go of asynq v0.26.0.
func activeKey(queue string) string       { return "asynq:{" + queue + "}:active" }
func leaseKey(queue string) string        { return "asynq:{" + queue + "}:lease" }
func pendingKey(queue string) string      { return "asynq:{" + queue + "}:pending" }
func taskKey(queue, taskID string) string { return "asynq:{" + queue + "}:t:" + taskID }

func delayedKeys(queue string) []string {
	prefix := "asynq:{" + queue + "}:"
	return []string{prefix + "scheduled", prefix + "retry", prefix + "archived", prefix + "completed"}
}

// noLease stands for the score of a task that has no entry among the leases.
const noLease = ""

// leaseText writes a score as the scripts read it. asynq's are Unix seconds.
func leaseText(score float64) string { return strconv.FormatFloat(score, 'f', -1, 64) }

// removeScript removes a member's field if it is still the one that was seen.
//
//	KEYS[1] ledger.WorkersKey
//	ARGV[1] the member's id
//	ARGV[2] the field's value
//
// Result: 1 if it was removed, else 0.
var removeScript = redis.NewScript(`
if redis.call('HGET', KEYS[1], ARGV[1]) ~= ARGV[2] then return 0 end
return redis.call('HDEL', KEYS[1], ARGV[1])
`)

// putBackSource makes an active task pending, as the next to be taken, if its
// lease is still the one that was seen. It does what asynq's requeueCmd does
// (internal/rdb/rdb.go), which refuses tasks without a lease entry, and writes
// pending_since as enqueueing does. A task whose message asynq has deleted is
// removed with what dequeueing has left of its hash: that would refuse its id
// for ever. Results and locks of unique tasks are untouched. Sent twice it
// does nothing the second time, because a task that was taken again has
// another lease.
//
//	KEYS[1] asynq:{queue}:active
//	KEYS[2] asynq:{queue}:lease
//	KEYS[3] asynq:{queue}:pending
//	KEYS[4] asynq:{queue}:t:<id>
//	ARGV[1] the task's id
//	ARGV[2] score of its lease, empty for none
//	ARGV[3] now, Unix nanoseconds
//
// Result: 1 if it was put back, 2 if it was removed, 0 if neither.
const putBackSource = `
local lease = redis.call('ZSCORE', KEYS[2], ARGV[1])
if (lease and tonumber(lease)) ~= (ARGV[2] ~= '' and tonumber(ARGV[2])) then return 0 end
if redis.call('LREM', KEYS[1], 0, ARGV[1]) == 0 then return 0 end
redis.call('ZREM', KEYS[2], ARGV[1])
if redis.call('HEXISTS', KEYS[4], 'msg') == 0 then
  redis.call('DEL', KEYS[4])
  return 2
end
redis.call('RPUSH', KEYS[3], ARGV[1])
redis.call('HSET', KEYS[4], 'state', 'pending', 'pending_since', ARGV[3])
return 1
`

var putBackScript = redis.NewScript(putBackSource)

// The results of putBackSource.
const (
	wasPutBack = 1
	wasRemoved = 2
)

// restoreLeaseScript writes the lease entry of an active task that has none.
// Without one asynq's scripts fail half way when the task ends: they take it
// from the active ones and write it nowhere else.
//
//	KEYS[1] asynq:{queue}:active
//	KEYS[2] asynq:{queue}:lease
//	ARGV[1] the task's id
//	ARGV[2] when the lease ends, Unix seconds
//
// Result: 1 if it was written, else 0.
var restoreLeaseScript = redis.NewScript(`
if not redis.call('LPOS', KEYS[1], ARGV[1]) then return 0 end
return redis.call('ZADD', KEYS[2], 'NX', ARGV[2], ARGV[1])
`)

// takeUpScript makes a task pending, as the next to be taken, if it is in the
// state active and in none of asynq's lists. Seen in one step that is proof:
// each of asynq's scripts that ends well leaves the task in the list of its
// state. Sent twice it does nothing the second time, because of the state.
// The list of the pending is searched last, for what is lost by all else.
//
//	KEYS[1] asynq:{queue}:t:<id>
//	KEYS[2] asynq:{queue}:lease
//	KEYS[3] asynq:{queue}:active
//	KEYS[4] asynq:{queue}:pending
//	KEYS[5] to KEYS[8] asynq:{queue}:scheduled, retry, archived, completed
//	ARGV[1] the task's id
//	ARGV[2] now, Unix nanoseconds
//
// Result: 1 if it was made pending, else 0.
var takeUpScript = redis.NewScript(`
if redis.call('HGET', KEYS[1], 'state') ~= 'active' then return 0 end
if redis.call('HEXISTS', KEYS[1], 'msg') == 0 then return 0 end
for i = 5, 8 do
  if redis.call('ZSCORE', KEYS[i], ARGV[1]) then return 0 end
end
if redis.call('LPOS', KEYS[3], ARGV[1]) or redis.call('LPOS', KEYS[4], ARGV[1]) then return 0 end
redis.call('ZREM', KEYS[2], ARGV[1])
redis.call('RPUSH', KEYS[4], ARGV[1])
redis.call('HSET', KEYS[1], 'state', 'pending', 'pending_since', ARGV[2])
return 1
`)

func takeUpKeys(queue, id string) []string {
	return append([]string{taskKey(queue, id), leaseKey(queue), activeKey(queue), pendingKey(queue)}, delayedKeys(queue)...)
}
