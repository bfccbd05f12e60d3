package demo

import (
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/intercom-dispatch/intercom-dispatch/enqueue"
	"github.com/intercom-dispatch/intercom-dispatch/intercom/intercomtest"
	"github.com/intercom-dispatch/intercom-dispatch/internal/stack"
	"github.com/intercom-dispatch/intercom-dispatch/ledger"
	"github.com/intercom-dispatch/intercom-dispatch/replies"
	"github.com/intercom-dispatch/intercom-dispatch/worker"
)

// telling is a story while it is told. All but the channels belong to the
// goroutine that tells it.
type telling struct {
	out    io.Writer
	script script
	start  time.Time

	attempts chan worker.Report
	replies  chan replies.Event
	answers  chan answer

	waiting  map[string]bool // keys of messages that have not come to their end
	expected map[string]bool // keys of messages whose reply has not arrived
	events   map[string]replies.Event
	keyOf    map[string]string // by message id
	refused  int               // messages that were not even enqueued
	// told is closed at the end of the story, after which nobody listens.
	told chan struct{}
}

// answer is what came of a contact's answer in the fake Intercom.
type answer struct {
	info intercomtest.ReplyInfo
	text string
	err  error
}

func newTelling(out io.Writer, s script) *telling {
	t := &telling{
		out: out, script: s, start: time.Now(),
		attempts: make(chan worker.Report, 1024),
		replies:  make(chan replies.Event, 64),
		answers:  make(chan answer, 64),
		waiting:  map[string]bool{}, expected: map[string]bool{},
		events: map[string]replies.Event{}, keyOf: map[string]string{}, told: make(chan struct{}),
	}
	for _, r := range s.requests {
		t.waiting[r.Key] = true
	}
	for key := range s.answers {
		t.expected[key] = true
	}
	return t
}

func (t *telling) onAttempt(r worker.Report) { tellOf(t, t.attempts, r) }

func (t *telling) onReply(e replies.Event) error {
	tellOf(t, t.replies, e)
	return nil
}

// tellOf hands something to the one who tells the story, as long as it is told.
func tellOf[T any](t *telling, to chan<- T, what T) {
	select {
	case to <- what:
	case <-t.told:
	}
}

func (t *telling) say(format string, args ...any) {
	// Nobody is left to be told of an error of standard output.
	_, _ = fmt.Fprintf(t.out, "%5.1f s  %s\n", time.Since(t.start).Seconds(), fmt.Sprintf(format, args...))
}

func (t *telling) end(key string)         { delete(t.waiting, key) }
func (t *telling) expectReply(key string) { t.expected[key] = true }
func (t *telling) finished() bool         { return len(t.waiting) == 0 && len(t.expected) == 0 }

// open is the error that names what has not come to its end.
func (t *telling) open() error {
	var parts []string
	if len(t.waiting) > 0 {
		parts = append(parts, "messages: "+strings.Join(slices.Sorted(maps.Keys(t.waiting)), ", "))
	}
	if len(t.expected) > 0 {
		parts = append(parts, "replies to: "+strings.Join(slices.Sorted(maps.Keys(t.expected)), ", "))
	}
	return fmt.Errorf("still open: %s", strings.Join(parts, "; "))
}

func (t *telling) tellAttempt(r worker.Report) {
	key := quote(r.Key)
	switch {
	case r.State == ledger.Sent:
		t.say("%s is delivered%s: Intercom created message %s.", key, onAttempt(r.Attempt), r.MessageID)
		t.end(r.Key)
	case r.State == ledger.Waiting && r.Outcome == worker.KindContactMissing:
		t.say("%s has to wait: %d %s, so the contact is not there yet. Next try in %s.",
			key, r.Error.Status, r.Error.Message, until(r.NextAttemptAt))
	case r.State == ledger.Waiting:
		t.say("%s was not sent (%s). Next try in %s.", key, errorText(r.Error), until(r.NextAttemptAt))
	case r.State == ledger.Uncertain:
		t.say("%s may or may not have been created (%s).", key, errorText(r.Error))
	case r.State == ledger.Failed:
		t.say("%s is refused by Intercom for good: %s. It is kept as failed.", key, errorText(r.Error))
		t.end(r.Key)
	default:
		t.say("%s is %s.", key, r.State)
		t.end(r.Key)
	}
}

func (t *telling) tellReply(e replies.Event) {
	t.say("The reply is matched to %s: conversation %s, %smessage %s.", quote(e.Key), e.ConversationID, metadataText(e.Metadata), e.MessageID)
	t.events[e.Key] = e
	delete(t.expected, e.Key)
}

// answerLater lets the contact think before it answers.
func (t *telling) answerLater(ctx context.Context, st *stack.Stack, messageID, text string) {
	time.AfterFunc(thinkingTime, func() {
		info, err := st.Fake.Reply(ctx, messageID, text)
		if ctx.Err() == nil {
			tellOf(t, t.answers, answer{info: info, text: text, err: err})
		}
	})
}

// summary prints a table of the messages.
func (t *telling) summary(ctx context.Context, p *enqueue.Client) {
	fmt.Fprintln(t.out)
	w := tabwriter.NewWriter(t.out, 0, 8, 2, ' ', 0)
	fmt.Fprintln(w, "KEY\tSTATE\tATTEMPTS\tMESSAGE\tCONVERSATION\tREPLY")
	for _, req := range t.script.requests {
		r, err := p.Get(ctx, req.Key)
		if err != nil {
			fmt.Fprintf(w, "%s\tnot enqueued\t\t\t\t\n", req.Key)
			continue
		}
		reply := ""
		if e, ok := t.events[req.Key]; ok {
			reply = fmt.Sprintf("%q", e.Text)
		}
		fmt.Fprintf(w, "%s\t%s\t%d\t%s\t%s\t%s\n", r.Key, r.State, r.Attempts, orDash(r.MessageID), orDash(r.ConversationID), reply)
	}
	_ = w.Flush() // See say.
}

func quote(key string) string { return fmt.Sprintf("%q", key) }

func onAttempt(n int) string {
	if n == 1 {
		return " at once"
	}
	return fmt.Sprintf(" on attempt %d", n)
}

func until(t time.Time) string {
	return fmt.Sprintf("%.1f s", max(time.Until(t).Seconds(), 0))
}

func errorText(e *ledger.Error) string {
	if e == nil {
		return "unknown"
	}
	if e.Status == 0 {
		return e.Message
	}
	return fmt.Sprintf("%d %s", e.Status, e.Message)
}

func metadataText(m map[string]string) string {
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(m)) {
		fmt.Fprintf(&b, "our own %s=%s, ", name, m[name])
	}
	return b.String()
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}
