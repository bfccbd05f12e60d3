package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
	"go.uber.org/zap"
	"golang.org/x/term"

	"github.com/intercom-dispatch/intercom-dispatch/enqueue"
	"github.com/intercom-dispatch/intercom-dispatch/intercom"
	"github.com/intercom-dispatch/intercom-dispatch/internal/logging"
	"github.com/intercom-dispatch/intercom-dispatch/internal/redisconn"
	"github.com/intercom-dispatch/intercom-dispatch/ledger"
)

// redisOptions say where messages and records are.
type redisOptions struct {
	RedisURL  string        `name:"redis-url" env:"REDIS_URL" default:"redis://127.0.0.1:6379/0" placeholder:"URL" help:"Redis: redis://, rediss://, redis-sentinel:// or redis-cluster:// (${default})."`
	Workspace string        `env:"DISPATCH_WORKSPACE" default:"main" placeholder:"NAME" help:"Workspace, whose queues and records are its own (${default})."`
	RecordTTL time.Duration `name:"record-ttl" env:"DISPATCH_RECORD_TTL" default:"2160h" placeholder:"DURATION" help:"How long records are kept (${default}: 90 days)."`
}

// minRecordTTL is what the ledger needs so as not to forget a message while it
// is sent. 0 would be its default.
const minRecordTTL = time.Minute

// connection is a connection to Redis that was tried.
type connection struct {
	config *redisconn.Config
	client redis.UniversalClient
}

// parse returns where Redis is, or an error that names the flag to mend.
func (o *redisOptions) parse() (*redisconn.Config, error) {
	cfg, err := redisconn.Parse(o.RedisURL)
	if err != nil {
		return nil, &exitError{exitUsage, fmt.Errorf("--redis-url: %w", err)}
	}
	if err := ledger.CheckWorkspace(o.Workspace); err != nil {
		return nil, &exitError{exitUsage, fmt.Errorf("--workspace: %w", err)}
	}
	if o.RecordTTL < minRecordTTL {
		return nil, &exitError{exitUsage, errors.New("--record-ttl must be at least 1m")}
	}
	return cfg, nil
}

// connect returns an error that says what to do if Redis does not answer.
func (o *redisOptions) connect(ctx context.Context, poolSize int) (*connection, error) {
	cfg, err := o.parse()
	if err != nil {
		return nil, err
	}
	cfg.PoolSize = poolSize
	c := &connection{config: cfg, client: cfg.NewClient()}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	if err := c.client.Ping(ctx).Err(); err != nil {
		c.close()
		if redis.HasErrorPrefix(err, "NOAUTH") || redis.HasErrorPrefix(err, "WRONGPASS") {
			return nil, fmt.Errorf("Redis at %s refuses the password in --redis-url, or wants one: %w", cfg, err) //nolint:staticcheck // It is a name.
		}
		return nil, fmt.Errorf("cannot reach Redis at %s: %w; is it running, and is --redis-url right?", cfg, err)
	}
	return c, nil
}

// close ends the connection. A failure has nobody left to matter to.
func (c *connection) close() { _ = c.client.Close() }

// producer returns a client for enqueueing and looking up messages.
func (o *redisOptions) producer(c *connection) (*enqueue.Client, error) {
	p, err := enqueue.New(c.client, enqueue.Config{Workspace: o.Workspace, RecordTTL: o.RecordTTL})
	if err != nil {
		return nil, &exitError{exitUsage, err}
	}
	return p, nil
}

// intercomOptions say how to talk to Intercom.
type intercomOptions struct {
	Token     string `name:"intercom-token" env:"INTERCOM_ACCESS_TOKEN" placeholder:"TOKEN" help:"Access token."`
	TokenFile string `name:"intercom-token-file" env:"INTERCOM_ACCESS_TOKEN_FILE" placeholder:"FILE" help:"File that holds the access token; it is read again when it changes."`
	Region    string `name:"intercom-region" env:"INTERCOM_REGION" default:"us" placeholder:"REGION" help:"us, eu or au (${default})."`
	BaseURL   string `name:"intercom-base-url" env:"INTERCOM_BASE_URL" placeholder:"URL" help:"Overrides the region, as for the fake Intercom."`
	Version   string `name:"intercom-version" env:"INTERCOM_VERSION" default:"2.14" placeholder:"VERSION" help:"Version of the API (${default})."`
}

func (o *intercomOptions) client(timeout time.Duration, concurrency int) (*intercom.Client, error) {
	token, err := o.token()
	if err != nil {
		return nil, &exitError{exitUsage, err}
	}
	c, err := intercom.New(intercom.Config{
		Token: token, Region: o.Region, BaseURL: o.BaseURL, Version: o.Version,
		Timeout: timeout, Concurrency: concurrency, UserAgent: "intercom-dispatch/" + buildVersion(),
	})
	if err != nil {
		return nil, &exitError{exitUsage, errors.New(flagOf.Replace(err.Error()))}
	}
	return c, nil
}

// flagOf turns the names of the intercom package's fields into those of flags.
var flagOf = strings.NewReplacer("intercom: Region", "--intercom-region",
	"intercom: BaseURL", "--intercom-base-url", "intercom: Version", "--intercom-version")

func (o *intercomOptions) token() (func() (string, error), error) {
	switch {
	case o.Token != "" && o.TokenFile != "":
		return nil, errors.New("give --intercom-token or --intercom-token-file, not both")
	case o.Token != "":
		return intercom.StaticToken(o.Token), nil
	case o.TokenFile != "":
		f := &secretFile{path: o.TokenFile}
		if _, err := f.read(); err != nil {
			return nil, fmt.Errorf("--intercom-token-file: %w", err)
		}
		return f.read, nil
	}
	return nil, errors.New("an access token is required: set INTERCOM_ACCESS_TOKEN, --intercom-token or --intercom-token-file")
}

// secretFile reads a secret again when its file has changed, but looks no more
// often than once a second.
type secretFile struct {
	path string

	mu      sync.Mutex
	secret  string
	looked  time.Time
	changed time.Time
}

func (f *secretFile) read() (string, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if time.Since(f.looked) < time.Second {
		return f.secret, nil
	}
	info, err := os.Stat(f.path)
	if err != nil {
		return "", fmt.Errorf("secret file: %w", err)
	}
	if !info.ModTime().Equal(f.changed) {
		b, err := os.ReadFile(f.path)
		if err != nil {
			return "", fmt.Errorf("secret file: %w", err)
		}
		f.secret, f.changed = strings.TrimSpace(string(b)), info.ModTime()
	}
	if f.secret == "" {
		return "", fmt.Errorf("secret file %s is empty", f.path)
	}
	f.looked = time.Now()
	return f.secret, nil
}

// log returns the program's logger, on standard error.
func (p *program) log() (*zap.Logger, error) {
	format := p.logFormat
	if format == "" {
		format = "json"
		if isTerminal(p.stderr) {
			format = "console"
		}
	}
	l, err := logging.New(p.logLevel, format, p.stderr)
	if err != nil {
		return nil, &exitError{exitUsage, err}
	}
	return l, nil
}

func isTerminal(f *os.File) bool { return term.IsTerminal(int(f.Fd())) }
