package replies_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/intercom-dispatch/intercom-dispatch/intercom"
	"github.com/intercom-dispatch/intercom-dispatch/replies"
)

// FuzzReceiver makes any request, signed or not, to a receiver whose queue
// works or not.
func FuzzReceiver(f *testing.F) {
	const ping = `{"type":"notification_event","app_id":null,"id":null,"topic":"ping","data":null}`
	for _, body := range []string{replied, ping, "", "{}", "null", `{"topic":"contact.merged"}`, `{"topic":"ticket.created","id":[]}`, replied + replied} {
		f.Add(http.MethodPost, "", []byte(body), true, true)
		f.Add(http.MethodPost, intercom.Sign("other", []byte(body)), []byte(body), false, true)
	}
	f.Add(http.MethodHead, "", []byte(nil), false, true)
	f.Add(http.MethodPost, "sha1=", []byte(replied), false, false)
	f.Add(http.MethodPost, "", []byte(replied), true, false)
	f.Add("", "sha1="+strings.Repeat("0", 40), []byte(replied), true, true)
	f.Fuzz(func(t *testing.T, method, signature string, body []byte, sign, works bool) {
		if sign {
			signature = intercom.Sign(secret, body)
		}
		q := &queue{}
		if !works {
			q.fail = func(context.Context) error { return errors.New("away") }
		}
		r, err := replies.NewReceiver(replies.ReceiverConfig{Secrets: []string{"next", secret}, Queue: q, Timeout: patience, MaxBody: 4 << 10})
		require.NoError(t, err)
		w := httptest.NewRecorder()
		r.ServeHTTP(w, (&http.Request{
			Method: method, Header: http.Header{intercom.SignatureHeader: {signature}},
			Body: io.NopCloser(bytes.NewReader(body)), ContentLength: -1,
		}).WithContext(t.Context()))

		require.NoError(t, r.Close(t.Context()))
		require.Zero(t, r.Held())

		right := len(body) <= 4<<10 && intercom.VerifySignature(body, signature, "next", secret)
		n, err := intercom.ParseNotification(body)
		wanted := method == http.MethodPost && right && err == nil &&
			(strings.HasPrefix(n.Topic, "conversation.") || strings.HasPrefix(n.Topic, "contact."))
		switch {
		case wanted && works:
			require.Equal(t, http.StatusOK, w.Code)
			require.Equal(t, []string{string(body)}, q.raw)
			return
		case wanted:
			require.Equal(t, http.StatusServiceUnavailable, w.Code)
		case method == http.MethodHead, method == http.MethodPost && right && err == nil:
			require.Equal(t, http.StatusOK, w.Code)
		default:
			require.True(t, slices.Contains([]int{400, 401, 405, 413}, w.Code), w.Code)
		}
		require.Empty(t, q.raw)
	})
}
