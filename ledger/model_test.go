package ledger_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/intercom-dispatch/intercom-dispatch/internal/redistest"
	"github.com/intercom-dispatch/intercom-dispatch/ledger"
)

// TestModel lets workers that crash, are declared dead and speak late, people
// who decide, searches, replies and a jumping clock have at a few messages in
// any order, beside an Intercom that remembers what was created. For a search
// of an hour:
//
//	go test ./ledger -run TestModel -rapid.checks=20000 -rapid.steps=50 -timeout 2h
func TestModel(t *testing.T) {
	t.Parallel()
	checkModel(t, redistest.Mini(t), true)
}

// TestModelWithoutPeople shows what holds as long as nobody decides.
func TestModelWithoutPeople(t *testing.T) {
	t.Parallel()
	checkModel(t, redistest.Mini(t), false)
}

func TestModelOnRealRedis(t *testing.T) {
	t.Parallel()
	checkModel(t, redistest.Start(t, redistest.Options{}), true)
}

func checkModel(t *testing.T, s *redistest.Server, people bool) {
	t.Helper()
	ctx := t.Context()
	rdb, wire := s.Client(t), &wire{}
	l, err := ledger.New(rdb, ledger.DefaultWorkspace, 0)
	require.NoError(t, err)
	rdb.AddHook(wire)
	rapid.Check(t, func(t *rapid.T) {
		w := &world{Ledger: l, ctx: ctx, rdb: rdb, wire: wire, server: s, index: map[string]string{}, parts: map[string]bool{}}
		w.start(t)
		actions := map[string]func(*rapid.T){
			"": w.check, "begin": w.beginAny, "send": w.sendAny, "commit": w.commitAny, "commit again": w.commitAgain,
			"abandon": w.abandonAny, "decide": w.decideAny, "worker": w.workerAny, "search": w.search, "reply": w.reply,
		}
		// What messages live by comes more often than what befalls them.
		actions["begin, too"], actions["send, too"], actions["commit, too"] = w.beginAny, w.sendAny, w.commitAny
		actions["decide, too"] = w.decideAny
		if people {
			actions["person"] = w.person
		}
		if !s.Real() {
			actions["clock"] = w.clockJumps
		}
		t.Repeat(actions)
		w.finish(t)
		w.check(t)
	})
}

// world is what is the case, beside what the ledger says.
type world struct {
	*ledger.Ledger

	ctx    context.Context //nolint:containedctx // the test's
	rdb    redis.UniversalClient
	wire   *wire
	server *redistest.Server
	now    time.Time

	messages []*modelMessage
	workers  []*modelWorker
	// there are the workers in the ledger's hash, which may be dead, and dead
	// those of them that are.
	there map[string]bool
	dead  []string
	// open are the positions of living workers; done are what they were.
	open, done []*position
	// ids are all that Intercom has created, in order.
	ids []createdMessage
	// index is the key that each id should be known to belong to.
	index map[string]string
	parts map[string]bool
	// calm is the end: nothing fails any more.
	calm bool
}

type createdMessage struct {
	id      string
	message *modelMessage
}

type modelWorker struct {
	name   string
	life   int
	leases bool
}

func (p *modelWorker) id() string { return fmt.Sprintf("%s.%d", p.name, p.life) }

// modelMessage is one key.
type modelMessage struct {
	task    ledger.Task
	policy  ledger.Policy
	expires time.Time
	created []string
	tries   []*try
	// owner is the enqueueing that the record belongs to.
	owner string
	// record is what Redis had after the last action.
	record map[string]string
	// decided tells that a person had it sent again, cancelled that one took
	// it back, refused that Intercom did, expired that its time was over when
	// an attempt was to begin, and mistaken that another's id was taken for
	// this message's.
	decided, cancelled, refused, expired, mistaken bool
	// late tells that it has expired since it was last reopened, and timeless
	// that it was reopened after that.
	late, timeless bool
}

func (m *modelMessage) state() ledger.State { return ledger.State(m.record["s"]) }
func (m *modelMessage) sent() bool {
	return m.state() == ledger.Sent || m.state() == ledger.Replied
}

// inDoubt tells whether an attempt may have created the message, as far as
// the ledger was told.
func (m *modelMessage) inDoubt() bool {
	return slices.ContainsFunc(m.tries, func(y *try) bool { return y.doubt })
}

// try is an attempt that the ledger allowed.
type try struct {
	worker string
	until  time.Time
	// closed: the ledger was told its outcome, or declared its worker lost.
	closed, doubt bool
}

type stage string

const (
	unanswered stage = "no answer to begin"
	begun      stage = "begun"
	answered   stage = "answered"
	unsettled  stage = "unsettled"
)

// position is where a worker is with a message.
type position struct {
	worker  *modelWorker
	message *modelMessage
	attempt *ledger.Attempt
	try     *try
	stage   stage
	outcome intercomOutcome
	id      string
}

