package worker_test

import (
	"testing"
	"time"

	"github.com/hibiken/asynq"
	"github.com/stretchr/testify/require"

	"github.com/intercom-dispatch/intercom-dispatch/intercom"
	"github.com/intercom-dispatch/intercom-dispatch/intercom/intercomtest"
	"github.com/intercom-dispatch/intercom-dispatch/internal/task"
	"github.com/intercom-dispatch/intercom-dispatch/ledger"
	"github.com/intercom-dispatch/intercom-dispatch/worker"
)

func noContactWait(c *worker.Config) { c.ContactWait = new(time.Duration) }

// listing is Intercom's error list with one entry.
func listing(code, message string) string {
	return `{"type":"error.list","request_id":"req-7","errors":[{"code":"` + code + `","message":"` + message + `"}]}`
}

func TestWhatIntercomRefusesFailsAndIsKeptForAnOperator(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, b *bundle) {
		t.Helper()
		b.fail("422", intercomtest.Fault{Status: 422, Body: listing("parameter_not_found", "No such thing")})
		b.fail("400", intercomtest.Fault{Status: 400, Body: listing("parameter_invalid", "Wrong thing")})
		b.AddContact(intercomtest.Contact{ID: "linus", UnsubscribedFromEmails: true})
		b.run()
		b.enqueue("422")
		b.enqueue("400")
		b.enqueueMessage("403", email("linus"))
		unknownAdmin := inApp("ada")
		unknownAdmin.From = intercom.FromAdmin(99)
		b.enqueueMessage("404", unknownAdmin)

		want := map[string]ledger.Error{
			"422": {Code: "parameter_not_found", Message: "No such thing", Status: 422, RequestID: "req-7"},
			"400": {Code: "parameter_invalid", Message: "Wrong thing", Status: 400, RequestID: "req-7"},
			"403": {Code: "forbidden", Message: "Contact has unsubscribed from emails", Status: 403},
			"404": {Code: "not_found", Message: "Resource Not Found", Status: 404},
		}
		for key, cause := range want {
			r := b.waitState(key, ledger.Failed)
			require.NotEmpty(t, r.LastError.RequestID)
			if cause.RequestID == "" {
				r.LastError.RequestID = ""
			}
			require.Equal(t, cause, *r.LastError)
			require.Equal(t, 1, r.Attempts)
			require.NotEmpty(t, r.Payload)
			require.Contains(t, b.waitTask(key, asynq.TaskStateArchived).LastErr, cause.Code+": "+cause.Message)
		}
		failed, err := b.ledger.List(t.Context(), ledger.Query{State: ledger.Failed, Limit: 10})
		require.NoError(t, err)
		require.Len(t, failed, 4)
		require.Empty(t, b.Created())
		require.Len(t, b.Requests(), 4)
	})
}

func TestAFailedMessageIsSentWhenAnOperatorRunsItAgain(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, b *bundle) {
		t.Helper()
		b.fail("ada", intercomtest.Fault{Status: 422, Times: 1})
		b.run()
		b.enqueue("ada")
		b.waitState("ada", ledger.Failed)
		b.waitTask("ada", asynq.TaskStateArchived)
		require.NoError(t, b.inspector.RunTask(task.Queue("main", task.Normal), "ada"))
		sent := b.waitState("ada", ledger.Sent)
		require.Equal(t, 2, sent.Attempts)
		require.Empty(t, sent.Payload, "a sent message needs its text no more")
		require.False(t, sent.PossibleDuplicate)
		require.Len(t, b.created("ada"), 1)
		failed, err := b.ledger.List(t.Context(), ledger.Query{State: ledger.Failed, Limit: 10})
		require.NoError(t, err)
		require.Empty(t, failed)
	})
}

func TestATaskThatCannotBeReadIsKeptWithoutItsText(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, b *bundle) {
		t.Helper()
		b.run()
		client := asynq.NewClientFromRedisClient(b.rdb)
		for id, tt := range map[string]struct {
			payload string
			want    asynq.TaskState
		}{
			"no-json": {text, asynq.TaskStateArchived},
			// A newer version may have written these, and a newer worker come.
			"wrong-type": {`{"token":"t","message":{"message_type":"in_app","body":["` + text + `"]}}`, asynq.TaskStateRetry},
			"unknown":    {`{"token":"t","message":{"emoji":"` + text + `"}}`, asynq.TaskStateRetry},
			"nothing":    {`{"token":"t"}`, asynq.TaskStateRetry},
		} {
			_, err := client.Enqueue(asynq.NewTask(task.TypeMessage, []byte(tt.payload)),
				asynq.TaskID(id), asynq.Queue(task.Queue("main", task.Normal)), asynq.MaxRetry(task.MaxRetry))
			require.NoError(t, err)
			b.waitTask(id, tt.want)
		}
		require.Empty(t, b.Requests())
	})
}
