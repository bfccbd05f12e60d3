package demo_test

import (
	"bytes"
	"context"
	"errors"
	"regexp"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/intercom-dispatch/intercom-dispatch/enqueue"
	"github.com/intercom-dispatch/intercom-dispatch/intercom"
	"github.com/intercom-dispatch/intercom-dispatch/internal/demo"
	"github.com/intercom-dispatch/intercom-dispatch/internal/stack"
	"github.com/intercom-dispatch/intercom-dispatch/ledger"
)

// inApp is a message from one of the caller's own admins.
func inApp(contact string) *intercom.Message {
	return &intercom.Message{
		MessageType: intercom.InApp, Body: "Hello " + contact, From: intercom.FromAdmin(394051), To: intercom.ToUser(contact),
	}
}

// requireInOrder asserts that the patterns match one after the other.
func requireInOrder(t *testing.T, story string, patterns ...string) {
	t.Helper()
	rest := story
	for _, p := range patterns {
		at := regexp.MustCompile(p).FindStringIndex(rest)
		require.NotNil(t, at, "%s is not told in its place:\n%s", p, story)
		rest = rest[at[1]:]
	}
}

func TestTheBuiltInStoryIsToldToItsEnd(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	core, logs := observer.New(zap.DebugLevel)
	start := time.Now()
	require.NoError(t, demo.Run(t.Context(), demo.Config{
		Out: &out, Log: zap.New(core), Metrics: prometheus.NewRegistry(),
	}))
	require.Less(t, time.Since(start), 20*time.Second)
	story := out.String()
	requireInOrder(t, story, `Enqueueing 5 messages`,
		`"newcomer" has to wait: 404 User Not Found`, `"newcomer" is delivered on attempt \d: Intercom created message \d+`, `KEY +STATE`)
	requireInOrder(t, story, `"newsletter" is refused by Intercom for good: 403 Contact has unsubscribed`, `KEY`)
	requireInOrder(t, story, `"question" is delivered at once`, `Contact ada answers "question"`,
		`The reply is matched to "question": conversation \d+, our own order=1042, message \d+`, `KEY`)
	requireInOrder(t, story, `KEY`, `welcome +sent +1`, `receipt +sent +1`, `newcomer +sent +\d`, `newsletter +failed +1`,
		`question +replied +1 +\d+ +\d+ +"Yes, please ship it!"`)

	enc := zapcore.NewJSONEncoder(zap.NewProductionEncoderConfig())
	for _, e := range logs.All() {
		line, err := enc.EncodeEntry(e.Entry, e.Context)
		require.NoError(t, err)
		require.NotContains(t, line.String(), "demo_token")
		require.NotContains(t, line.String(), "demo_secret")
		require.NotContains(t, line.String(), "Welcome aboard")
		require.NotContains(t, line.String(), "please ship it")
	}
}

func TestTheStoryOfOwnMessagesHasAReplyToTheFirst(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	err := demo.Run(t.Context(), demo.Config{
		Out: &out, Log: zap.NewNop(),
		Requests: []enqueue.Request{
			{Key: "mine", Message: inApp("jo"), Metadata: map[string]string{"invoice": "7"}},
			{Message: inApp("appears-in-500ms-kim")},
			{Key: "tomorrow", Message: inApp("jo"), At: time.Now().Add(24 * time.Hour)},
			{Key: "wrong", Message: &intercom.Message{MessageType: intercom.InApp}},
			{Key: "mine", Message: inApp("jo"), Metadata: map[string]string{"invoice": "7"}},
		},
		Stay: func(ctx context.Context, st *stack.Stack) error {
			// The stack runs on.
			r, err := st.Producer.Get(ctx, "mine")
			require.NoError(t, err)
			require.NotEmpty(t, r.MessageID)
			_, err = st.Producer.Enqueue(ctx, inApp("jo"), enqueue.Key("another"))
			require.NoError(t, err)
			require.Eventually(t, func() bool {
				r, err := st.Producer.Get(ctx, "another")
				return err == nil && r.State == ledger.Sent
			}, 10*time.Second, 10*time.Millisecond)
			return errStayed
		},
	})
	require.ErrorIs(t, err, errStayed)
	requireInOrder(t, out.String(), `"wrong" is refused at once: message`, `KEY`)
	requireInOrder(t, out.String(), `"mine" was enqueued before: a duplicate`, `KEY`)
	requireInOrder(t, out.String(), `"tomorrow" is scheduled for`, `KEY`, `tomorrow +queued`)
	requireInOrder(t, out.String(), `"line-2" has to wait`, `"line-2" is delivered on attempt`)
	requireInOrder(t, out.String(), `The reply is matched to `, `KEY`, `"Thank you!"`)
}

var errStayed = errors.New("stayed")

func TestWhatNeverComesIsNamed(t *testing.T) {
	t.Parallel()
	errPatience := errors.New("no more patience")
	ctx, cancel := context.WithTimeoutCause(t.Context(), 3*time.Second, errPatience)
	defer cancel()
	var out bytes.Buffer
	err := demo.Run(ctx, demo.Config{
		Out: &out, Log: zap.NewNop(),
		Requests: []enqueue.Request{
			{Key: "mine", Message: inApp("jo")},
			{Key: "lost-1", Message: inApp("never-1")},
			{Key: "lost-2", Message: inApp("never-2")},
		},
	})
	require.ErrorContains(t, err, "still open: messages: lost-1, lost-2")
	require.ErrorIs(t, err, errPatience)
	require.NotContains(t, err.Error(), "mine")
	requireInOrder(t, out.String(), `KEY`, `lost-1 +waiting`)
}
