package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"regexp"
	"time"
)

// options are the flags and what follows from them.
type options struct {
	rounds     int
	messages   int
	samples    int
	only       *regexp.Regexp
	json       bool
	details    bool
	appendOnly bool
	profiles   string
	// idle is how long an idle worker is watched, and settle how long it is
	// left alone before that.
	idle, settle time.Duration
	// delayed is how many delayed messages are enqueued, and delays the time
	// over which they are due.
	delayed int
	delays  time.Duration
	// webhook is how long notifications are sent.
	webhook time.Duration
}

func parseOptions(args []string, stderr io.Writer) (options, error) {
	o := options{idle: 5 * time.Second, settle: 2 * time.Second, delayed: 40, delays: 5 * time.Second, webhook: 30 * time.Second}
	f := flag.NewFlagSet("bench", flag.ContinueOnError)
	f.SetOutput(stderr)
	f.IntVar(&o.rounds, "rounds", 3, "how often each side is measured, in alternation")
	f.IntVar(&o.messages, "messages", 20_000, "messages of each dispatch, enqueue and memory case")
	f.IntVar(&o.samples, "samples", 100, "samples of the idle latency, in each round")
	only := f.String("only", "", "measure only the lines whose name matches this `REGEXP`")
	short := f.Bool("short", false, "one small round of everything, to see that it works: the numbers mean little")
	f.BoolVar(&o.json, "json", false, "print JSON, with the value of each round")
	f.BoolVar(&o.details, "details", false, "print also what each Redis call costs and what is stored under which keys")
	f.BoolVar(&o.appendOnly, "appendonly", false, "run Redis with appendonly yes, appendfsync everysec")
	f.StringVar(&o.profiles, "cpuprofile", "", "write a CPU profile of our worker in each dispatch case to this `DIR`")
	if err := f.Parse(args); err != nil {
		return o, err
	}
	if *short {
		o.shorten()
	}
	var err error
	if o.only, err = regexp.Compile(*only); err != nil {
		return o, fmt.Errorf("-only: %w", err)
	}
	if f.NArg() > 0 || o.rounds < 1 || o.messages < 100 || o.samples < 1 {
		return o, errors.New("it takes no arguments, at least 1 round, 100 messages and 1 sample")
	}
	return o, nil
}

func (o *options) shorten() {
	o.rounds, o.messages, o.samples, o.delayed = 1, 500, lanes, 5
	o.idle, o.settle, o.delays = 500*time.Millisecond, 200*time.Millisecond, 100*time.Millisecond
	o.webhook = time.Second
}
