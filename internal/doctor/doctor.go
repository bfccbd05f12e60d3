package doctor

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/intercom-dispatch/intercom-dispatch/intercom"
	"github.com/intercom-dispatch/intercom-dispatch/internal/redisconn"
	"github.com/intercom-dispatch/intercom-dispatch/ledger"
)

// DefaultTimeout is how long one check may take.
const DefaultTimeout = 5 * time.Second

// Status is how good what was found is.
type Status string

// The statuses, from the best to the worst.
const (
	// Skipped checks could not look, or had nothing to look at.
	Skipped Status = "skipped"
	OK      Status = "ok"
	// Warn is what works and may do harm.
	Warn Status = "warn"
	// Fail is what does not work, or loses messages.
	Fail Status = "fail"
)

// Result is what one check found.
type Result struct {
	Check  string `json:"check"`
	Status Status `json:"status"`
	Found  string `json:"found"`
	// Advice is what to do about it; empty where nothing needs to be done.
	Advice string `json:"advice,omitempty"`
}

// Config says what to check. Only Redis is required.
type Config struct {
	// Redis is where messages and records are. The doctor makes clients of its
	// own for it.
	Redis *redisconn.Config
	// Workspace is whose queues and records are looked at. Empty means "main".
	Workspace string
	// RecordTTL is how long records are kept, ledger.DefaultTTL if zero.
	RecordTTL time.Duration
	// Intercom is the client whose token is tried. Nil skips that.
	Intercom *intercom.Client
	// Region is where the workspace must be hosted. Empty takes any.
	Region string
	// WebhookURL is the receiver's public address. Empty skips its check.
	WebhookURL string
	// Secrets are the client secrets that the receiver must take. None leaves
	// that out.
	Secrets []string
	// Timeout bounds each check. Zero means 5 s.
	Timeout time.Duration
	// Now is the local clock. Nil means time.Now.
	Now func() time.Time
}

// Run makes the checks one after the other and yields the result of each. It
// ends early when ctx ends.
func Run(ctx context.Context, cfg Config) (iter.Seq[Result], error) {
	cfg.Timeout = cmp.Or(cfg.Timeout, DefaultTimeout)
	cfg.Workspace = cmp.Or(cfg.Workspace, ledger.DefaultWorkspace)
	if cfg.Redis == nil {
		return nil, errors.New("doctor: Redis is required")
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if err := ledger.CheckWorkspace(cfg.Workspace); err != nil {
		return nil, fmt.Errorf("doctor: %w", err)
	}
	return func(yield func(Result) bool) {
		e := &examination{Config: cfg, rdb: cfg.Redis.NewClient()}
		defer func() { _ = e.rdb.Close() }() // Nothing was written that could be lost.
		for _, c := range e.checks() {
			r := e.run(ctx, c)
			if ctx.Err() != nil || !yield(r) {
				return
			}
		}
	}, nil
}

// examination is one run of all checks. A check may leave something for later
// ones.
type examination struct {
	Config

	rdb redis.UniversalClient
	// reached tells whether Redis has answered.
	reached bool
	// intercomClock is nil where no answer of Intercom told its time.
	intercomClock *skew
	// onHold tells whether the workspace is on hold, which pauses its queues.
	onHold bool
}

// check is one of the checks.
type check struct {
	name string
	// needsRedis skips the check where Redis did not answer.
	needsRedis bool
	look       func(context.Context) []finding
}

// checks are all the checks in their order. The first finds out whether Redis
// answers; clock comes after intercom, whose answer tells Intercom's time.
func (e *examination) checks() []check {
	return []check{
		{"redis", false, e.redis},
		{"redis_persistence", true, e.persistence},
		{"redis_eviction", true, e.eviction},
		{"redis_replicas", true, e.replicas},
		{"intercom", false, e.intercom},
		{"clock", false, e.clock},
		{"workers", true, e.workers},
		{"hold", true, e.hold},
		{"queues", true, e.queues},
		{"messages", true, e.messages},
		{"webhook", false, e.webhook},
	}
}

// NameWidth is the length of the longest name of a check.
const NameWidth = len("redis_persistence")

func (e *examination) run(ctx context.Context, c check) Result {
	if c.needsRedis && !e.reached {
		return merge(c.name, []finding{skipped("Redis cannot be reached", "")})
	}
	ctx, cancel := context.WithTimeoutCause(ctx, e.Timeout, fmt.Errorf("no answer within %s", e.Timeout))
	defer cancel()
	return merge(c.name, c.look(ctx))
}

// finding is one fact that a check found. A check may have several.
type finding struct {
	status Status
	found  string
	advice string
}

func ok(format string, args ...any) finding {
	return finding{status: OK, found: fmt.Sprintf(format, args...)}
}

func warn(found, advice string) finding    { return finding{Warn, found, advice} }
func fail(found, advice string) finding    { return finding{Fail, found, advice} }
func skipped(found, advice string) finding { return finding{Skipped, found, advice} }

// merge makes one result of a check's findings: the worst status, all that
// was found, and the advice on each.
func merge(name string, all []finding) Result {
	r := Result{Check: name, Status: Skipped}
	var found, advice []string
	for _, f := range all {
		if rank(f.status) > rank(r.Status) {
			r.Status = f.status
		}
		found = append(found, oneLine(f.found))
		if f.advice != "" {
			advice = append(advice, oneLine(f.advice))
		}
	}
	r.Found, r.Advice = strings.Join(found, "; "), strings.Join(advice, " ")
	return r
}

func rank(s Status) int {
	switch s {
	case Skipped:
		return 0
	case OK:
		return 1
	case Warn:
		return 2
	case Fail:
	}
	return 3
}

// oneLine takes out what would disturb a terminal: some of the text comes
// from other servers.
func oneLine(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r >= 0x80 && r < 0xa0 {
			return ' '
		}
		return r
	}, s)
}

// reason is an error as the operator reads it: where the check's time was
// over, that is the reason.
func reason(ctx context.Context, err error) string {
	if ctx.Err() != nil {
		return context.Cause(ctx).Error()
	}
	return err.Error()
}
