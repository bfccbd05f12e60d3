// Command intercom-dispatch delivers messages to Intercom contacts: it runs
// the workers, receives Intercom's webhooks, shows what became of messages,
// and brings a fake Intercom for trying all of it out.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/alecthomas/kong"
	"github.com/redis/go-redis/v9"
	"go.uber.org/zap"

	"github.com/intercom-dispatch/intercom-dispatch/internal/logging"
)

// version is set by the linker in released builds.
var version = ""

// The exit statuses.
const (
	exitFailed  = 1
	exitUsage   = 2
	exitUnknown = 4 // a key that is not known
)

// commands is the command line.
type commands struct {
	Demo     demoCommand    `cmd:"" help:"Tell the whole story in one process: embedded Redis, a fake Intercom, a handful of messages."`
	Dev      devCommand     `cmd:"" help:"Run the whole stack in one process for local development, with embedded Redis and a fake Intercom."`
	Worker   workerCommand  `cmd:"" help:"Deliver messages."`
	Webhook  webhookCommand `cmd:"" help:"Receive Intercom's webhook notifications."`
	Monitor  monitorCommand `cmd:"" help:"Serve the web UI of the queues."`
	Enqueue  enqueueCommand `cmd:"" help:"Enqueue messages from a file or standard input, one JSON object a line."`
	Message  messageCommand `cmd:"" help:"Show what became of messages, retry, cancel and resolve them."`
	Replies  repliesCommand `cmd:"" help:"Show contacts' replies."`
	Doctor   doctorCommand  `cmd:"" help:"Check what the program depends on, before going live and when something is wrong. It changes nothing."`
	FakeInt  fakeCommand    `cmd:"" name:"fake-intercom" help:"Run the fake Intercom as a server."`
	Version  versionCommand `cmd:"" help:"Print the version."`
	LogLevel string         `env:"DISPATCH_LOG_LEVEL" default:"info" placeholder:"LEVEL" help:"Least level to log: debug, info, warn or error (${default})."`
	LogForm  string         `name:"log-format" env:"DISPATCH_LOG_FORMAT" placeholder:"FORMAT" help:"json or console. By default console on a terminal, else json."`
}

// program is what commands get from outside.
type program struct {
	stdin          io.Reader
	stdout, stderr *os.File
	logLevel       string
	logFormat      string
}

// exitError ends the program with a status of its own. Without an error it
// says nothing more: what there is to say was said.
type exitError struct {
	status int
	err    error
}

func (e *exitError) Error() string {
	if e.err == nil {
		return fmt.Sprintf("exit status %d", e.status)
	}
	return e.err.Error()
}

func (e *exitError) Unwrap() error { return e.err }

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	// A second signal ends the program at once.
	context.AfterFunc(ctx, stop)
	status := run(ctx, os.Args[1:], &program{stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr})
	stop()
	os.Exit(status)
}

// run is the program; its result is the exit status.
func run(ctx context.Context, args []string, p *program) int {
	var cli commands
	helped := false
	parser, err := kong.New(&cli,
		kong.Name("intercom-dispatch"),
		kong.Description("Deliver messages to Intercom contacts: each exactly as often as it should be."),
		kong.Writers(p.stdout, p.stderr),
		kong.Exit(func(int) { helped = true }),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, NoExpandSubcommands: true}),
		kong.BindTo(ctx, (*context.Context)(nil)),
		kong.Bind(p),
	)
	if err != nil {
		return p.failed(err)
	}
	if len(args) == 0 {
		args = []string{"--help"}
	}
	command, err := parser.Parse(args)
	switch {
	case helped:
		return 0
	case err != nil:
		return p.failed(&exitError{exitUsage, fmt.Errorf("%w; see %s --help", err, commandOf(err))})
	}
	p.logLevel, p.logFormat = cli.LogLevel, cli.LogForm
	// A misspelt level is an error also of a command that logs nothing.
	if _, err := p.log(); err != nil {
		return p.failed(err)
	}
	// go-redis reports errors to its callers as well; its own lines on standard
	// error would only stand between ours.
	redis.SetLogger(logging.Redis(zap.NewNop()))
	return p.failed(command.Run())
}

// commandOf returns the command whose help explains a command line that could
// not be read.
func commandOf(err error) string {
	name := []string{"intercom-dispatch"}
	if e, ok := errors.AsType[*kong.ParseError](err); ok {
		for _, p := range e.Context.Path {
			if p.Command != nil {
				name = append(name, p.Command.Name)
			}
		}
	}
	return strings.Join(name, " ")
}

// failed says in one line what went wrong and returns the exit status.
func (p *program) failed(err error) int {
	if err == nil {
		return 0
	}
	status := exitFailed
	if listen, ok := errors.AsType[*net.OpError](err); ok && listen.Op == "listen" {
		status = exitUsage // Another address is to be given.
	}
	if e, ok := errors.AsType[*exitError](err); ok {
		status = e.status
		if e.err == nil {
			return status
		}
	}
	// Errors that were joined have a line each.
	fmt.Fprintf(p.stderr, "intercom-dispatch: %s\n", strings.ReplaceAll(err.Error(), "\n", "; "))
	return status
}
