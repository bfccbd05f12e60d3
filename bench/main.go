// Command bench measures this project's worker and producer against a plain
// asynq worker and producer, written as asynq's README suggests, and prints a
// table with the ratios. docs/performance.md says what is measured and how.
//
//	go run ./bench
//
// It starts a redis-server of its own, which must be in PATH, and runs
// everything that is measured in a process of its own: it starts itself again
// with a role as its first argument.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/redis/go-redis/v9"
	"go.uber.org/zap"

	"github.com/intercom-dispatch/intercom-dispatch/internal/logging"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	// A second signal ends the program at once.
	context.AfterFunc(ctx, stop)
	redis.SetLogger(logging.Redis(zap.NewNop()))
	var err error
	if len(os.Args) == 4 && os.Args[1] == roleArg {
		err = runRole(ctx, os.Args[2], os.Args[3])
	} else {
		err = run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	}
	stop()
	if err != nil {
		fmt.Fprintf(os.Stderr, "bench: %v\n", err)
		os.Exit(1)
	}
}

// run is the command: it measures and prints the table to stdout. What it is
// doing goes to stderr.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	o, err := parseOptions(args, stderr)
	if err != nil {
		return flagError(err)
	}
	b, err := newBench(ctx, o, stderr)
	if err != nil {
		return err
	}
	defer b.close()
	report, err := b.measure(ctx)
	if err != nil {
		return err
	}
	if o.json {
		return report.writeJSON(stdout)
	}
	return report.write(stdout)
}

// flagError hides that help was asked for, which is no failure.
func flagError(err error) error {
	if err == flag.ErrHelp { //nolint:errorlint // The flag package returns it as it is.
		return nil
	}
	return err
}
