package ledger_test

import (
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/intercom-dispatch/intercom-dispatch/ledger"
)

func (w *world) decideAny(t *rapid.T) { w.decide(t, w.at(t, unsettled)) }

// decide goes on after Unsettled as a worker would: by the message's policy,
// after a look for the message, later, or never.
func (w *world) decide(t *rapid.T, pos *position) {
	m, a := pos.message, pos.attempt
	choices := []string{"look", "look again", "hold", "forget"}
	if m.policy == ledger.Resend {
		choices = append(choices, "resend", "resend")
	}
	if a.Verdict == ledger.Refused {
		choices = []string{"look", "forget"}
	}
	var err error
	switch rapid.SampledFrom(choices).Draw(t, "decision") {
	case "look":
		f := ledger.Found{MessageID: w.anyID(t)}
		err = w.settle(t, m, f, true, func() error { return w.SettleAttempt(w.ctx, a, f) })
	case "look again":
		at := w.now.Add(time.Minute)
		_, _ = w.call(t, func() error { return w.LookAgain(w.ctx, a, at) })
		t.Logf("%s will look again, %s", pos, w.wire.fault)
		return
	case "hold":
		err = w.hold(t, pos)
	case "resend":
		w.leave(pos)
		w.begin(t, pos.worker, m, ownTask(m), pos.attempt.Number)
	}
	if !lost(err) {
		w.leave(pos)
	}
}

// ownTask is the task that owns the record: no other gets as far as Unsettled.
func ownTask(m *modelMessage) ledger.Task {
	task := m.task
	task.Enqueued = m.owner
	return task
}

func (w *world) hold(t *rapid.T, pos *position) error {
	answers, err := w.call(t, func() error { return w.Hold(w.ctx, pos.attempt) })
	t.Logf("%s holds, %s: %v", pos, w.wire.fault, answers)
	if len(answers) > 0 && answers[0][0] == string(ledger.Held) {
		require.Contains(t, []ledger.State{ledger.Uncertain, ledger.Held}, pos.message.state())
		if pos.message.state() == ledger.Uncertain {
			require.Equal(t, strconv.Itoa(pos.attempt.Number), pos.message.record["a"], "another attempt is held")
		}
	}
	return err
}

// anyID draws what a search by the text or a person's typing may come up with.
func (w *world) anyID(t *rapid.T) string {
	if len(w.ids) == 0 {
		t.SkipNow() // Nothing was created.
	}
	return rapid.SampledFrom(w.ids).Draw(t, "id").id
}

// search settles a message that was found in Intercom, or one that looks like
// it.
func (w *world) search(t *rapid.T) {
	m := rapid.SampledFrom(w.messages).Draw(t, "message")
	f := ledger.Found{MessageID: w.anyID(t), ConversationID: "conversation"}
	_ = w.settle(t, m, f, true, func() error { return w.Settle(w.ctx, w.recordOf(m), f) })
}

func (w *world) recordOf(m *modelMessage) *ledger.Record {
	return &ledger.Record{Key: m.task.Key, ContactIDs: m.task.ContactIDs}
}

func (w *world) settle(t *rapid.T, m *modelMessage, f ledger.Found, bySearch bool, run func() error) error {
	answers, err := w.call(t, run)
	t.Logf("%s is found as %s, by search %t, %s: %v", m.task.Key, f.MessageID, bySearch, w.wire.fault, answers)
	if len(answers) == 0 {
		return err
	}
	if len(answers) == 2 {
		require.Equal(t, answers[0], answers[1], "a repeated settling has another answer")
	}
	other := w.index[f.MessageID]
	switch answers[0][0] {
	case "taken":
		require.NotEmpty(t, other)
		require.NotEqual(t, m.task.Key, other)
		require.Equal(t, other, answers[0][1])
	case "settled":
		require.Contains(t, []string{"", m.task.Key}, other, "%s belongs to %s", f.MessageID, other)
		if other == m.task.Key && m.sent() {
			return err
		}
		if bySearch {
			require.True(t, m.inDoubt(), "every attempt at %s is settled", m.task.Key)
		} else {
			require.NotContains(t, []ledger.State{ledger.Sending, ledger.Waiting}, m.state())
		}
		m.mistaken = m.mistaken || !slices.Contains(m.created, f.MessageID)
		w.identified(m, f.MessageID)
	case "refused":
		require.True(t, !bySearch || !m.inDoubt(), "%s is looked for", m.task.Key)
	case "gone":
		require.Empty(t, m.state())
	}
	return err
}

