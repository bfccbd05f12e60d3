package ledger

import (
	"context"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"
)

// parkedMark comes before what the commit scripts return if notifications wait
// for the message id. No packed key begins with it: keys have no control
// characters, and packKey's own marks are others.
const parkedMark = "\x02"

// parkScript has a notification wait for a message id, unless it is known by now.
//
//	KEYS[1], KEYS[2] the message id's buckets
//	KEYS[3] the index entry of the message id, of an earlier version
//	KEYS[4] the notifications that wait for the message id
//	ARGV[1] the message id
//	ARGV[2] the notification
//	ARGV[3] ms for which it waits
//
// Result: 1 if it waits, 0 if the message id is known.
var parkScript = redis.NewScript(`
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local ttl = 0
` + indexFunc + `
if owner(redis.call('HGET', KEYS[1], ARGV[1])) or owner(redis.call('HGET', KEYS[2], ARGV[1]))
  or redis.call('EXISTS', KEYS[3]) == 1 then return 0 end
redis.call('SADD', KEYS[4], ARGV[2])
redis.call('PEXPIRE', KEYS[4], ARGV[3])
return 1
`)

// Park has a notification wait, for so long, until the id of the message that it
// is about is recorded: whoever records it then finds it with [Ledger.Unpark]. It
// returns false if the id is known by now. It is safe to repeat.
func (l *Ledger) Park(ctx context.Context, messageID, notificationID string, wait time.Duration) (parked bool, err error) {
	coarse, fine := indexKeys(l.workspace, messageID)
	keys := []string{coarse, fine, formerIndexKey(l.workspace, messageID), parkedKey(l.workspace, messageID)}
	n, err := parkScript.Run(ctx, l.rdb, keys, messageID, notificationID, wait.Milliseconds()).Int()
	if err != nil {
		return false, fmt.Errorf("park a notification about message id %q: %w", messageID, err)
	}
	return n == 1, nil
}

// Unpark returns the notifications that wait for a message id that was recorded,
// and forgets them. They come back by themselves where its answer is lost.
func (l *Ledger) Unpark(ctx context.Context, messageID string) ([]string, error) {
	key := parkedKey(l.workspace, messageID)
	var members *redis.StringSliceCmd
	_, err := l.rdb.TxPipelined(ctx, func(p redis.Pipeliner) error {
		members = p.SMembers(ctx, key)
		p.Del(ctx, key)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("look for notifications about message id %q: %w", messageID, err)
	}
	return members.Val(), nil
}
