package ledger

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/redis/go-redis/v9"
)

// Lookup returns the record of a key, or ErrNotFound. A message that was
// enqueued and not yet attempted has none: see enqueue.Client.Get.
func (l *Ledger) Lookup(ctx context.Context, key string) (*Record, error) {
	h, err := l.rdb.HGetAll(ctx, RecordKey(l.workspace, key)).Result()
	if err != nil {
		return nil, fmt.Errorf("look up %q: %w", key, err)
	}
	if h[fieldState] == "" {
		return nil, ErrNotFound
	}
	return parseRecord(l.workspace, key, h)
}

// LookupMessage returns the record of the message that Intercom gave this id,
// or ErrNotFound.
func (l *Ledger) LookupMessage(ctx context.Context, messageID string) (*Record, error) {
	key, err := l.rdb.Get(ctx, indexKey(l.workspace, messageID)).Result()
	if errors.Is(err, redis.Nil) {
		return nil, ErrNotFound
	}
	if err != nil {
		return nil, fmt.Errorf("look up message id %q: %w", messageID, err)
	}
	return l.Lookup(ctx, key)
}

// List returns up to limit records of one of the states in Listed, the latest
// to enter it first.
func (l *Ledger) List(ctx context.Context, state State, limit int) ([]*Record, error) {
	if !slices.Contains(Listed(), state) {
		return nil, fmt.Errorf("messages that are %s cannot be listed; listed are %v", state, Listed())
	}
	if limit <= 0 {
		return nil, nil
	}
	var records []*Record
	// Records may have expired since their key was listed, so one page may
	// not be enough.
	for start := int64(0); len(records) < limit; start += int64(limit) {
		keys, err := l.rdb.ZRevRange(ctx, listKey(l.workspace, state), start, start+int64(limit)-1).Result()
		if err != nil {
			return nil, fmt.Errorf("list %s messages: %w", state, err)
		}
		if len(keys) == 0 {
			break
		}
		page, err := l.lookupAll(ctx, keys)
		if err != nil {
			return nil, fmt.Errorf("list %s messages: %w", state, err)
		}
		for _, r := range page {
			if r.State == state && len(records) < limit {
				records = append(records, r)
			}
		}
	}
	return records, nil
}

// Count returns how many messages are in one of the states in Listed. It is as
// quick for many as for few. Records that someone deleted are still counted.
func (l *Ledger) Count(ctx context.Context, state State) (int, error) {
	if !slices.Contains(Listed(), state) {
		return 0, fmt.Errorf("messages that are %s cannot be counted; counted are %v", state, Listed())
	}
	// A list is only trimmed when a message enters it, so records that have
	// expired may be in it.
	now, err := l.rdb.Time(ctx).Result()
	if err != nil {
		return 0, fmt.Errorf("count %s messages: %w", state, err)
	}
	since := "(" + millisArg(now.Add(-l.ttl).UnixMilli())
	n, err := l.rdb.ZCount(ctx, listKey(l.workspace, state), since, "+inf").Result()
	if err != nil {
		return 0, fmt.Errorf("count %s messages: %w", state, err)
	}
	return int(n), nil
}

func (l *Ledger) lookupAll(ctx context.Context, keys []string) ([]*Record, error) {
	cmds := make([]*redis.MapStringStringCmd, len(keys))
	_, err := l.rdb.Pipelined(ctx, func(p redis.Pipeliner) error {
		for i, key := range keys {
			cmds[i] = p.HGetAll(ctx, RecordKey(l.workspace, key))
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	records := make([]*Record, 0, len(keys))
	for i, cmd := range cmds {
		if len(cmd.Val()) == 0 {
			continue
		}
		r, err := parseRecord(l.workspace, keys[i], cmd.Val())
		if err != nil {
			return nil, err
		}
		records = append(records, r)
	}
	return records, nil
}
