package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"runtime"
	"time"
)

// The sides that are compared.
const (
	sideOurs  = roleOurs
	sidePlain = rolePlain
)

// producer enqueues messages. Safe for concurrent use.
type producer interface {
	enqueue(context.Context, item) error
	// batch enqueues many, from one caller.
	batch(context.Context, []item) error
	close()
}

// producerPool is enough connections for the callers of the enqueue case.
const producerPool = 64

func newProducer(side, addr string, db int) (producer, error) {
	if side == sideOurs {
		return newOurProducer(addr, db)
	}
	return newPlainProducer(addr, db)
}

// values are what one run measured, by the names of lines.
type values map[string]float64

// testCase is something that is run for a side, and gives some lines.
type testCase struct {
	lines []line
	// once is for what has no noise.
	once bool
	run  func(ctx context.Context, b *bench, side string, round int) (values, error)
}

// runTimeout is far more than one run of a case takes.
const runTimeout = 3 * time.Minute

type bench struct {
	options
	dir     string
	redis   *redisServer
	stderr  io.Writer
	details []string
}

func newBench(ctx context.Context, o options, stderr io.Writer) (*bench, error) {
	dir, err := os.MkdirTemp("", "intercom-dispatch-bench-")
	if err != nil {
		return nil, err
	}
	b := &bench{options: o, dir: dir, stderr: stderr}
	if o.profiles != "" {
		if err := os.MkdirAll(o.profiles, 0o750); err != nil {
			b.close()
			return nil, err
		}
	}
	if b.redis, err = startRedis(ctx, dir, o.appendOnly); err != nil {
		b.close()
		return nil, err
	}
	return b, nil
}

func (b *bench) close() {
	if b.redis != nil {
		b.redis.close()
	}
	_ = os.RemoveAll(b.dir) //nolint:gosec // MkdirTemp has made it.
}

func (b *bench) cases() []testCase {
	return []testCase{
		dispatchCase(0, 64), dispatchCase(50*time.Millisecond, 200),
		callsCase(), idleCase(), idleCostCase(), delayedCase(), enqueueCase(), webhookCase(), memoryCase(),
	}
}

// measure runs every case that has a wanted line.
func (b *bench) measure(ctx context.Context) (*report, error) {
	r := &report{about: b.about()}
	for _, c := range b.cases() {
		var wanted []result
		for _, l := range c.lines {
			if b.only.MatchString(l.name) {
				wanted = append(wanted, result{l, make(map[string][]float64)})
			}
		}
		if len(wanted) == 0 {
			continue
		}
		if err := b.alternate(ctx, c, wanted); err != nil {
			return nil, err
		}
		r.results = append(r.results, wanted...)
	}
	if b.options.details {
		r.details = b.details
	}
	return r, nil
}

// alternate runs a case for both sides in alternation: what else the machine does
// meets both.
func (b *bench) alternate(ctx context.Context, c testCase, wanted []result) error {
	rounds := b.rounds
	if c.once {
		rounds = 1
	}
	for round := range rounds {
		for _, side := range []string{sideOurs, sidePlain} {
			v, err := b.runOnce(ctx, c, side, round)
			if err != nil {
				return fmt.Errorf("%s, %s: %w", c.lines[0].name, side, err)
			}
			for _, r := range wanted {
				if x, ok := v[r.name]; ok {
					r.values[side] = append(r.values[side], x)
				}
			}
		}
	}
	return nil
}

func (b *bench) runOnce(ctx context.Context, c testCase, side string, round int) (values, error) {
	ctx, cancel := context.WithTimeout(ctx, runTimeout)
	defer cancel()
	if err := b.redis.flush(ctx); err != nil {
		return nil, err
	}
	start := time.Now()
	v, err := c.run(ctx, b, side, round)
	if err != nil {
		return nil, err
	}
	l := c.lines[0]
	fmt.Fprintf(b.stderr, "%s: %s, round %d: %s (%.1f s)\n",
		l.name, side, round+1, number(v[l.name], l.digits), time.Since(start).Seconds())
	return v, nil
}

func (b *bench) about() string {
	rounds := "medians of " + number(float64(b.rounds), 0) + " rounds"
	if b.rounds == 1 {
		rounds = "one round"
	}
	persistence := "no persistence"
	if b.appendOnly {
		persistence = "appendfsync everysec"
	}
	return fmt.Sprintf("%s messages of %d bytes, %s; %d CPUs, %s, Redis %s, %s.",
		number(float64(b.messages), 0), messageBytes, rounds, runtime.NumCPU(), runtime.Version(), b.redis.version, persistence)
}
