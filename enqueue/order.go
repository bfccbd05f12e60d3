package enqueue

import (
	"context"
	"errors"

	"github.com/redis/go-redis/v9"
)

// Messages with the same order key are sent in the order in which they were
// enqueued. Redis has that order as a sorted set for each order key
// (ledger.OrderKey). A message is added to it by the script that enqueues it,
// after the guard has found it new: so a duplicate, a conflict and a repeat of
// the script change nothing. Workers take out what is done.
//
// On a cluster the set is in another slot than asynq's queues, so the message
// is added first, and then enqueued: a task without its place would not wait for
// those before it. A place whose task did not come, because an answer said so or
// was lost, stays for a moment, for whoever tries again under the same key; then
// the workers drop it. It cannot be taken back here: between a look for the task
// and the removal another producer may enqueue the same key, which would lose
// its place.

// placeYoung is how old a place may be, in ms, that a message still takes up when
// it is enqueued again. It is well below the 30 s after which workers drop a
// place without a task, so that they do not drop one that is just taken up.
const placeYoung = "15000"

// place puts a message behind all that are in its order. It reads the locals
// order, member and ttl. Scores are Redis' time in ms, so that they tell how old
// a place is, or one more than the last. The set lives as long as the last of
// what waits in it, so its TTL is never shortened.
const place = `
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local score = redis.call('ZSCORE', order, member)
if not score or now - score > ` + placeYoung + ` then
  local last = redis.call('ZREVRANGE', order, 0, 0, 'WITHSCORES')[2]
  if last and now <= tonumber(last) then now = last + 1 end
  redis.call('ZADD', order, string.format('%.0f', now), member)
end
if redis.call('PTTL', order) < ttl then redis.call('PEXPIRE', order, ttl) end
`

// placeGuarded comes between the guard and asynq's script. Its KEYS and ARGV are
// before the guard's: the order; the message's key and the TTL in ms.
const placeGuarded = `
do
local order, member, ttl = KEYS[k-4], ARGV[#ARGV-3], tonumber(ARGV[#ARGV-2])
` + place + `
end
`

// placeScript only places, which is safe to repeat: a place that is there and
// young is kept.
//
//	KEYS[1] the order
//	ARGV[1] the message's key
//	ARGV[2] the TTL of the order in ms
//
// Result: 1.
var placeScript = redis.NewScript(`
local order, member, ttl = KEYS[1], ARGV[1], tonumber(ARGV[2])
` + place + `
return 1
`)

// orderKeys and orderArgs are how many KEYS and ARGV placeGuarded has.
const orderKeys, orderArgs = 1, 2

// order is the Redis key of the order of a job that is ordered.
func (j *job) order() string { return j.placeKeys()[0] }

func (j *job) placeKeys() []string {
	end := len(j.keys) - ourKeys
	return j.keys[end-orderKeys : end]
}

func (j *job) placeArgs() []any {
	end := len(j.args) - ourArgs
	return j.args[end-orderArgs : end]
}

// errBehind is why a message is not tried that would overtake another.
var errBehind = errors.New("not tried: a message before it in its order was not enqueued")

// keepBehind fails the jobs that would overtake one of the same order about
// which Redis has not decided.
func keepBehind(jobs []*job) {
	var failed map[string]bool
	for _, j := range jobs {
		switch {
		case !j.ordered:
		case j.unknown():
			if failed == nil {
				failed = map[string]bool{}
			}
			failed[j.order()] = true
		case failed[j.order()]:
			j.fail(errBehind)
		}
	}
}

// place adds the jobs that are ordered to their orders, and returns all jobs
// that may be enqueued.
func (c *Client) place(ctx context.Context, jobs []*job) (placed []*job) {
	var calls []call
	for _, j := range jobs {
		if j.ordered {
			calls = append(calls, call{script: placeScript, keys: j.placeKeys(), args: j.placeArgs(), ordered: true})
		}
	}
	cmds := c.pipeline(ctx, calls)
	for _, j := range jobs {
		if j.ordered {
			err := cmds[0].Err()
			cmds = cmds[1:]
			if err != nil {
				j.unanswered(err)
				continue
			}
		}
		placed = append(placed, j)
	}
	return placed
}

// withdraw takes back the places of jobs whose key another producer has enqueued
// meanwhile, in another order or in none. In the same order, the place is that
// of the other's task. Where it cannot be told, the place stays.
func (c *Client) withdraw(ctx context.Context, jobs []*job) {
	for _, j := range jobs {
		if !j.ordered {
			continue
		}
		r, err := c.Get(ctx, j.key)
		if err == nil && c.composer.order(r.OrderKey) != j.order() {
			// What is left is in the way only until workers drop it.
			_ = c.rdb.ZRem(ctx, j.order(), j.key).Err()
		}
	}
}
