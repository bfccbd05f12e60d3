package replies

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/intercom-dispatch/intercom-dispatch/ledger"
)

// callTimeout bounds a call of Redis, so that a connection that hangs does not
// keep a consumer from saying that it is there.
const callTimeout = 5 * time.Second

// delivery is an event in the hands of a consumer.
type delivery struct {
	id    string
	data  string // the event as JSON
	token string // names this delivery
	count int    // deliveries, this one included
}

// event decodes the event. What this program cannot read it never will.
func (d delivery) event() (*Event, error) {
	e, err := decodeEvent(d.id, d.data)
	switch {
	case err != nil:
		return nil, fmt.Errorf("%w: %w", err, ErrDead)
	case e.Version < 1 || e.Version > EventVersion:
		return nil, fmt.Errorf("reply event %s has version %d; this program reads versions up to %d: %w", d.id, e.Version, EventVersion, ErrDead)
	}
	return &e, nil
}

// publishedAt is the time in the id of an entry of a stream, by Redis' clock.
func publishedAt(id string) time.Time {
	millis, _, _ := strings.Cut(id, "-")
	n, err := strconv.ParseInt(millis, 10, 64)
	if err != nil {
		return time.Time{} // Redis makes the ids.
	}
	return time.UnixMilli(n)
}

// group is what Redis has of a group, as one of its consumers sees it.
type group struct {
	rdb       redis.UniversalClient
	workspace string
	name      string
	ttl       time.Duration
	consumer  string
	// after is ConsumeConfig.RedeliverAfter.
	after         time.Duration
	maxDeliveries int
}

func (g *group) stream() string { return ledger.ReplyStreamKey(g.workspace) }

func (g *group) run(ctx context.Context, s *redis.Script, args ...any) *redis.Cmd {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	due, events := ledger.RetryRepliesKeys(g.workspace, g.name)
	keys := []string{
		g.stream(), due, events, ledger.DeadRepliesKey(g.workspace), ledger.TakenRepliesKey(g.workspace, g.name, g.consumer),
	}
	return s.Run(ctx, g.rdb, keys, append([]any{g.name, g.ttl.Milliseconds()}, args...)...)
}

// create creates the group where it is not there. It begins after the event
// with the id from.
func (g *group) create(ctx context.Context, from string) (created bool, err error) {
	err = g.rdb.XGroupCreateMkStream(ctx, g.stream(), g.name, from).Err()
	switch {
	case err == nil:
		return true, nil
	case redis.HasErrorPrefix(err, "BUSYGROUP"):
		return false, nil
	}
	return false, fmt.Errorf("create group %s: %w", g.name, err)
}

// noGroup tells that the group or its stream is not there. Where a script says
// so, older versions of Redis put the line of the script first.
func noGroup(err error) bool { return err != nil && strings.Contains(err.Error(), "NOGROUP") }

// read returns events that were not delivered before, at most n, and waits
// for one.
func (g *group) read(ctx context.Context, n int, block time.Duration, token string) ([]delivery, error) {
	res, err := g.rdb.XReadGroup(ctx, &redis.XReadGroupArgs{
		Group: g.name, Consumer: g.consumer, Streams: []string{g.stream(), ">"}, Count: int64(n), Block: block,
	}).Result()
	if errors.Is(err, redis.Nil) || err == nil && len(res) == 0 {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read reply events: %w", err)
	}
	events := make([]delivery, 0, len(res[0].Messages))
	for _, entry := range res[0].Messages {
		data, _ := entry.Values["event"].(string)
		events = append(events, delivery{id: entry.ID, data: data, token: token, count: 1})
	}
	return events, nil
}

// taken is what takeScript has found.
type taken struct {
	waiting, moved, trimmed int64
	dead                    []string // ids of events
	events                  []delivery
}

// take returns events that are due for another delivery, at most n.
func (g *group) take(ctx context.Context, n int, token string) (*taken, error) {
	res, err := g.run(ctx, takeScript, n, g.after.Milliseconds(), token, g.maxDeliveries).Slice()
	if err != nil {
		return nil, fmt.Errorf("take reply events that are due again: %w", err)
	}
	t := &taken{}
	t.waiting, _ = res[0].(int64)
	t.moved, _ = res[1].(int64)
	t.trimmed, _ = res[2].(int64)
	for _, id := range res[3].([]any) {
		t.dead = append(t.dead, id.(string))
	}
	flat := res[4].([]any)
	for i := 0; i+2 < len(flat); i += 3 {
		id, _ := flat[i].(string)
		data, _ := flat[i+1].(string)
		count, _ := flat[i+2].(int64)
		t.events = append(t.events, delivery{id: id, data: data, token: token, count: int(count)})
	}
	return t, nil
}

// done says that the event was handled.
func (g *group) done(ctx context.Context, d delivery) error {
	if err := g.run(ctx, doneScript, d.id).Err(); err != nil {
		return fmt.Errorf("acknowledge reply event %s: %w", d.id, err)
	}
	return nil
}

// failure is what becomes of an event that was not handled.
type failure struct {
	deliveries int // to be counted
	wait       time.Duration
	dead       bool
	text       string
}

// fail returns false if the event has moved on.
func (g *group) fail(ctx context.Context, d delivery, f failure) (kept bool, err error) {
	wait := strconv.FormatInt(f.wait.Milliseconds(), 10)
	if f.dead {
		wait = "-1"
	}
	n, err := g.run(ctx, failScript, d.id, d.token, d.data, f.deliveries, f.text, wait).Int()
	if err != nil {
		return false, fmt.Errorf("put reply event %s back: %w", d.id, err)
	}
	return n == 1, nil
}

// hold keeps the events from being delivered to others.
func (g *group) hold(ctx context.Context, tokens map[string]string) error {
	args := make([]any, 0, 2+2*len(tokens))
	args = append(args, g.consumer, g.after.Milliseconds())
	for id, token := range tokens {
		args = append(args, id, token)
	}
	if err := g.run(ctx, holdScript, args...).Err(); err != nil {
		return fmt.Errorf("hold on to reply events: %w", err)
	}
	return nil
}

// prune removes consumers without events that were silent for so long, and,
// if leave is set, this one.
func (g *group) prune(ctx context.Context, silent time.Duration, leave bool) error {
	name := ""
	if leave {
		name = g.consumer
	}
	if err := g.run(ctx, pruneScript, name, silent.Milliseconds()).Err(); err != nil {
		return fmt.Errorf("remove consumers that are gone: %w", err)
	}
	return nil
}
