package main

import (
	"cmp"
	"context"
	"iter"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

// memoryCase measures what Redis holds of a message. It needs no rounds.
func memoryCase() testCase {
	pending := line{name: "memory: pending message, bytes"}
	sent := line{name: "memory: sent record and its index entry, bytes"}
	return testCase{
		once:  true,
		lines: []line{pending, sent},
		run: func(ctx context.Context, b *bench, side string, _ int) (values, error) {
			before, after, err := b.memory(ctx, side)
			return values{pending.name: before, sent.name: after}, err
		},
	}
}

// memory returns the bytes that Redis uses for a message that waits, and for
// one that was sent.
func (b *bench) memory(ctx context.Context, side string) (pending, sent float64, err error) {
	fake, err := b.startFake(ctx, spec{Capacity: b.messages})
	if err != nil {
		return 0, 0, err
	}
	defer fake.quit()
	// Scripts that Redis has not seen yet would count as well.
	if err := b.dispatchAll(ctx, side, 100); err != nil {
		return 0, 0, err
	}
	if err := b.redis.flush(ctx); err != nil {
		return 0, 0, err
	}
	empty, err := b.usedMemory(ctx)
	if err != nil {
		return 0, 0, err
	}
	if err := b.preload(ctx, side, b.messages); err != nil {
		return 0, 0, err
	}
	if pending, err = b.bytesEach(ctx, side+", pending", empty); err != nil {
		return 0, 0, err
	}
	w, err := b.startWorker(ctx, side, fake, spec{Concurrency: idleConcurrency})
	if err != nil {
		return 0, 0, err
	}
	running, stop := w.running(ctx)
	_, err = b.finish(running, fake, b.messages)
	stop()
	w.quit()
	if err != nil {
		return 0, 0, err
	}
	sent, err = b.bytesEach(ctx, side+", sent", empty)
	return pending, sent, err
}

// usedMemory waits for connections that have ended to be closed by Redis, whose
// buffers would count.
func (b *bench) usedMemory(ctx context.Context) (float64, error) {
	for {
		list, err := b.redis.rdb.ClientList(ctx).Result()
		if err != nil {
			return 0, err
		}
		others := strings.Count(list, "\n") - strings.Count(list, " name="+benchClient+" ")
		if others == 0 || !pause(ctx, 5*time.Millisecond) {
			return b.redis.number(ctx, "used_memory")
		}
	}
}

func (b *bench) bytesEach(ctx context.Context, what string, empty float64) (float64, error) {
	used, err := b.usedMemory(ctx)
	if err != nil {
		return 0, err
	}
	if b.options.details {
		if err := b.stored(ctx, what); err != nil {
			return 0, err
		}
	}
	return (used - empty) / float64(b.messages), nil
}

// stored notes what the keys of each kind take by MEMORY USAGE.
func (b *bench) stored(ctx context.Context, what string) error {
	type kind struct {
		name  string
		keys  int
		bytes int64
	}
	byName := make(map[string]*kind)
	for key, bytes := range b.memoryUsage(ctx) {
		name := keyKind(key)
		if byName[name] == nil {
			byName[name] = &kind{name: name}
		}
		byName[name].keys++
		byName[name].bytes += bytes
	}
	rows := [][]string{{what + ": MEMORY USAGE", "keys", "bytes a key", "bytes a message"}}
	kinds := slices.Collect(maps.Values(byName))
	slices.SortFunc(kinds, func(a, b *kind) int { return cmp.Compare(b.bytes, a.bytes) })
	for _, k := range kinds {
		rows = append(rows, []string{
			k.name, number(float64(k.keys), 0), number(float64(k.bytes)/float64(k.keys), 0),
			number(float64(k.bytes)/float64(b.messages), 1),
		})
	}
	b.details = append(b.details, table(rows))
	return ctx.Err()
}

// memoryUsage goes over all keys and their sizes. Keys that go away meanwhile
// are left out.
func (b *bench) memoryUsage(ctx context.Context) iter.Seq2[string, int64] {
	return func(yield func(string, int64) bool) {
		var cursor uint64
		for {
			keys, next, err := b.redis.rdb.Scan(ctx, cursor, "", 1000).Result()
			if err != nil {
				return
			}
			sizes := make([]*redis.IntCmd, len(keys))
			_, _ = b.redis.rdb.Pipelined(ctx, func(p redis.Pipeliner) error {
				for i, key := range keys {
					// All elements, not a sample of them.
					sizes[i] = p.MemoryUsage(ctx, key, 0)
				}
				return nil
			})
			for i, key := range keys {
				if sizes[i].Err() == nil && !yield(key, sizes[i].Val()) {
					return
				}
			}
			if cursor = next; cursor == 0 {
				return
			}
		}
	}
}
