package ledger_test

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/intercom-dispatch/intercom-dispatch/ledger"
)

// intercomOutcome is what became of a request, and what the worker was told.
type intercomOutcome string

const (
	createdKnown    intercomOutcome = "created"
	createdUnusable intercomOutcome = "created, answer unusable"
	createdUnknown  intercomOutcome = "created, answer lost"
	notKnown        intercomOutcome = "not created, answer lost"
	notCreated      intercomOutcome = "not created"
	refusedForGood  intercomOutcome = "refused"
)

const modelLease = 45 * time.Second

// beginAny lets any worker have any task: asynq may deliver a task to two, and
// again when it is done.
func (w *world) beginAny(t *rapid.T) {
	p := rapid.SampledFrom(w.workers).Draw(t, "worker")
	m := rapid.SampledFrom(w.messages).Draw(t, "message")
	if !w.delivers(m) {
		t.SkipNow() // The task is archived.
	}
	task := m.task
	if rapid.IntRange(0, 9).Draw(t, "enqueueing") == 9 {
		task.Enqueued = task.Key + "-second"
	}
	w.begin(t, p, m, task, 0)
}

// delivers tells whether asynq has the message's task, which it archives where
// the message has failed. A task that is held may come twice.
func (w *world) delivers(m *modelMessage) bool { return m.state() != ledger.Failed }

func (w *world) begin(t *rapid.T, p *modelWorker, m *modelMessage, task ledger.Task, settled int) {
	o := ledger.BeginOptions{Lease: modelLease, Worker: p.id(), ExpiresAt: m.expires, Settled: settled}
	if p.leases {
		o.Worker = ""
	}
	var a *ledger.Attempt
	answers, err := w.call(t, func() (err error) {
		a, err = w.Begin(w.ctx, task, o)
		return err
	})
	t.Logf("%s begins %s of %s, settled %d, %s: %v", p.id(), m.task.Key, task.Enqueued, settled, w.wire.fault, answers)
	pos := &position{worker: p, message: m, attempt: a}
	for _, answer := range answers {
		w.began(t, pos, task, o, answer)
	}
	for _, answer := range answers {
		if settled == 0 {
			require.Equal(t, answers[0][0], answer[0], "a repeated begin has another answer")
		}
	}
	switch {
	case lost(err):
		pos.stage = unanswered
	case a.Verdict == ledger.Begun:
		pos.stage = begun
	case a.Verdict == ledger.Unsettled || a.Unidentified():
		pos.stage = unsettled
	default:
		return
	}
	w.open = append(w.open, pos)
}

// began checks one answer to a begin against what is the case.
func (w *world) began(t *rapid.T, pos *position, task ledger.Task, o ledger.BeginOptions, answer []string) {
	m, verdict := pos.message, ledger.Verdict(answer[0])
	if m.owner == "" {
		m.owner = task.Enqueued
	}
	if m.sent() {
		require.Equal(t, ledger.Refused, verdict, "%s was sent", task.Key)
	}
	switch verdict {
	case ledger.Begun:
		if pos.try != nil {
			return // It is the repeat.
		}
		require.Equal(t, m.owner, task.Enqueued, "%s belongs to another enqueueing", task.Key)
		require.NotContains(t, []ledger.State{ledger.Held, ledger.Cancelled, ledger.Expired}, m.state())
		if m.state() == ledger.Uncertain {
			require.Equal(t, len(m.tries), o.Settled, "%s may have been created", task.Key)
		}
		if last := m.lastTry(); last != nil && !last.closed {
			require.False(t, w.underWay(last), "%s has an attempt of %s under way", task.Key, last.worker)
		}
		pos.try = &try{worker: o.Worker, until: w.now.Add(o.Lease)}
		m.tries = append(m.tries, pos.try)
	case ledger.Unsettled:
		last := m.lastTry()
		require.NotNil(t, last)
		require.False(t, !last.closed && w.underWay(last), "%s has an attempt of %s under way", task.Key, last.worker)
		last.closed, last.doubt = true, true
	case ledger.Busy:
		last := m.lastTry()
		require.True(t, last != nil && !last.closed && w.underWay(last), "nobody is busy with %s", task.Key)
	case ledger.Follow:
		require.Fail(t, "no contact is missing here")
	case ledger.Superseded:
		require.NotEqual(t, m.owner, task.Enqueued)
	case ledger.Refused:
		if s := ledger.State(answer[1]); m.state() != s && (s == ledger.Expired || s == ledger.Held) {
			require.False(t, o.ExpiresAt.IsZero() || o.ExpiresAt.After(w.now), "%s has not expired", task.Key)
			require.False(t, m.timeless, "%s expires again", task.Key)
			m.expired, m.late = true, true
		}
	}
}

func (m *modelMessage) lastTry() *try {
	if len(m.tries) == 0 {
		return nil
	}
	return m.tries[len(m.tries)-1]
}

// underWay tells whether the worker of an attempt counts as there.
func (w *world) underWay(y *try) bool {
	if y.worker != "" {
		return w.there[y.worker]
	}
	return w.now.Before(y.until)
}

// at draws one of the positions at a stage.
func (w *world) at(t *rapid.T, s stage) *position {
	var there []*position
	for _, p := range w.open {
		if p.stage == s {
			there = append(there, p)
		}
	}
	if len(there) == 0 {
		t.SkipNow() // Nobody is there.
	}
	return rapid.SampledFrom(there).Draw(t, "position")
}

