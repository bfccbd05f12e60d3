package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"runtime/pprof"
	"syscall"
	"time"
)

// roleArg is the first argument of a process that has a role. The role and its
// spec as JSON follow.
const roleArg = "role"

// The roles.
const (
	roleRedis = "redis"
	roleFake  = "fake"
	roleOurs  = "ours"
	rolePlain = "plain"

	roleOurReceiver   = "receiver-ours"
	rolePlainReceiver = "receiver-plain"
)

// spec is what a process with a role has to know.
type spec struct {
	// Dir, Port and AppendOnly are redis-server's.
	Dir        string `json:"dir,omitempty"`
	Port       int    `json:"port,omitempty"`
	AppendOnly bool   `json:"append_only,omitempty"`
	// Latency and Capacity are the fake's: how long it takes to answer, and the
	// highest number of a message.
	Latency  time.Duration `json:"latency,omitempty"`
	Capacity int           `json:"capacity,omitempty"`
	// The others are the workers'.
	Redis       string `json:"redis,omitempty"` // host:port
	DB          int    `json:"db,omitempty"`
	Fake        string `json:"fake,omitempty"` // URL
	Concurrency int    `json:"concurrency,omitempty"`
	Profile     string `json:"profile,omitempty"` // file
}

// usage is the CPU time that a process has used.
type usage struct {
	CPU time.Duration `json:"cpu"`
}

// started is the first line of a process with a role.
type started struct {
	// Addr is where it listens, if it does.
	Addr string `json:"addr"`
}

// runRole runs a role until it is told to quit, or until its standard input
// ends: the command that started it is gone then.
func runRole(ctx context.Context, role, arg string) error {
	var s spec
	if err := json.Unmarshal([]byte(arg), &s); err != nil {
		return fmt.Errorf("spec of role %s: %w", role, err)
	}
	stopProfile, err := startProfile(s.Profile)
	if err != nil {
		return err
	}
	defer stopProfile()
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	answer := json.NewEncoder(os.Stdout)
	failed := make(chan error, 1)
	ready := func(addr string) error { return answer.Encode(started{addr}) }
	go func() { failed <- startRole(ctx, role, s, ready) }()
	orders := readOrders()
	for {
		select {
		case err := <-failed:
			return fmt.Errorf("role %s ended: %v", role, err) //nolint:errorlint // It may be nil.
		case order := <-orders:
			if order != orderUsage {
				return stopRole(role, stop, failed)
			}
			if err := answer.Encode(ownUsage()); err != nil {
				return err
			}
		}
	}
}

// stopRole waits for redis-server alone, which would outlive this process. The
// others just end: nothing that they have is wanted any more.
func stopRole(role string, stop func(), failed <-chan error) error {
	stop()
	if role == roleRedis {
		return <-failed
	}
	return nil
}

func startRole(ctx context.Context, role string, s spec, ready func(addr string) error) error {
	switch role {
	case roleRedis:
		return runRedis(ctx, s, ready)
	case roleFake:
		return runFake(ctx, s, ready)
	case roleOurs:
		return runOurs(ctx, s, ready)
	case rolePlain:
		return runPlain(ctx, s, ready)
	case roleOurReceiver:
		return runOurReceiver(ctx, s, ready)
	case rolePlainReceiver:
		return runPlainReceiver(ctx, s, ready)
	}
	return fmt.Errorf("role %q is unknown", role)
}

const (
	orderUsage = "usage"
	orderQuit  = "quit"
)

// readOrders passes on the lines of standard input, and at its end quit.
func readOrders() <-chan string {
	orders := make(chan string)
	go func() {
		in := bufio.NewScanner(os.Stdin)
		for in.Scan() {
			orders <- in.Text()
		}
		orders <- orderQuit
	}()
	return orders
}

func ownUsage() usage {
	var r syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err != nil {
		return usage{}
	}
	return usage{time.Duration(r.Utime.Nano() + r.Stime.Nano())}
}

func startProfile(path string) (stop func(), err error) {
	if path == "" {
		return func() {}, nil
	}
	f, err := os.Create(path)
	if err != nil {
		return nil, fmt.Errorf("profile: %w", err)
	}
	if err := pprof.StartCPUProfile(f); err != nil {
		return nil, fmt.Errorf("profile: %w", err)
	}
	return func() {
		pprof.StopCPUProfile()
		_ = f.Close()
	}, nil
}
