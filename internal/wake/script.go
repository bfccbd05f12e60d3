package wake

import "github.com/redis/go-redis/v9"

// Task names a task of asynq's.
type Task struct{ Queue, ID string }

// wakeScript makes a task pending that waits for a retry, as the next to be taken.
// It does what asynq's forwardCmd does (internal/rdb/rdb.go of v0.26.0), for one
// task and at the other end of the queue. Sent twice it does nothing the second
// time.
//
//	KEYS[1] asynq:{queue}:retry
//	KEYS[2] asynq:{queue}:pending
//	KEYS[3] asynq:{queue}:t:<id>
//	ARGV[1] the task's id
//	ARGV[2] now, Unix nanoseconds
//
// Result: the state in which the task was, empty if there is none.
var wakeScript = redis.NewScript(`
if redis.call('ZREM', KEYS[1], ARGV[1]) == 0 then return redis.call('HGET', KEYS[3], 'state') or '' end
redis.call('RPUSH', KEYS[2], ARGV[1])
redis.call('HSET', KEYS[3], 'state', 'pending', 'pending_since', ARGV[2])
return 'retry'
`)

// The states of a task in asynq that matter here.
const (
	stateRetry  = "retry"
	stateActive = "active"
)

// keys are those of the script.
func (t Task) keys() []string {
	queue := "asynq:{" + t.Queue + "}:"
	return []string{queue + "retry", queue + "pending", t.taskKey()}
}

func (t Task) taskKey() string { return "asynq:{" + t.Queue + "}:t:" + t.ID }
