package ledger

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"
)

// Messages with an order key are members of a sorted set, in the order in which
// they were enqueued ([OrderKey]). A message may be sent when it is the first.
// Once it is, it stays the first until it is done, because others are only added
// behind it: nothing has to be locked or asked again.

// Turn is a message's place in its order.
type Turn struct {
	// Rank is 0 for the first, and for a message that is in no order any more.
	Rank int
	// First is the key of the first message, and FirstSince when it was enqueued.
	First      string
	FirstSince time.Time
	// Now is Redis' time.
	Now time.Time
}

// Turn returns the place of a message in its order.
func (l *Ledger) Turn(ctx context.Context, orderKey, key string) (Turn, error) {
	set := OrderKey(l.workspace, orderKey)
	var (
		rank  *redis.IntCmd
		first *redis.ZSliceCmd
		now   *redis.TimeCmd
	)
	_, err := l.rdb.Pipelined(ctx, func(p redis.Pipeliner) error {
		rank, first, now = p.ZRank(ctx, set, key), p.ZRangeWithScores(ctx, set, 0, 0), p.Time(ctx)
		return nil
	})
	if errors.Is(err, redis.Nil) && first.Err() == nil && now.Err() == nil {
		return Turn{}, nil // It is not there.
	}
	if err != nil {
		return Turn{}, fmt.Errorf("look up the turn of %q: %w", key, err)
	}
	t := Turn{Rank: int(rank.Val()), Now: now.Val()}
	if z := first.Val(); len(z) > 0 {
		t.First, _ = z[0].Member.(string)
		t.FirstSince = time.UnixMilli(int64(z[0].Score))
	}
	return t, nil
}

// passScript takes a message out of its order if it is in the way no longer.
//
//	KEYS[1] the record
//	KEYS[2] the messages with its order key
//	ARGV[1] the message's key
//	ARGV[2] '1' if those behind it go while it is held
//	ARGV[3] for a message that nobody will send any more, because asynq has no
//	        task of it, the score at which it was seen; else empty
//
// Result: the first message then, or empty. A repeat returns the same.
var passScript = redis.NewScript(`
local state = redis.call('HGET', KEYS[1], 's')
local done = {sent = true, replied = true, failed = true, expired = true, cancelled = true, held = ARGV[2] == '1'}
local lost = ARGV[3] ~= '' and state ~= 'sending' and state ~= 'held'
  and tonumber(redis.call('ZSCORE', KEYS[2], ARGV[1])) == tonumber(ARGV[3])
if state and done[state] or lost then redis.call('ZREM', KEYS[2], ARGV[1]) end
return redis.call('ZRANGE', KEYS[2], 0, 0)[1] or ''
`)

// Pass lets the messages behind a message go if it is sent, failed, expired or
// cancelled, or held and passHeld. It returns the key of the message whose turn it
// is then, empty for none, and is safe to repeat.
func (l *Ledger) Pass(ctx context.Context, orderKey, key string, passHeld bool) (first string, err error) {
	return l.pass(ctx, orderKey, key, passHeld, "")
}

// PassLost is Pass for the first message of a turn, of which asynq has no task any
// more: it lets those behind it go unless it is being sent or held, or was enqueued
// again meanwhile.
func (l *Ledger) PassLost(ctx context.Context, orderKey string, t Turn) (first string, err error) {
	return l.pass(ctx, orderKey, t.First, false, millisArg(t.FirstSince.UnixMilli()))
}

func (l *Ledger) pass(ctx context.Context, orderKey, key string, passHeld bool, lostSince string) (string, error) {
	keys := []string{RecordKey(l.workspace, key), OrderKey(l.workspace, orderKey)}
	first, err := passScript.Run(ctx, l.rdb, keys, key, flagArg(passHeld), lostSince).Text()
	if err != nil {
		return "", fmt.Errorf("pass the turn of %q on: %w", key, err)
	}
	return first, nil
}

func flagArg(set bool) string {
	if set {
		return "1"
	}
	return ""
}
