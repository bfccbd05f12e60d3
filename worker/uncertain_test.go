package worker_test

import (
	"testing"
	"time"

	"github.com/hibiken/asynq"
	"github.com/stretchr/testify/require"

	"github.com/intercom-dispatch/intercom-dispatch/enqueue"
	"github.com/intercom-dispatch/intercom-dispatch/intercom/intercomtest"
	"github.com/intercom-dispatch/intercom-dispatch/internal/redistest"
	"github.com/intercom-dispatch/intercom-dispatch/internal/task"
	"github.com/intercom-dispatch/intercom-dispatch/ledger"
	"github.com/intercom-dispatch/intercom-dispatch/worker"
)

// lostAnswers are the ways in which nobody can tell whether the message was
// created, with whether it was.
var lostAnswers = map[string]struct {
	fault   intercomtest.Fault
	created bool
	code    string
}{
	"cut-before": {intercomtest.Fault{Cut: intercomtest.CutBeforeCreate}, false, "no_answer"},
	"cut-after":  {intercomtest.Fault{Cut: intercomtest.CutAfterCreate}, true, "no_answer"},
	"500-before": {intercomtest.Fault{Status: 500}, false, "server_error"},
	"500-after":  {intercomtest.Fault{Status: 500, AfterCreate: true}, true, "server_error"},
	"502-before": {intercomtest.Fault{Status: 502, Body: "<html>Bad Gateway</html>"}, false, "http_502"},
	"502-after":  {intercomtest.Fault{Status: 502, Body: "<html>Bad Gateway</html>", AfterCreate: true}, true, "http_502"},
	"slow":       {intercomtest.Fault{Latency: time.Minute}, false, "no_answer"},
	"slow-after": {intercomtest.Fault{Latency: time.Minute, AfterCreate: true}, true, "no_answer"},
}

func impatient(c *worker.Config) { c.RequestTimeout = 500 * time.Millisecond }

func holding(c *worker.Config) { c.IfUncertain = ledger.Hold }

func TestWithHoldALostAnswerIsNeverFollowedByASecondRequest(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, b *bundle) {
		t.Helper()
		for key, lost := range lostAnswers {
			lost.fault.Times = 1 // A second request would create the message.
			b.fail(key, lost.fault)
			b.enqueue(key)
		}
		b.run(impatient, holding)
		for key, lost := range lostAnswers {
			r := b.waitState(key, ledger.Held)
			require.Equal(t, lost.code, r.LastError.Code)
			require.NotEmpty(t, r.Payload, "a person could not send it")
			require.Zero(t, r.NextAttemptAt)
			require.Equal(t, 1, r.Attempts)
			require.Contains(t, b.waitTask(key, asynq.TaskStateArchived).LastErr, "held")
		}
		held, err := b.ledger.List(t.Context(), ledger.Query{State: ledger.Held, Limit: 100})
		require.NoError(t, err)
		require.Len(t, held, len(lostAnswers))

		// Not even when somebody runs the tasks again without having decided.
		n, err := b.inspector.RunAllArchivedTasks(task.Queue("main", task.Normal))
		require.NoError(t, err)
		require.Equal(t, len(lostAnswers), n)
		for key, lost := range lostAnswers {
			b.waitTask(key, asynq.TaskStateArchived)
			require.Len(t, b.requests(key), 1, key)
			require.Equal(t, lost.created, len(b.created(key)) == 1, key)
		}
	})
}

func TestWithResendALostAnswerIsFollowedByOneMoreMessage(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, b *bundle) {
		t.Helper()
		for key, lost := range lostAnswers {
			lost.fault.Times = 1
			b.fail(key, lost.fault)
			b.enqueue(key, enqueue.IfUncertain(enqueue.Resend))
		}
		b.run(impatient, holding)
		for key, lost := range lostAnswers {
			r := b.waitState(key, ledger.Sent)
			require.True(t, r.PossibleDuplicate, key)
			require.Equal(t, 2, r.Attempts, key)
			require.Nil(t, r.LastError)
			created := b.created(key)
			require.Equal(t, created[len(created)-1].ID, r.MessageID, key)
			require.Len(t, b.requests(key), 2, key)
			require.Equal(t, lost.created, len(created) == 2, key)
			requireGaps(t, b, key, time.Second/2)
		}
	})
}

func TestResendIsTheDefaultAndAMessageMayHold(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, b *bundle) {
		t.Helper()
		for _, key := range []string{"default", "held"} {
			b.fail(key, intercomtest.Fault{Cut: intercomtest.CutAfterCreate, Times: 1})
		}
		b.run()
		b.enqueue("default")
		b.enqueue("held", enqueue.IfUncertain(enqueue.Hold))
		b.waitState("held", ledger.Held)
		b.waitState("default", ledger.Sent)
		require.Len(t, b.created("default"), 2)
		require.Len(t, b.created("held"), 1)
	})
}

