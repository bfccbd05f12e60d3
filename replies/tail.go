package replies

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/intercom-dispatch/intercom-dispatch/ledger"
)

const (
	tailBatch = 100
	// tailBlock is how long a read waits for new events. It bounds how late
	// the end of the context is seen.
	tailBlock = time.Second
)

// TailOptions say which events Tail passes on.
type TailOptions struct {
	// FromStart begins with the oldest event that is kept, instead of with
	// those that come from now on.
	FromStart bool
	// NoFollow ends with the newest event, instead of waiting for more.
	NoFollow bool
}

// Tail calls each with the reply events of a workspace, in order, until ctx
// ends, each returns an error, or there are no more with NoFollow. It returns
// each's error, and nil when ctx ends.
func Tail(ctx context.Context, rdb redis.UniversalClient, workspace string, o TailOptions, each func(Event) error) error {
	if workspace == "" {
		workspace = ledger.DefaultWorkspace
	}
	stream := ledger.ReplyStreamKey(workspace)
	from, err := tailStart(ctx, rdb, stream, o.FromStart)
	if err != nil {
		return fmt.Errorf("read reply events: %w", err)
	}
	block := tailBlock
	if o.NoFollow {
		block = -1 // go-redis leaves BLOCK out.
	}
	for ctx.Err() == nil {
		res, err := rdb.XRead(ctx, &redis.XReadArgs{
			Streams: []string{stream, from}, Count: tailBatch, Block: block,
		}).Result()
		switch {
		case errors.Is(err, redis.Nil) && o.NoFollow:
			return nil
		case errors.Is(err, redis.Nil):
			continue
		case err != nil:
			return unlessEnded(ctx, fmt.Errorf("read reply events: %w", err))
		}
		if from, err = passOn(res[0].Messages, each); err != nil {
			return err
		}
	}
	return nil
}

// unlessEnded drops an error that the end of the context has caused.
func unlessEnded(ctx context.Context, err error) error {
	if ctx.Err() == nil {
		return err
	}
	return nil
}

// passOn calls each with the events and returns the id of the last one.
func passOn(entries []redis.XMessage, each func(Event) error) (last string, err error) {
	for _, entry := range entries {
		data, _ := entry.Values["event"].(string)
		e, err := decodeEvent(entry.ID, data)
		if err != nil {
			return last, err
		}
		if err := each(e); err != nil {
			return last, err
		}
		last = entry.ID
	}
	return last, nil
}

// tailStart returns the id after which to read. XREAD's own "$" would lose
// what arrives between two reads.
func tailStart(ctx context.Context, rdb redis.UniversalClient, stream string, fromStart bool) (string, error) {
	if fromStart {
		return "0", nil
	}
	last, err := rdb.XRevRangeN(ctx, stream, "+", "-", 1).Result()
	if err != nil || len(last) == 0 {
		return "0", err
	}
	return last[0].ID, nil
}
