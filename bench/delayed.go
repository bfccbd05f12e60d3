package main

import (
	"context"
	"math/rand/v2"
	"slices"
	"time"
)

// minDelay is the least time after which a delayed message is due.
const minDelay = 1500 * time.Millisecond

func delayedCase() testCase {
	latest := line{name: "delayed: latest, ms after its time", signed: true}
	p50 := line{name: "delayed: p50, ms after its time", signed: true}
	earliest := line{name: "delayed: earliest, ms after its time", signed: true}
	return testCase{
		lines: []line{latest, p50, earliest},
		run: func(ctx context.Context, b *bench, side string, _ int) (values, error) {
			late, err := b.lateness(ctx, side)
			if err != nil {
				return nil, err
			}
			return values{latest.name: slices.Max(late), p50.name: median(late), earliest.name: slices.Min(late)}, nil
		},
	}
}

// lateness returns how much later than asked for messages arrived, in ms.
func (b *bench) lateness(ctx context.Context, side string) ([]float64, error) {
	fake, err := b.startFake(ctx, spec{Capacity: b.delayed})
	if err != nil {
		return nil, err
	}
	defer fake.quit()
	w, err := b.startWorker(ctx, side, fake, spec{Concurrency: idleConcurrency})
	if err != nil {
		return nil, err
	}
	defer w.quit()
	ctx, stop := w.running(ctx)
	defer stop()
	p, err := newProducer(side, b.redis.addr, 0)
	if err != nil {
		return nil, err
	}
	defer p.close()
	items, err := newItems(0, b.delayed)
	if err != nil {
		return nil, err
	}
	now := time.Now()
	for n := range items {
		// A message's time has whole milliseconds.
		delay := minDelay + rand.N(b.delays) //nolint:gosec // A random moment, no secret.
		items[n].at = now.Add(delay).Truncate(time.Millisecond)
		if err := p.enqueue(ctx, items[n]); err != nil {
			return nil, err
		}
	}
	if _, err := b.finish(ctx, fake, len(items)); err != nil {
		return nil, err
	}
	arrived, err := fake.arrivals(ctx)
	if err != nil {
		return nil, err
	}
	late := make([]float64, len(items))
	for n, i := range items {
		late[n] = milliseconds(arrived[i.number] - i.at.UnixNano())
	}
	return late, nil
}
