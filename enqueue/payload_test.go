package enqueue

import (
	"encoding/json"
	"reflect"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/intercom-dispatch/intercom-dispatch/intercom"
	"github.com/intercom-dispatch/intercom-dispatch/internal/task"
)

// TestPayloadIsTheEnvelopeAsJSON holds what is put together by hand against
// encoding/json, which workers read it with, and the digest against task's.
func TestPayloadIsTheEnvelopeAsJSON(t *testing.T) {
	t.Parallel()
	now := time.UnixMilli(1782000000123)
	wait := time.Minute
	m := &intercom.Message{
		MessageType: intercom.InApp, Body: "<b>null}</b> \u2028 é", From: intercom.FromAdmin(1), To: intercom.ToUser("c1"),
	}
	// A new field must be written by hand, and be set below.
	require.Equal(t, 12, reflect.TypeFor[task.Envelope]().NumField())
	for _, r := range []Request{
		{Key: "k", Message: m, Priority: Normal},
		{
			Key: "k", Message: m, Priority: High, At: now.Add(time.Hour), ExpiresAt: now.Add(2 * time.Hour),
			Metadata: map[string]string{"message": "null}"}, ContactWait: &wait, IfUncertain: Hold,
			OrderKey: "the \"first\" <contact> \u2028 é", IfHeld: Pass,
		},
	} {
		message, err := r.encode(now)
		require.NoError(t, err)
		e := r.envelope(now, message)
		payload, err := encodePayload(e, message)
		require.NoError(t, err)
		e.Message = m
		want, err := json.Marshal(e)
		require.NoError(t, err)
		require.Equal(t, string(want), string(payload))
		message, err = json.Marshal(m)
		require.NoError(t, err)
		require.Equal(t, task.Digest(message), e.Digest)
	}
}
