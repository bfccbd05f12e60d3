package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"github.com/intercom-dispatch/intercom-dispatch/enqueue"
	"github.com/intercom-dispatch/intercom-dispatch/internal/stack"
	"github.com/intercom-dispatch/intercom-dispatch/ledger"
	"github.com/intercom-dispatch/intercom-dispatch/replies"
	"github.com/intercom-dispatch/intercom-dispatch/worker"
)

// Limit is how long a story may take. Messages that are scheduled for later
// are not waited for.
const Limit = 18 * time.Second

// Config configures a Run.
type Config struct {
	// Out gets the story.
	Out io.Writer
	// Requests are the messages; nil tells the built-in story.
	Requests []enqueue.Request
	// Log gets what the parts log.
	Log *zap.Logger
	// Metrics registers the worker's metrics, if not nil.
	Metrics prometheus.Registerer
	// Stay, if not nil, is called when the story is told, and the stack runs
	// on until it returns.
	Stay func(context.Context, *stack.Stack) error
}

// Run tells the story. It returns an error if not everything came to its end
// in time.
func Run(ctx context.Context, cfg Config) error {
	s := builtIn(time.Now())
	if cfg.Requests != nil {
		s = ownStory(cfg.Requests)
	}
	t := newTelling(cfg.Out, s)
	s.fake.Token, s.fake.ClientSecret = "demo_token", "demo_secret"
	st, err := stack.New(ctx, stack.Config{
		Fake: s.fake, Log: cfg.Log, Worker: worker.Config{OnAttempt: t.onAttempt, Metrics: cfg.Metrics},
	})
	if err != nil {
		return err
	}
	defer st.Close()
	for _, c := range s.contacts {
		st.Fake.AddContact(c)
	}
	running, stop := context.WithCancel(ctx)
	defer stop()
	g, running := errgroup.WithContext(running)
	g.Go(func() error { return st.Run(running) })
	g.Go(func() error {
		return replies.Tail(running, st.Redis, "", replies.TailOptions{FromStart: true}, t.onReply)
	})
	g.Go(func() error {
		defer stop()
		if err := t.tell(running, st); err != nil {
			return err
		}
		if cfg.Stay != nil {
			if err := cfg.Stay(running, st); err != nil {
				return err
			}
		}
		if t.refused > 0 {
			return fmt.Errorf("%d of %d messages were refused at once", t.refused, len(s.requests))
		}
		return nil
	})
	return g.Wait()
}

// tell runs the story from beginning to end.
func (t *telling) tell(ctx context.Context, st *stack.Stack) error {
	defer close(t.told)
	if err := st.Ready(ctx); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, Limit, fmt.Errorf("not finished after %s", Limit))
	defer cancel()
	t.say("Redis (embedded) and a fake Intercom are up. Enqueueing %d messages.", len(t.script.requests))
	if err := t.enqueue(ctx, st.Producer); err != nil {
		return err
	}
	err := t.follow(ctx, st)
	t.summary(context.WithoutCancel(ctx), st.Producer)
	return err
}

func (t *telling) enqueue(ctx context.Context, p *enqueue.Client) error {
	results, _ := p.EnqueueBatch(ctx, t.script.requests)
	for i, r := range results {
		switch {
		case r.Err != nil:
			t.say("%s is refused at once: %v.", quote(r.Key), r.Err)
			t.end(r.Key)
			t.refused++
		case r.Status == enqueue.Duplicate:
			t.say("%s was enqueued before: a duplicate, not sent twice.", quote(r.Key))
		default:
			t.introduce(t.script.requests[i])
		}
	}
	return ctx.Err()
}

func (t *telling) introduce(r enqueue.Request) {
	if intro := t.script.intro[r.Key]; intro != "" {
		t.say("%s is %s.", quote(r.Key), intro)
	}
	if wait := time.Until(r.At); wait > Limit {
		t.say("%s is scheduled for %s; the demo does not wait for it.", quote(r.Key), r.At.UTC().Format(time.RFC3339))
		t.end(r.Key)
	}
}

// follow tells what happens until every message has come to its end and every
// answer has arrived.
func (t *telling) follow(ctx context.Context, st *stack.Stack) error {
	for !t.finished() {
		select {
		case r := <-t.attempts:
			t.tellAttempt(r)
			if text, ok := t.answerTo(r); ok {
				t.answerLater(ctx, st, r.MessageID, text)
			}
		case e := <-t.replies:
			t.tellReply(e)
		case answer := <-t.answers:
			if answer.err != nil {
				return answer.err
			}
			t.say("Contact %s answers %s in Intercom: %q. Intercom calls our webhook.",
				answer.info.ContactID, quote(t.keyOf[answer.info.MessageID]), answer.text)
		case <-ctx.Done():
			return errors.Join(context.Cause(ctx), t.open())
		}
	}
	return nil
}

// answerTo returns the contact's answer to a message that was just delivered.
func (t *telling) answerTo(r worker.Report) (string, bool) {
	if r.State != ledger.Sent || r.MessageID == "" {
		return "", false
	}
	t.keyOf[r.MessageID] = r.Key
	if t.script.answerFirst != "" {
		text := t.script.answerFirst
		t.script.answerFirst = ""
		t.expectReply(r.Key)
		return text, true
	}
	text, ok := t.script.answers[r.Key]
	return text, ok
}