func (w *world) leave(pos *position) {
	w.open = slices.DeleteFunc(w.open, func(p *position) bool { return p == pos })
}

func (w *world) sendAny(t *rapid.T) {
	pos := w.at(t, begun)
	w.send(t, pos, rapid.SampledFrom([]intercomOutcome{
		createdKnown, createdUnusable, createdUnknown, notKnown, notCreated, refusedForGood,
	}).Draw(t, "outcome"))
}

func (w *world) send(t *rapid.T, pos *position, o intercomOutcome) {
	pos.stage, pos.outcome = answered, o
	if o == createdKnown || o == createdUnusable || o == createdUnknown {
		pos.id = fmt.Sprintf("id%d", len(w.ids)+1)
		w.ids = append(w.ids, createdMessage{pos.id, pos.message})
		pos.message.created = append(pos.message.created, pos.id)
	}
	t.Logf("%s: %s %s", pos, o, pos.id)
}

func (w *world) commitAny(t *rapid.T) { w.commit(t, w.at(t, answered)) }

// commitAgain repeats what a worker has committed long ago.
func (w *world) commitAgain(t *rapid.T) {
	if len(w.done) == 0 {
		t.SkipNow() // Nothing is committed.
	}
	again := *rapid.SampledFrom(w.done).Draw(t, "position")
	w.commit(t, &again)
}

func (w *world) commit(t *rapid.T, pos *position) {
	var err error
	if pos.outcome == createdKnown || pos.outcome == createdUnusable {
		err = w.commitSent(t, pos)
	} else {
		err = w.commitOther(t, pos)
	}
	if lost(err) {
		return
	}
	if slices.Contains(w.open, pos) {
		w.done = append(w.done, pos)
	}
	w.leave(pos)
	// A worker holds at once, and may look for the message instead.
	if err == nil && (pos.outcome == createdUnknown || pos.outcome == notKnown) && pos.message.policy == ledger.Hold {
		w.open = append(w.open, &position{worker: pos.worker, message: pos.message, attempt: pos.attempt, stage: unsettled})
	}
}

func (w *world) commitSent(t *rapid.T, pos *position) error {
	m, o := pos.message, ledger.SentOutcome{MessageID: pos.id}
	if pos.outcome == createdUnusable {
		o = ledger.SentOutcome{Error: &ledger.Error{Code: "unusable_answer"}}
	}
	answers, err := w.call(t, func() error { return w.CommitSent(w.ctx, pos.attempt, o) })
	t.Logf("%s commits that it is sent as %q, %s: %v", pos, o.MessageID, w.wire.fault, answers)
	taken := &ledger.TakenError{}
	if !lost(err) && !errors.As(err, &taken) {
		require.NoError(t, err, "a message that exists is never refused")
	}
	if len(answers) == 0 {
		return err
	}
	pos.try.closed = true
	if o.MessageID == "" {
		pos.try.doubt = pos.try.doubt || !m.sent()
		return onlyLost(err)
	}
	other := w.index[o.MessageID]
	if other == m.task.Key {
		other = ""
	}
	require.Equal(t, other, answers[0][0], "whose the id was")
	w.identified(m, o.MessageID)
	return onlyLost(err)
}

// onlyLost leaves of an error whether the answer was lost.
func onlyLost(err error) error {
	if lost(err) {
		return err
	}
	return nil
}

// identified notes that the ledger was told the id of a message.
func (w *world) identified(m *modelMessage, id string) {
	w.index[id] = m.task.Key
	if known := m.record["id"]; known != "" && known != id || m.record["pd"] == "1" {
		return // There may be another copy.
	}
	for _, y := range m.tries {
		y.doubt = false
	}
}

func (w *world) commitOther(t *rapid.T, pos *position) error {
	m := pos.message
	to := map[intercomOutcome]ledger.State{
		createdUnknown: ledger.Uncertain, notKnown: ledger.Uncertain, notCreated: ledger.Waiting, refusedForGood: ledger.Failed,
	}[pos.outcome]
	o := ledger.Outcome{State: to, Error: ledger.Error{Code: "x"}}
	answers, err := w.call(t, func() error { return w.Commit(w.ctx, pos.attempt, o) })
	t.Logf("%s commits %s, %s: %v", pos, to, w.wire.fault, answers)
	if len(answers) == 2 {
		require.Equal(t, answers[0], answers[1], "a repeated commit has another answer")
	}
	if len(answers) == 0 || answers[0][0] != "1" {
		return err
	}
	require.Same(t, pos.try, m.lastTry(), "the outcome of an attempt counts that another has come after")
	if m.state() != to {
		require.Contains(t, []ledger.State{ledger.Sending, ledger.Uncertain}, m.state())
		pos.try.closed, pos.try.doubt = true, to == ledger.Uncertain
		m.refused = m.refused || to == ledger.Failed
	}
	return err
}

func (w *world) abandonAny(t *rapid.T) { w.abandon(t, w.at(t, unanswered)) }

func (w *world) abandon(t *rapid.T, pos *position) {
	answers, err := w.call(t, func() error { return w.Abandon(w.ctx, pos.attempt) })
	t.Logf("%s abandons %s, %s: %v", pos.worker.id(), pos.message.task.Key, w.wire.fault, answers)
	if len(answers) > 0 && answers[0][0] == "1" {
		require.True(t, pos.try != nil && pos.try == pos.message.lastTry() && !pos.try.closed, "another attempt is abandoned")
		pos.try.closed = true
	}
	if !lost(err) {
		w.leave(pos)
	}
}