// person does what the commands do.
func (w *world) person(t *rapid.T) {
	m := rapid.SampledFrom(w.messages).Draw(t, "message")
	r := w.recordOf(m)
	command := rapid.SampledFrom([]string{"cancel", "drop", "reopen", "resolve", "run again"}).Draw(t, "command")
	var run func() error
	switch command {
	case "cancel":
		run = func() error { return w.Cancel(w.ctx, m.task) }
	case "drop":
		run = func() error { return w.Drop(w.ctx, r) }
	case "reopen":
		run = func() error { return w.Reopen(w.ctx, r) }
	case "resolve":
		f := ledger.Found{MessageID: w.anyID(t)}
		_ = w.settle(t, m, f, false, func() error { return w.Resolve(w.ctx, r, f) })
		return
	case "run again":
		if m.state() != ledger.Failed {
			t.SkipNow() // It has not failed.
		}
		m.decided = true
		w.begin(t, rapid.SampledFrom(w.workers).Draw(t, "worker"), m, ownTask(m), 0)
		return
	}
	answers, _ := w.call(t, run)
	t.Logf("a person: %s %s, %s: %v", command, m.task.Key, w.wire.fault, answers)
	if len(answers) == 2 {
		require.Equal(t, answers[0], answers[1], "a repeated command has another answer")
	}
	if len(answers) == 0 {
		return
	}
	switch s := ledger.State(answers[0][0]); {
	case command == "reopen" && s == ledger.Waiting:
		m.decided = true
		m.timeless, m.late = m.timeless || m.late, false
	case command != "reopen" && s == ledger.Cancelled:
		m.cancelled, m.late = true, false
		if m.owner == "" {
			m.owner = m.task.Enqueued
		}
	}
}

// workerAny starts and ends workers.
func (w *world) workerAny(t *rapid.T) {
	p := rapid.SampledFrom(w.workers).Draw(t, "worker")
	switch what := rapid.SampledFrom([]string{"crash", "declared dead", "heartbeat", "reap"}).Draw(t, "what"); what {
	case "crash":
		t.Logf("%s crashes", p.id())
		w.open = slices.DeleteFunc(w.open, func(pos *position) bool { return pos.worker == p })
		w.dead = append(w.dead, p.id())
		p.life++
		w.enroll(t, p)
	case "declared dead":
		t.Logf("%s is declared dead, and goes on", p.id())
		w.remove(t, p.id())
	case "heartbeat":
		t.Logf("%s is there", p.id())
		w.enroll(t, p)
	case "reap":
		t.Logf("the dead are removed: %v", w.dead)
		w.reap(t)
	}
}

func (w *world) reap(t *rapid.T) {
	for _, id := range w.dead {
		w.remove(t, id)
	}
	w.dead = nil
}

func (w *world) remove(t *rapid.T, worker string) {
	require.NoError(t, w.rdb.HDel(w.ctx, ledger.WorkersKey(w.Workspace()), worker).Err())
	delete(w.there, worker)
}

func (w *world) clockJumps(t *rapid.T) {
	by := time.Duration(rapid.SampledFrom([]int{1, 5, -1, 20, -20}).Draw(t, "minutes")) * time.Minute
	w.now = w.now.Add(by)
	t.Logf("the clock jumps by %s", by)
}