// TestAnUnusableAnswerIsSentWithoutAnID covers what was certainly created.
func TestAnUnusableAnswerIsSentWithoutAnID(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, b *bundle) {
		t.Helper()
		answers := map[string]intercomtest.Fault{
			"cut":     {Cut: intercomtest.CutInBody},
			"no-json": {Status: 200, AfterCreate: true, Body: "<p>" + text + "</p>"},
			"no-id":   {Status: 200, AfterCreate: true, Body: `{"type":"admin_message","body":"` + text + `"}`},
			"odd-id":  {Status: 200, AfterCreate: true, Body: `{"id":["` + text + `"]}`},
			"empty":   {Status: 200, AfterCreate: true, NoBody: true},
		}
		for key, f := range answers {
			b.fail(key, f)
			b.enqueue(key)
		}
		b.run()
		for key := range answers {
			r := b.waitState(key, ledger.Sent)
			require.Empty(t, r.MessageID, key)
			require.Equal(t, "unusable_answer", r.LastError.Code, key)
			require.NotEmpty(t, r.Payload, "its conversation may be found by what it says: "+key)
			b.waitGone(key)
			require.Len(t, b.created(key), 1, key)
			require.Len(t, b.requests(key), 1, key)
		}
	})
}

// TestResendIsGivenUpInTheEnd plays a message at which Intercom breaks down
// each time: to create another copy of it for ever would be worse than to ask.
func TestResendIsGivenUpInTheEnd(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, b *bundle) {
		t.Helper()
		b.fail("ada", intercomtest.Fault{Status: 500, AfterCreate: true})
		reports := make(chan worker.Report, 10)
		b.run(func(c *worker.Config) {
			c.GiveUpAfter = 2 * time.Second
			c.OnAttempt = func(r worker.Report) { reports <- r }
		})
		b.enqueue("ada")
		r := b.waitState("ada", ledger.Held)
		require.Equal(t, "server_error", r.LastError.Code)
		require.Contains(t, r.LastError.Message, "given up after")
		require.NotEmpty(t, r.Payload)
		b.waitTask("ada", asynq.TaskStateArchived)
		require.Len(t, b.requests("ada"), r.Attempts)
		var last worker.Report
		for range r.Attempts {
			last = <-reports
		}
		require.Equal(t, ledger.Held, last.State, "a report says where the message stands")
	})
}

// TestALostRecordDoesNotLoseTheMessage plays a Redis that forgets the record
// while its request is under way, as a failover to a lagging replica does.
func TestALostRecordDoesNotLoseTheMessage(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, b *bundle) {
		t.Helper()
		faults := map[string]intercomtest.Fault{
			"sent":    {Latency: 2 * time.Second, Times: 1},
			"waiting": {Latency: 2 * time.Second, Status: 503, Times: 1},
			"held":    {Latency: 2 * time.Second, Status: 500, AfterCreate: true, Times: 1},
		}
		for key, f := range faults {
			b.fail(key, f)
			b.enqueue(key, enqueue.IfUncertain(enqueue.Hold))
		}
		b.run()
		for key := range faults {
			b.waitState(key, ledger.Sending)
			require.NoError(t, b.rdb.Del(t.Context(), ledger.RecordKey("main", key)).Err())
		}
		require.NotEmpty(t, b.waitState("sent", ledger.Sent).MessageID)
		b.waitState("waiting", ledger.Sent)
		require.Contains(t, b.waitTask("held", asynq.TaskStateArchived).LastErr, "held")
		for key := range faults {
			require.Len(t, b.created(key), 1, key)
		}
		require.Len(t, b.requests("held"), 1)
	})
}

// TestIntercomsWordsAreKept makes sure that the search for leaks
// would find one: Intercom's own words are kept.
func TestIntercomsWordsAreKept(t *testing.T) {
	t.Parallel()
	b := setup(t, redistest.Mini(t))
	b.fail("ada", intercomtest.Fault{Status: 422, Body: listing("c", "says Intercom")})
	b.run()
	b.enqueue("ada")
	b.waitState("ada", ledger.Failed)
	b.waitTask("ada", asynq.TaskStateArchived)
	require.NotEmpty(t, b.holding("says Intercom"))
	tasks := b.tasks()
	require.Len(t, tasks, 1)
	require.Contains(t, tasks[0].LastErr, "says Intercom")
}