func (p *position) String() string {
	return fmt.Sprintf("%s with %s, attempt %d", p.worker.id(), p.message.task.Key, p.attempt.Number)
}

func (w *world) start(t *rapid.T) {
	require.NoError(t, w.rdb.FlushAll(w.ctx).Err())
	if !w.server.Real() {
		w.now = time.UnixMilli(1_800_000_000_000)
	}
	w.tick(t)
	for n := range rapid.IntRange(3, 5).Draw(t, "messages") {
		key := fmt.Sprintf("k%d", n+1)
		m := &modelMessage{
			task: ledger.Task{
				Key: key, Enqueued: key + "-first", Digest: "d", Priority: "normal", QueuedAt: w.now,
				// The first and the third message look alike.
				ContactIDs: []string{fmt.Sprintf("c%d", n%2), "cc"}, Payload: []byte("the task of " + key),
			},
			policy: rapid.SampledFrom([]ledger.Policy{ledger.Hold, ledger.Resend}).Draw(t, "policy of "+key),
		}
		if rapid.Bool().Draw(t, key+" expires") {
			m.expires = w.now.Add(5 * time.Minute)
			if w.server.Real() {
				m.expires = w.now.Add(-time.Hour)
			}
		}
		w.messages = append(w.messages, m)
	}
	w.there = map[string]bool{}
	for n := range rapid.IntRange(2, 4).Draw(t, "workers") {
		p := &modelWorker{name: fmt.Sprintf("w%d", n+1)}
		// On a real server nobody can wait for the end of a lease.
		p.leases = n == 1 && !w.server.Real()
		w.workers = append(w.workers, p)
		w.enroll(t, p)
	}
}

func (w *world) enroll(t *rapid.T, p *modelWorker) {
	if p.leases {
		return
	}
	require.NoError(t, w.rdb.HSet(w.ctx, ledger.WorkersKey(w.Workspace()), p.id(), "x").Err())
	w.there[p.id()] = true
}

// tick moves the clock by a millisecond, so that no two begins have the same
// time.
func (w *world) tick(t *rapid.T) {
	if m := w.server.Miniredis(); m != nil {
		w.now = w.now.Add(time.Millisecond)
		m.SetTime(w.now)
		return
	}
	for was := w.now; !w.now.After(was); {
		now, err := w.rdb.Time(w.ctx).Result()
		require.NoError(t, err)
		w.now = now.Truncate(time.Millisecond)
	}
}

// fault is what becomes of a script call on its way.
type fault string

const (
	delivered    fault = "delivered"
	repeated     fault = "sent twice"
	answerLost   fault = "answer lost"
	repeatedLost fault = "sent twice, answers lost"
	requestLost  fault = "request lost"
)

var errLost = errors.New("connection lost")

// wire is the connection to Redis. It keeps what Redis really answered.
type wire struct {
	redis.Hook

	fault   fault
	answers []any
}

func (x *wire) DialHook(next redis.DialHook) redis.DialHook { return next }

func (x *wire) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

func (x *wire) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		script, ok := cmd.(*redis.Cmd)
		if !ok || !strings.HasPrefix(cmd.Name(), "eval") {
			return next(ctx, cmd)
		}
		if x.fault == requestLost {
			cmd.SetErr(errLost)
			return errLost
		}
		if x.fault == repeated || x.fault == repeatedLost {
			first := redis.NewCmd(ctx, cmd.Args()...)
			if err := next(ctx, first); err != nil {
				cmd.SetErr(err)
				return err
			}
			x.answers = append(x.answers, first.Val())
		}
		if err := next(ctx, cmd); err != nil {
			return err
		}
		x.answers = append(x.answers, script.Val())
		if x.fault == answerLost || x.fault == repeatedLost {
			cmd.SetErr(errLost)
			return errLost
		}
		return nil
	}
}

// call runs one call of the ledger with a drawn fault and returns what Redis
// answered each time the script ran.
func (w *world) call(t *rapid.T, run func() error) (answers [][]string, err error) {
	w.wire.answers, w.wire.fault = nil, delivered
	if !w.calm {
		w.wire.fault = rapid.SampledFrom([]fault{
			delivered, delivered, delivered, delivered, repeated, answerLost, repeatedLost, requestLost,
		}).Draw(t, "fault")
	}
	err = run()
	for _, a := range w.wire.answers {
		answers = append(answers, texts(a))
	}
	return answers, err
}

func texts(a any) []string {
	list, ok := a.([]any)
	if !ok {
		return []string{fmt.Sprint(a)}
	}
	out := make([]string, len(list))
	for i, v := range list {
		out[i] = fmt.Sprint(v)
	}
	return out
}

func lost(err error) bool { return errors.Is(err, errLost) }
