package worker_test

import (
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/hibiken/asynq"
	"github.com/stretchr/testify/require"

	"github.com/intercom-dispatch/intercom-dispatch/enqueue"
	"github.com/intercom-dispatch/intercom-dispatch/intercom"
	"github.com/intercom-dispatch/intercom-dispatch/intercom/intercomtest"
	"github.com/intercom-dispatch/intercom-dispatch/ledger"
	"github.com/intercom-dispatch/intercom-dispatch/worker"
)

// closed returns an address on which nobody listens.
func closed(t *testing.T) string {
	t.Helper()
	var lc net.ListenConfig
	l, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, l.Close())
	return l.Addr().String()
}

// listen serves the fake on an address that was closed before.
func (b *bundle) listen(addr string) {
	b.t.Helper()
	var l net.Listener
	require.Eventually(b.t, func() bool {
		var lc net.ListenConfig
		var err error
		l, err = lc.Listen(b.t.Context(), "tcp", addr)
		return err == nil
	}, patience, 10*time.Millisecond)
	s := &httptest.Server{Listener: l, Config: &http.Server{Handler: b.Server, ReadHeaderTimeout: patience}}
	s.Start()
	b.t.Cleanup(s.Close)
}

func TestWhatDidNotReachIntercomIsSentOnceItIsBack(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, b *bundle) {
		t.Helper()
		addr := closed(t)
		b.run(func(c *worker.Config) { c.Intercom = b.connect("http://" + addr) })
		b.enqueue("ada", enqueue.IfUncertain(enqueue.Hold))
		r := b.waitState("ada", ledger.Waiting)
		require.Equal(t, "not_reached", r.LastError.Code)
		require.Contains(t, r.LastError.Message, "connection refused")
		require.Zero(t, b.waitTask("ada", asynq.TaskStateRetry).Retried)
		b.listen(addr)
		r = b.waitState("ada", ledger.Sent)
		require.GreaterOrEqual(t, r.Attempts, 2)
		require.False(t, r.PossibleDuplicate)
		require.Len(t, b.created("ada"), 1)
		require.Len(t, b.requests("ada"), 1)
	})
}

func TestServiceUnavailableBacksOffAndIsSentOnce(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, b *bundle) {
		t.Helper()
		b.fail("ada", intercomtest.Fault{Status: 503, Times: 2})
		b.run()
		b.enqueue("ada", enqueue.IfUncertain(enqueue.Hold))
		r := b.waitState("ada", ledger.Sent)
		require.Equal(t, 3, r.Attempts)
		require.False(t, r.PossibleDuplicate)
		require.Len(t, b.created("ada"), 1)
		// The jitter takes off a half at the most.
		requireGaps(t, b, "ada", time.Second/2, time.Second)
	})
}

func TestWhatIsNotTakenForTooLongIsGivenUp(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, b *bundle) {
		t.Helper()
		b.fail("ada", intercomtest.Fault{Status: 503})
		b.run(func(c *worker.Config) { c.GiveUpAfter = time.Second })
		b.enqueue("ada")
		r := b.waitState("ada", ledger.Failed)
		require.Contains(t, r.LastError.Message, "given up after")
		require.Equal(t, "service_unavailable", r.LastError.Code)
		require.NotEmpty(t, r.Payload)
		b.waitTask("ada", asynq.TaskStateArchived)
		require.Empty(t, b.Created())
	})
}

func TestWithoutATokenMessagesWaitUnharmed(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, b *bundle) {
		t.Helper()
		client, err := intercom.New(intercom.Config{Token: intercom.StaticToken(""), BaseURL: b.url})
		require.NoError(t, err)
		t.Cleanup(client.Close)
		b.run(func(c *worker.Config) { c.Intercom, c.GiveUpAfter = client, time.Millisecond })
		b.enqueue("ada")
		r := b.waitState("ada", ledger.Waiting)
		require.Equal(t, "no_token", r.LastError.Code)
		require.Empty(t, b.Requests())
	})
}
