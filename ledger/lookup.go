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
	key, err := l.keyOf(ctx, messageID)
	if err != nil {
		return nil, fmt.Errorf("look up message id %q: %w", messageID, err)
	}
	if key == "" {
		return nil, ErrNotFound
	}
	return l.Lookup(ctx, key)
}

// keyOf returns the key that the index has for a message id, or empty. It does
// not look whether the entry is over: then its record is gone as well.
func (l *Ledger) keyOf(ctx context.Context, messageID string) (string, error) {
	coarse, fine := indexKeys(l.workspace, messageID)
	var buckets [2]*redis.StringCmd
	var former *redis.StringCmd
	// Redis' answer to the first that finds nothing is not an error here.
	_, _ = l.rdb.Pipelined(ctx, func(p redis.Pipeliner) error {
		buckets = [2]*redis.StringCmd{p.HGet(ctx, coarse, messageID), p.HGet(ctx, fine, messageID)}
		former = p.Get(ctx, formerIndexKey(l.workspace, messageID))
		return nil
	})
	for _, cmd := range buckets {
		entry, err := cmd.Result()
		if err == nil && len(entry) > indexHourBytes {
			return unpackKey(entry[indexHourBytes:]), nil
		}
		if err != nil && !errors.Is(err, redis.Nil) {
			return "", err
		}
	}
	key, err := former.Result()
	if err != nil && !errors.Is(err, redis.Nil) {
		return "", err
	}
	return key, nil
}

// Query says which messages to list.
type Query struct {
	// State is one of those in Listed.
	State State
	// Code is the last error's code, empty for any.
	Code string
	// Limit is how many messages to return at most, 0 for all.
	Limit int
}

// listPage is how many records are read at a time.
const listPage = 500

// List returns the messages of a state, the latest to enter it first, without
// their payloads. What enters or leaves the state meanwhile may be missing or
// there still.
func (l *Ledger) List(ctx context.Context, q Query) ([]*Record, error) {
	if !slices.Contains(Listed(), q.State) {
		return nil, fmt.Errorf("messages that are %s cannot be listed; listed are %v", q.State, Listed())
	}
	keys, err := l.rdb.ZRevRange(ctx, listKey(l.workspace, q.State), 0, -1).Result()
	if err != nil {
		return nil, fmt.Errorf("list %s messages: %w", q.State, err)
	}
	var records []*Record
	for page := range slices.Chunk(keys, listPage) {
		found, err := l.lookupAll(ctx, page)
		if err != nil {
			return nil, fmt.Errorf("list %s messages: %w", q.State, err)
		}
		for _, r := range found {
			if !q.matches(r) {
				continue
			}
			records = append(records, r)
			if len(records) == q.Limit {
				return records, nil
			}
		}
	}
	return records, nil
}

func (q Query) matches(r *Record) bool {
	// Records may have expired or moved on since their key was listed.
	if r.State != q.State || q.State == Sent && r.MessageID != "" {
		return false
	}
	return q.Code == "" || r.LastError != nil && r.LastError.Code == q.Code
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

// lookupAll reads records without their payloads. Those that are gone are left
// out.
func (l *Ledger) lookupAll(ctx context.Context, keys []string) ([]*Record, error) {
	fields := shortFields()
	cmds := make([]*redis.SliceCmd, len(keys))
	_, err := l.rdb.Pipelined(ctx, func(p redis.Pipeliner) error {
		for i, key := range keys {
			cmds[i] = p.HMGet(ctx, RecordKey(l.workspace, key), fields...)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	records := make([]*Record, 0, len(keys))
	for i, cmd := range cmds {
		h := map[string]string{}
		for n, value := range cmd.Val() {
			if s, ok := value.(string); ok {
				h[fields[n]] = s
			}
		}
		if h[fieldState] == "" {
			continue
		}
		r, err := parseRecord(l.workspace, keys[i], h)
		if err != nil {
			return nil, err
		}
		records = append(records, r)
	}
	return records, nil
}
