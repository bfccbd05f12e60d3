package enqueue_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/intercom-dispatch/intercom-dispatch/enqueue"
	"github.com/intercom-dispatch/intercom-dispatch/intercom"
	"github.com/intercom-dispatch/intercom-dispatch/internal/redistest"
)

// TestWhatCannotBeSentIsRefusedByField also shows that nothing is queued.
func TestWhatCannotBeSentIsRefusedByField(t *testing.T) {
	t.Parallel()
	now := time.Now()
	many := map[string]string{}
	for i := range 51 {
		many[fmt.Sprint(i)] = ""
	}
	tests := []struct {
		name, field string
		opts        []enqueue.Option
	}{
		{"long key", "key", []enqueue.Option{enqueue.Key(strings.Repeat("k", 5000))}},
		{"key with a line break", "key", []enqueue.Option{enqueue.Key("a\nb")}},
		{"key in space", "key", []enqueue.Option{enqueue.Key(" a")}},
		{"key of no text", "key", []enqueue.Option{enqueue.Key("\xff")}},
		{"expired", "expires_at", []enqueue.Option{enqueue.ExpiresAt(now.Add(-time.Second))}},
		{"expires before it is sent", "expires_at", []enqueue.Option{enqueue.At(now.Add(2 * time.Hour)), enqueue.ExpiresAt(now.Add(time.Hour))}},
		{"too far ahead", "at", []enqueue.Option{enqueue.In(400 * 24 * time.Hour)}},
		{"priority", "priority", []enqueue.Option{enqueue.WithPriority("urgent")}},
		{"policy", "if_uncertain", []enqueue.Option{enqueue.IfUncertain("maybe")}},
		{"long order key", "order_key", []enqueue.Option{enqueue.OrderKey(strings.Repeat("k", 256))}},
		{"order key with a line break", "order_key", []enqueue.Option{enqueue.OrderKey("a\nb")}},
		{"order key in space", "order_key", []enqueue.Option{enqueue.OrderKey("a ")}},
		{"order key of no text", "order_key", []enqueue.Option{enqueue.OrderKey("\xff")}},
		{"policy of an order", "if_held", []enqueue.Option{enqueue.OrderKey("o"), enqueue.IfHeld("wait")}},
		{"policy without an order", "if_held", []enqueue.Option{enqueue.IfHeld(enqueue.Pass)}},
		{"contact wait", "contact_wait", []enqueue.Option{enqueue.ContactWait(-1)}},
		{"much metadata", "metadata", []enqueue.Option{enqueue.Metadata(many)}},
		{"metadata without a name", "metadata", []enqueue.Option{enqueue.Metadata(map[string]string{"": "x"})}},
		{"long metadata name", "metadata", []enqueue.Option{enqueue.Metadata(map[string]string{strings.Repeat("n", 65): "x"})}},
		{"long metadata", "metadata.n", []enqueue.Option{enqueue.Metadata(map[string]string{"n": strings.Repeat("x", 1025)})}},
		{"no message", "message", []enqueue.Option{func(r *enqueue.Request) { r.Message = nil }}},
		{"no body", "message.body", []enqueue.Option{func(r *enqueue.Request) { r.Message.Body = "" }}},
		{"wrong recipient", "message.to.type", []enqueue.Option{func(r *enqueue.Request) { r.Message.To[0].Type = "visitor" }}},
	}
	redistest.Each(t, func(t *testing.T, s *redistest.Server) {
		b := newBundle(t, s)
		for _, tt := range tests {
			_, err := b.Enqueue(t.Context(), message("hi"), tt.opts...)
			var invalid *intercom.ValidationError
			require.ErrorAs(t, err, &invalid, tt.name)
			require.Equal(t, tt.field, invalid.Field, tt.name)
		}
		keys, err := b.rdb.Keys(t.Context(), "*").Result()
		require.NoError(t, err)
		require.Empty(t, keys)
	})
}

