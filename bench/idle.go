package main

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
)

// idleConcurrency is our default.
const idleConcurrency = 64

// lanes are how many idle workers are sampled at a time, each with a database
// of its own: a sample is mostly waiting.
const lanes = 5

// The pause before a sample. It is so long that the worker has come to rest,
// and its end is a random moment to it.
const (
	minPause = 300 * time.Millisecond
	maxPause = 1300 * time.Millisecond
)

func idleCase() testCase {
	p50 := line{name: "idle: enqueue to request, p50, ms", digits: 1}
	p99 := line{name: "idle: enqueue to request, p99, ms", digits: 1}
	return testCase{
		lines: []line{p50, p99},
		run: func(ctx context.Context, b *bench, side string, _ int) (values, error) {
			took, err := b.idleLatency(ctx, side)
			if err != nil {
				return nil, err
			}
			return values{p50.name: percentile(took, 50), p99.name: percentile(took, 99)}, nil
		},
	}
}

// idleLatency returns how long messages took from before they were enqueued to
// the arrival of their request, in ms.
func (b *bench) idleLatency(ctx context.Context, side string) ([]float64, error) {
	perLane := (b.samples + lanes - 1) / lanes
	fake, err := b.startFake(ctx, spec{Capacity: lanes * perLane})
	if err != nil {
		return nil, err
	}
	defer fake.quit()
	var mu sync.Mutex
	var all []float64
	g, sampling := errgroup.WithContext(ctx)
	for n := range lanes {
		g.Go(func() error {
			took, err := b.sampleLane(sampling, side, fake, n, perLane)
			mu.Lock()
			defer mu.Unlock()
			all = append(all, took...)
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	// The workers were ended as soon as the last request had arrived, so there
	// is nothing to wait for.
	return all, fake.checkOnce(ctx, lanes*perLane)
}

// sampleLane samples one worker, one message after the other.
func (b *bench) sampleLane(ctx context.Context, side string, fake *fakeProcess, lane, samples int) ([]float64, error) {
	p, err := newProducer(side, b.redis.addr, lane)
	if err != nil {
		return nil, err
	}
	defer p.close()
	items, err := newItems(lane*samples, samples)
	if err != nil {
		return nil, err
	}
	w, err := b.startWorker(ctx, side, fake, spec{DB: lane, Concurrency: idleConcurrency})
	if err != nil {
		return nil, err
	}
	defer w.quit()
	ctx, stop := w.running(ctx)
	defer stop()
	pause(ctx, b.settle)
	var took []float64
	for _, i := range items {
		pause(ctx, minPause+rand.N(maxPause-minPause)) //nolint:gosec // A random moment, no secret.
		start := time.Now().UnixNano()
		if err := p.enqueue(ctx, i); err != nil {
			return nil, err
		}
		at, err := fake.arrival(ctx, i.number)
		if err != nil {
			return nil, err
		}
		took = append(took, milliseconds(at-start))
	}
	return took, nil
}

func milliseconds(nanoseconds int64) float64 { return float64(nanoseconds) / float64(time.Millisecond) }

// idleCostCase watches one worker that has nothing to do.
func idleCostCase() testCase {
	cpu := line{name: "idle: worker's CPU, % of a core", digits: 2}
	redisCPU := line{name: "idle: Redis' CPU, % of a core", digits: 2}
	calls := line{name: "idle: Redis calls a second"}
	commands := line{name: "idle: Redis commands a second, with those that scripts make"}
	return testCase{
		lines: []line{cpu, redisCPU, calls, commands},
		run: func(ctx context.Context, b *bench, side string, _ int) (values, error) {
			fake, err := b.startFake(ctx, spec{Capacity: 1})
			if err != nil {
				return nil, err
			}
			defer fake.quit()
			w, err := b.startWorker(ctx, side, fake, spec{Concurrency: idleConcurrency})
			if err != nil {
				return nil, err
			}
			defer w.quit()
			pause(ctx, b.settle)
			before, err := b.cpus(ctx, w, fake)
			if err != nil {
				return nil, err
			}
			pause(ctx, b.idle)
			after, err := b.cpus(ctx, w, fake)
			if err != nil {
				return nil, err
			}
			// To log commands takes time, so that is not the same time.
			var all loggedCommands
			err = b.loggingCommands(ctx, 0, &all, func() error { pause(ctx, b.idle); return ctx.Err() })
			seconds := b.idle.Seconds()
			return values{
				cpu.name:      100 * (after[0] - before[0]).Seconds() / seconds,
				redisCPU.name: 100 * (after[2] - before[2]).Seconds() / seconds,
				calls.name:    float64(len(all.calls)) / seconds,
				commands.name: float64(len(all.calls)+all.inner) / seconds,
			}, err
		},
	}
}
