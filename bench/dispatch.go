package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"
)

// warmUp is the share of the messages after which measuring begins.
const warmUp = 5

func dispatchCase(latency time.Duration, concurrency int) testCase {
	prefix := fmt.Sprintf("dispatch, %d ms x %d: ", latency.Milliseconds(), concurrency)
	rate := line{name: prefix + "messages a second"}
	cpu := line{name: prefix + "worker's CPU, ms per 1,000", digits: 1}
	redisCPU := line{name: prefix + "Redis' CPU, ms per 1,000", digits: 1}
	fakeCPU := line{name: prefix + "(the fake's CPU, ms per 1,000)", digits: 1}
	return testCase{
		lines: []line{rate, cpu, redisCPU, fakeCPU},
		run: func(ctx context.Context, b *bench, side string, round int) (values, error) {
			s := spec{Concurrency: concurrency}
			if b.profiles != "" && side == sideOurs {
				s.Profile = filepath.Join(b.profiles, fmt.Sprintf("dispatch-%dms-%d.pprof", latency.Milliseconds(), round+1))
			}
			m, err := b.dispatch(ctx, side, b.messages, latency, s)
			if err != nil {
				return nil, err
			}
			return values{
				rate.name: m.messages / m.took.Seconds(), cpu.name: m.perThousand(m.worker),
				redisCPU.name: m.perThousand(m.redis), fakeCPU.name: m.perThousand(m.fake),
			}, nil
		},
	}
}

// dispatched is what the messages after the warm-up took.
type dispatched struct {
	messages            float64
	took                time.Duration
	worker, redis, fake time.Duration // CPU
}

func (d dispatched) perThousand(cpu time.Duration) float64 {
	return float64(cpu) / float64(time.Millisecond) / d.messages * 1000
}

// dispatch enqueues all messages and then starts a worker.
func (b *bench) dispatch(
	ctx context.Context, side string, messages int, latency time.Duration, s spec,
) (d dispatched, err error) {
	fake, err := b.startFake(ctx, spec{Latency: latency, Capacity: messages})
	if err != nil {
		return d, err
	}
	defer fake.quit()
	if err := b.preload(ctx, side, messages); err != nil {
		return d, err
	}
	w, err := b.startWorker(ctx, side, fake, s)
	if err != nil {
		return d, err
	}
	defer w.quit()
	ctx, stop := w.running(ctx)
	defer stop()
	warm, err := fake.waitCreated(ctx, messages/warmUp)
	if err != nil {
		return d, err
	}
	before, err := b.cpus(ctx, w, fake)
	if err != nil {
		return d, err
	}
	end, err := b.finish(ctx, fake, messages)
	if err != nil {
		return d, err
	}
	after, err := b.cpus(ctx, w, fake)
	return dispatched{
		messages: float64(end.Created - warm.Created), took: time.Duration(end.At - warm.At),
		worker: after[0] - before[0], fake: after[1] - before[1], redis: after[2] - before[2],
	}, err
}

func (b *bench) startWorker(ctx context.Context, side string, fake *fakeProcess, s spec) (*child, error) {
	s.Redis, s.Fake = b.redis.addr, fake.url
	return start(ctx, b.dir, side, s)
}

// preload enqueues n messages.
func (b *bench) preload(ctx context.Context, side string, n int) error {
	p, err := newProducer(side, b.redis.addr, 0)
	if err != nil {
		return err
	}
	defer p.close()
	items, err := newItems(0, n)
	if err != nil {
		return err
	}
	return p.batch(ctx, items)
}

// finish waits for the last message and for the worker to be done with it, and
// checks that each was created once.
func (b *bench) finish(ctx context.Context, fake *fakeProcess, messages int) (creation, error) {
	c, err := fake.waitCreated(ctx, messages)
	if err != nil {
		return c, err
	}
	if err := b.redis.drained(ctx); err != nil {
		return c, err
	}
	return c, fake.checkOnce(ctx, messages)
}

// cpus returns the CPU time of the worker, the fake and Redis.
func (b *bench) cpus(ctx context.Context, w *child, fake *fakeProcess) ([3]time.Duration, error) {
	worker, err1 := w.usage()
	server, err2 := fake.usage()
	redis, err3 := b.redis.cpu(ctx)
	return [3]time.Duration{worker.CPU, server.CPU, redis}, errors.Join(err1, err2, err3)
}
