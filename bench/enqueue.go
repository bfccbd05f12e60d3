package main

import (
	"context"
	"time"

	"golang.org/x/sync/errgroup"
)

const (
	enqueueCallers = 50
	batchLength    = 1000
	// enqueueWarmUp opens connections and loads scripts.
	enqueueWarmUp = 500
)

func enqueueCase() testCase {
	loop := line{name: "enqueue: one caller, messages a second"}
	callers := line{name: "enqueue: 50 callers, messages a second"}
	batches := line{name: "enqueue: one caller, batches of 1,000, messages a second"}
	return testCase{
		lines: []line{loop, callers, batches},
		run: func(ctx context.Context, b *bench, side string, _ int) (values, error) {
			v := make(values)
			for name, enqueue := range map[string]func(context.Context, producer, []item) error{
				loop.name: enqueueLoop, callers.name: enqueueFromMany, batches.name: enqueueBatches,
			} {
				rate, err := b.enqueueRate(ctx, side, enqueue)
				if err != nil {
					return nil, err
				}
				v[name] = rate
			}
			return v, nil
		},
	}
}

func (b *bench) enqueueRate(
	ctx context.Context, side string, enqueue func(context.Context, producer, []item) error,
) (float64, error) {
	if err := b.redis.flush(ctx); err != nil {
		return 0, err
	}
	p, err := newProducer(side, b.redis.addr, 0)
	if err != nil {
		return 0, err
	}
	defer p.close()
	items, err := newItems(0, enqueueWarmUp+b.messages)
	if err != nil {
		return 0, err
	}
	if err := enqueue(ctx, p, items[:enqueueWarmUp]); err != nil {
		return 0, err
	}
	items = items[enqueueWarmUp:]
	start := time.Now()
	err = enqueue(ctx, p, items)
	return float64(len(items)) / time.Since(start).Seconds(), err
}

func enqueueLoop(ctx context.Context, p producer, items []item) error {
	for _, i := range items {
		if err := p.enqueue(ctx, i); err != nil {
			return err
		}
	}
	return nil
}

func enqueueFromMany(ctx context.Context, p producer, items []item) error {
	g, ctx := errgroup.WithContext(ctx)
	for n := range enqueueCallers {
		g.Go(func() error {
			return enqueueLoop(ctx, p, items[n*len(items)/enqueueCallers:(n+1)*len(items)/enqueueCallers])
		})
	}
	return g.Wait()
}

func enqueueBatches(ctx context.Context, p producer, items []item) error {
	for len(items) > 0 {
		n := min(batchLength, len(items))
		if err := p.batch(ctx, items[:n]); err != nil {
			return err
		}
		items = items[n:]
	}
	return nil
}
