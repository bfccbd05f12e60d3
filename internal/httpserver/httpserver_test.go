package httpserver_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/intercom-dispatch/intercom-dispatch/internal/httpserver"
)

const patience = 10 * time.Second

// serve runs a server and returns its address.
func serve(t *testing.T, h http.HandlerFunc, log *zap.Logger) (addr string, stop context.CancelFunc, done <-chan error) {
	t.Helper()
	ln, err := httpserver.Listen(t.Context(), "127.0.0.1:0")
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	ended := make(chan error, 1)
	go func() { ended <- httpserver.Serve(ctx, ln, h, httpserver.Config{Log: log}) }()
	return ln.Addr().String(), cancel, ended
}

// get makes a request on a connection of its own.
func get(ctx context.Context, addr string) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+addr, nil)
	if err != nil {
		return "", err
	}
	tr := &http.Transport{DisableKeepAlives: true}
	resp, err := tr.RoundTrip(req)
	if err != nil {
		return "", err
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	return string(body), err
}

func end(t *testing.T, done <-chan error) error {
	t.Helper()
	select {
	case err := <-done:
		return err
	case <-time.After(patience):
		t.Fatal("it does not end")
		return nil
	}
}

func TestServesUntilTheContextEndsAndFinishesWhatIsUnderWay(t *testing.T) {
	t.Parallel()
	begun, finish := make(chan struct{}), make(chan struct{})
	addr, stop, done := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		close(begun)
		<-finish
		_, _ = io.WriteString(w, "done")
	}, zap.NewNop())
	type answer struct {
		body string
		err  error
	}
	answered := make(chan answer, 1)
	go func() {
		body, err := get(t.Context(), addr)
		answered <- answer{body, err}
	}()
	<-begun
	stop()
	require.Eventually(t, func() bool {
		conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", addr)
		if err == nil {
			_ = conn.Close()
		}
		return err != nil
	}, patience, 5*time.Millisecond, "it takes new connections")
	select {
	case err := <-done:
		t.Fatalf("it did not wait for the request: %v", err)
	default:
	}
	close(finish)
	a := <-answered
	require.NoError(t, a.err)
	require.Equal(t, "done", a.body)
	require.NoError(t, end(t, done))
}

func TestAnIdleServerEndsAtOnce(t *testing.T) {
	t.Parallel()
	addr, stop, done := serve(t, func(http.ResponseWriter, *http.Request) {}, zap.NewNop())
	_, err := get(t.Context(), addr)
	require.NoError(t, err)
	start := time.Now()
	stop()
	require.NoError(t, end(t, done))
	require.Less(t, time.Since(start), time.Second)
}

func TestARequestThatComesSlowlyIsCutOff(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ sent, answer string }{
		"its header": {"POST / HTTP/1.1\r\nHost: a\r\n", ""},
		"its body":   {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nx", "HTTP/1.1 200 OK"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ln, err := httpserver.Listen(t.Context(), "127.0.0.1:0")
			require.NoError(t, err)
			ctx, stop := context.WithCancel(t.Context())
			done := make(chan error, 1)
			h := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				_, err := io.ReadAll(r.Body)
				assert.ErrorIs(t, err, os.ErrDeadlineExceeded)
			})
			go func() { done <- httpserver.Serve(ctx, ln, h, httpserver.Config{ReadTimeout: 50 * time.Millisecond}) }()
			conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", ln.Addr().String())
			require.NoError(t, err)
			t.Cleanup(func() { _ = conn.Close() })
			require.NoError(t, conn.SetDeadline(time.Now().Add(patience)))
			_, err = io.WriteString(conn, c.sent)
			require.NoError(t, err)
			answer, err := io.ReadAll(conn)
			require.NoError(t, err, "the connection is not closed")
			require.Contains(t, string(answer), c.answer)
			stop()
			require.NoError(t, end(t, done))
		})
	}
}

func TestListenNamesTheAddressThatItCannotHave(t *testing.T) {
	t.Parallel()
	ln, err := httpserver.Listen(t.Context(), "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = ln.Close() })
	addr := ln.Addr().String()
	for _, addr := range []string{addr, "no port", "127.0.0.1:99999"} {
		_, err := httpserver.Listen(t.Context(), addr)
		require.ErrorContains(t, err, addr)
	}
}

func TestServeNamesTheAddressOfAListenerThatFails(t *testing.T) {
	t.Parallel()
	ln, err := httpserver.Listen(t.Context(), "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, ln.Close())
	err = httpserver.Serve(t.Context(), ln, http.NotFoundHandler(), httpserver.Config{})
	require.ErrorContains(t, err, ln.Addr().String())
}

func TestAPanicOfAHandlerIsLogged(t *testing.T) {
	t.Parallel()
	core, logs := observer.New(zap.InfoLevel)
	addr, stop, done := serve(t, func(http.ResponseWriter, *http.Request) { panic("oh no") }, zap.New(core))
	_, err := get(t.Context(), addr)
	require.Error(t, err)
	stop()
	require.NoError(t, end(t, done))
	require.Equal(t, 1, logs.Len(), "nobody is told")
	require.Contains(t, logs.All()[0].Message, "oh no")
	require.Equal(t, zap.WarnLevel, logs.All()[0].Level)
}
