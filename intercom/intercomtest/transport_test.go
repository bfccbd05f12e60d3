package intercomtest_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptrace"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/intercom-dispatch/intercom-dispatch/intercom/intercomtest"
)

// traced returns a context that writes the hooks that were called to calls.
func traced(ctx context.Context, calls *[]string) context.Context {
	note := func(name string) { *calls = append(*calls, name) }
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GetConn:      func(string) { note("GetConn") },
		GotConn:      func(httptrace.GotConnInfo) { note("GotConn") },
		WroteHeaders: func() { note("WroteHeaders") },
		WroteRequest: func(info httptrace.WroteRequestInfo) {
			if info.Err != nil {
				note("WroteRequest failed")
				return
			}
			note("WroteRequest")
		},
		GotFirstResponseByte: func() { note("GotFirstResponseByte") },
	})
}

func TestRoundTripperCallsTheHooksOfHTTPTrace(t *testing.T) {
	t.Parallel()
	written := []string{"GetConn", "GotConn", "WroteHeaders", "WroteRequest"}
	onBothTransports(t, func(t *testing.T, f *fake) {
		var calls []string
		req := f.request(http.MethodPost, "/messages", inapp)
		r := f.send(req.WithContext(traced(t.Context(), &calls)))
		require.Equal(t, http.StatusOK, r.status)
		require.Equal(t, append(written, "GotFirstResponseByte"), calls)
	})
	t.Run("cut", func(t *testing.T) {
		t.Parallel()
		f := newFake(t, intercomtest.Config{})
		f.InjectFault(intercomtest.Fault{Cut: intercomtest.CutAfterCreate})
		var calls []string
		resp, err := f.client.Do(f.request(http.MethodPost, "/messages", inapp).WithContext(traced(t.Context(), &calls)))
		if err == nil {
			_ = resp.Body.Close()
		}
		require.ErrorIs(t, err, io.ErrUnexpectedEOF)
		require.Equal(t, written, calls)
	})
	t.Run("cancelled", func(t *testing.T) {
		t.Parallel()
		f := newFake(t, intercomtest.Config{})
		var calls []string
		ctx, cancel := context.WithCancel(traced(t.Context(), &calls))
		cancel()
		resp, err := f.RoundTripper().RoundTrip(f.request(http.MethodPost, "/messages", inapp).WithContext(ctx))
		if err == nil {
			_ = resp.Body.Close()
		}
		require.ErrorIs(t, err, context.Canceled)
		require.Empty(t, calls)
		require.Empty(t, f.Log().Arrived)
	})
	t.Run("unreadable body", func(t *testing.T) {
		t.Parallel()
		f := newFake(t, intercomtest.Config{})
		var calls []string
		req := f.request(http.MethodPost, "/messages", inapp).WithContext(traced(t.Context(), &calls))
		req.Body = io.NopCloser(io.MultiReader(strings.NewReader("{"), failingReader{}))
		resp, err := f.client.Do(req)
		if err == nil {
			_ = resp.Body.Close()
		}
		require.ErrorIs(t, err, io.ErrClosedPipe)
		require.Equal(t, []string{"GetConn", "GotConn", "WroteRequest failed"}, calls)
		require.Empty(t, f.Log().Arrived)
	})
}

type failingReader struct{}

func (failingReader) Read([]byte) (int, error) { return 0, io.ErrClosedPipe }

func TestRoundTripperEndsWithTheContextsDeadline(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t, intercomtest.Config{})
		f.InjectFault(intercomtest.Fault{Latency: time.Minute, AfterCreate: true})
		f.client.Timeout = 30 * time.Second
		start := time.Now()
		resp, err := f.client.Do(f.request(http.MethodPost, "/messages", inapp))
		if err == nil {
			_ = resp.Body.Close()
		}
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.Equal(t, 30*time.Second, time.Since(start))
		require.Len(t, f.Created(), 1)
	})
}

func TestHandlerTransportPassesOtherPanicsOn(t *testing.T) {
	t.Parallel()
	client := &http.Client{Transport: intercomtest.HandlerTransport(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		panic("bug")
	}))}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, baseURL, http.NoBody)
	require.NoError(t, err)
	require.PanicsWithValue(t, "bug", func() {
		resp, err := client.Do(req)
		if err == nil {
			_ = resp.Body.Close()
		}
	})
}