// reply is a notification of a contact's answer to a message that is known to
// be sent, or is not.
func (w *world) reply(t *rapid.T) {
	id := w.anyID(t)
	key, want := w.index[id], "1"
	if key == "" {
		m := w.ids[slices.IndexFunc(w.ids, func(c createdMessage) bool { return c.id == id })].message
		if m.sent() {
			t.SkipNow() // Its id is looked for first.
		}
		key, want = m.task.Key, "-1"
	}
	part := id + "/" + rapid.SampledFrom([]string{"p1", "p2"}).Draw(t, "part")
	answers, _ := w.call(t, func() error {
		_, err := w.Replied(w.ctx, ledger.Reply{Key: key, MessageID: id, ConversationID: "613", PartID: part, At: w.now})
		return err
	})
	t.Logf("a contact replies to %s in %s, %s: %v", key, part, w.wire.fault, answers)
	if len(answers) == 0 {
		return
	}
	if w.parts[part] {
		want = "0"
	}
	if want == "1" {
		w.parts[part] = true
	}
	for _, answer := range answers {
		require.Equal(t, want, answer[0], "whether %s was new", part)
	}
}

// finish lets the living end what they have begun, removes the dead, and
// delivers each task until nothing is left to do.
func (w *world) finish(t *rapid.T) {
	t.Log("the end: no more faults")
	w.calm = true
	for len(w.open) > 0 {
		w.check(t)
		pos := w.open[0]
		switch pos.stage {
		case begun:
			w.send(t, pos, createdKnown)
		case answered:
			w.commit(t, pos)
		case unanswered:
			w.abandon(t, pos)
		case unsettled:
			w.leave(pos)
		}
	}
	w.reap(t)
	last := &modelWorker{name: "last"}
	w.enroll(t, last)
	for _, m := range w.messages {
		w.check(t)
		for n := 0; w.deliver(t, last, m); n++ {
			require.Less(t, n, 20, "%s comes to no end", m.task.Key)
			w.check(t)
		}
	}
	w.check(t)
	for _, m := range w.messages {
		w.checkEnd(t, m)
	}
}

// deliver is a run of the message's task by a worker that has nothing but
// luck. It tells whether the task comes back.
func (w *world) deliver(t *rapid.T, p *modelWorker, m *modelMessage) (again bool) {
	if m.state() == ledger.Failed {
		return false
	}
	task := m.task
	if m.owner != "" {
		task = ownTask(m)
	}
	settled := 0
	if m.state() == ledger.Uncertain && m.policy == ledger.Resend {
		settled = len(m.tries)
	}
	before := len(w.open)
	w.begin(t, p, m, task, settled)
	if len(w.open) == before {
		// Another attempt may have its lease still.
		w.check(t)
		if m.state() == ledger.Sending && !w.server.Real() {
			w.now = m.lastTry().until
			return true
		}
		return false
	}
	pos := w.open[before]
	w.check(t)
	switch pos.stage {
	case begun:
		w.send(t, pos, createdKnown)
		w.commit(t, pos)
	case answered:
	case unanswered:
		w.abandon(t, pos)
	case unsettled:
		w.leave(pos)
		if pos.attempt.Unidentified() {
			return false
		}
		if m.policy == ledger.Hold {
			_ = w.hold(t, pos)
		}
	}
	return true
}

// checkEnd tells whether a message has come to an end, for a reason.
func (w *world) checkEnd(t *rapid.T, m *modelMessage) {
	what := fmt.Sprintf("%s is %s", m.task.Key, m.state())
	switch m.state() {
	case ledger.Sent, ledger.Replied:
	case ledger.Failed:
		require.True(t, m.refused, what)
	case ledger.Held:
		require.True(t, m.inDoubt(), what)
	case ledger.Expired:
		require.True(t, m.expired, what)
	case ledger.Cancelled:
		require.True(t, m.cancelled, what)
	case ledger.Queued, ledger.Sending, ledger.Waiting, ledger.Uncertain, "":
		require.Fail(t, "a message is lost", what)
	}
}