func TestLineIsReadWithAllItsFields(t *testing.T) {
	t.Parallel()
	r, err := enqueue.ParseLine([]byte(`{"key":"order-1042","message":{"message_type":"inapp","body":"hi",
		"from":{"type":"admin","id":"1"},"to":{"type":"user","id":"c1"}},"at":"2026-11-22T15:00:00Z",
		"expires_at":"2026-11-22T16:00:00+01:00","priority":"high","metadata":{"order":"1042"},
		"contact_wait":"10m","if_uncertain":"hold","order_key":"the \"first\"","if_held":"pass"}`))
	require.NoError(t, err)
	at := time.Date(2026, 11, 22, 15, 0, 0, 0, time.UTC)
	require.True(t, r.ExpiresAt.Equal(at))
	r.ExpiresAt = time.Time{}
	require.Equal(t, enqueue.Request{
		Key: "order-1042", At: at, Priority: enqueue.High, Metadata: map[string]string{"order": "1042"},
		ContactWait: new(10 * time.Minute), IfUncertain: enqueue.Hold,
		OrderKey: `the "first"`, IfHeld: enqueue.Pass,
		Message: &intercom.Message{
			MessageType: "inapp", Body: "hi", From: intercom.FromAdmin(1), To: intercom.ToUser("c1"),
		},
	}, r)
}

func TestBadLinesSayWhatIsWrong(t *testing.T) {
	t.Parallel()
	secret := "the text of the message"
	tests := []struct{ name, line, want string }{
		{"empty object", `{}`, ""}, // Enqueue says that the message is missing.
		{"not JSON", `hello`, "not a JSON object"},
		{"broken", `{"key":"a",`, "not a JSON object"},
		{"array", `[1]`, "not a JSON object"},
		{"null", `null`, "not one JSON object"},
		{"two objects", `{"key":"a"} {"key":"b"}`, "not one JSON object"},
		{"unknown field", `{"key":"a","massage":{}}`, "massage is not a field of a line"},
		{"unknown field of the message", `{"message":{"boddy":"` + secret + `"}}`, "message.boddy is not a field"},
		{"wrong type", `{"key":7}`, "key must be a string"},
		{"wrong type in the message", `{"message":{"body":["` + secret + `"]}}`, "message.body must be a string"},
		{"time", `{"at":"tomorrow"}`, `at "tomorrow" is not a time such as`},
		{"duration", `{"contact_wait":"10"}`, `contact_wait "10" is not a duration such as`},
		{"metadata", `{"metadata":{"a":1}}`, "metadata must be an object whose values are strings"},
		{"the same field twice", `{"key":"a","key":"b"}`, "key is there twice"},
		{"order key", `{"order_key":7}`, "order_key must be a string"},
		{"policy of an order", `{"order_key":"a","if_held":true}`, "if_held must be a string"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, err := enqueue.ParseLine([]byte(tt.line))
			if tt.want == "" {
				require.NoError(t, err)
				return
			}
			require.ErrorContains(t, err, tt.want)
			require.NotContains(t, err.Error(), secret)
		})
	}
}

func TestRefusedLineStillTellsItsKey(t *testing.T) {
	t.Parallel()
	r, err := enqueue.ParseLine([]byte(`{"at":"tomorrow","key":"order-1042"}`))
	require.Error(t, err)
	require.Equal(t, "order-1042", r.Key)
}

func FuzzParseLine(f *testing.F) {
	f.Add([]byte(`{"key":"a","message":{"message_type":"in_app","body":"hi","from":{"type":"admin","id":1},"to":{"type":"user","id":"c"}}}`))
	f.Add([]byte(`{"contact_wait":"1s","metadata":{"a":"b"},"at":"2026-11-22T15:00:00Z"}`))
	f.Add([]byte(`{"order_key":"a","if_held":"pass"}`))
	f.Add([]byte(`{"key":null,"message":null}`))
	f.Fuzz(func(t *testing.T, line []byte) {
		if r, err := enqueue.ParseLine(line); err != nil {
			require.Nil(t, r.Message)
		}
	})
}
