package ledger

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"
)

// DefaultTTL is how long records are kept after their last transition.
const DefaultTTL = 90 * 24 * time.Hour

// ErrNotFound is returned where a message has no record.
var ErrNotFound = errors.New("no such message")

// FencedError refuses the outcome of an attempt that the record has moved on
// from: another attempt was begun, or the message is known to be sent.
type FencedError struct {
	// State is where the message stands.
	State State
}

func (e *FencedError) Error() string {
	return fmt.Sprintf("the message has moved on: it is %s", e.State)
}

// Ledger is the records of one workspace. It is safe for concurrent use.
type Ledger struct {
	rdb       redis.UniversalClient
	workspace string
	ttl       time.Duration
	polled    bool // WithPolling
}

// New returns the ledger of a workspace. Records are kept for ttl after their
// last transition, DefaultTTL if it is zero. The client stays the caller's to
// close.
func New(rdb redis.UniversalClient, workspace string, ttl time.Duration) (*Ledger, error) {
	if err := CheckWorkspace(workspace); err != nil {
		return nil, err
	}
	if ttl == 0 {
		ttl = DefaultTTL
	}
	if ttl < time.Minute {
		return nil, fmt.Errorf("record TTL %s is too short: a message would be forgotten while it is sent; use at least 1m", ttl)
	}
	return &Ledger{rdb: rdb, workspace: workspace, ttl: ttl}, nil
}

// Workspace returns the name of the ledger's workspace.
func (l *Ledger) Workspace() string { return l.workspace }

// Task is what a record takes over from the queued task.
type Task struct {
	Key string
	// Enqueued identifies one act of enqueueing: a key that is enqueued again
	// after asynq has forgotten its task must not be sent again.
	Enqueued   string
	Digest     string
	Priority   string
	QueuedAt   time.Time
	ContactIDs []string
	Metadata   map[string]string
	// OrderKey names the messages that are sent one after the other, empty for
	// none. PassHeld lets those behind go while the message is held.
	OrderKey string
	PassHeld bool
	// Payload is the task as it was queued, kept where it may be needed for
	// a later retry.
	Payload []byte
}

// createArgs are what createFunc and the scripts beside it take from a task.
func (t *Task) createArgs() []any { return []any{t.Enqueued, t.Digest, t.pack()} }

// message is what the keys of its scripts are made of.
type message struct {
	key string
	// contact is the first one that the message goes to, by which unsettled
	// messages are found.
	contact string
}

func (t *Task) message() message { return message{t.Key, firstContact(t.ContactIDs)} }

func firstContact(ids []string) string {
	if len(ids) == 0 {
		return ""
	}
	return ids[0]
}

// run runs one of the scripts with the keys and arguments they share.
func (l *Ledger) run(ctx context.Context, s *redis.Script, m message, keys []string, args ...any) *redis.Cmd {
	all := append(make([]string, 0, 10+len(keys)), RecordKey(l.workspace, m.key))
	for _, state := range Listed() {
		all = append(all, listKey(l.workspace, state))
	}
	all = append(all, unsettledKey(l.workspace, m.contact), WorkersKey(l.workspace))
	return s.Run(ctx, l.rdb, append(all, keys...),
		append([]any{m.key, l.ttl.Milliseconds()}, args...)...)
}

// newToken names one call, so that a script that is sent again is recognised.
func newToken() string { return rand.Text()[:13] }

// millisArg writes a count or time as the scripts read it.
func millisArg(n int64) string { return strconv.FormatInt(n, 10) }
