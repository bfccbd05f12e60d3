package intercom

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Where a request can end without an answer, and what is known of it then.
func TestTransportErrorsTellWhetherTheRequestMayHaveBeenSent(t *testing.T) {
	t.Parallel()
	reset := func(c *net.TCPConn, _ <-chan struct{}) { _ = c.SetLinger(0) }
	for name, c := range map[string]struct {
		serve   func(*rawServer, *net.TCPConn, <-chan struct{})
		timeout time.Duration
		body    int
		sent    bool
		is      error
	}{
		"accepted and closed while a large body is written": {
			serve: func(_ *rawServer, c *net.TCPConn, _ <-chan struct{}) {
				_, _ = io.ReadFull(c, make([]byte, 1024))
				_ = c.SetLinger(0)
			},
			body: MaxMessageBytes - 1000, sent: false,
		},
		"timeout while a large body is written": {
			serve:   func(_ *rawServer, _ *net.TCPConn, stop <-chan struct{}) { <-stop },
			timeout: 300 * time.Millisecond, body: MaxMessageBytes - 1000, sent: false, is: context.DeadlineExceeded,
		},
		"read and closed":               {serve: writing(""), sent: true},
		"read and reset":                {serve: reading(reset), sent: true},
		"large body read and closed":    {serve: writing(""), body: MaxMessageBytes - 1000, sent: true},
		"closed within the status line": {serve: writing("HTTP/1."), sent: true},
		"closed within the headers":     {serve: writing("HTTP/1.1 200 OK\r\nContent-Ty"), sent: true},
		"answer is no HTTP":             {serve: writing("+OK\r\n"), sent: true},
		"timeout before the headers":    {serve: hanging(""), timeout: 200 * time.Millisecond, sent: true, is: context.DeadlineExceeded},
		"timeout within the headers":    {serve: hanging("HTTP/1.1 200 OK\r\nA: b"), timeout: 200 * time.Millisecond, sent: true, is: context.DeadlineExceeded},
		"headers without end":           {serve: writing("HTTP/1.1 200 OK\r\nA: " + strings.Repeat("x", maxHeaderBytes) + "\r\n\r\n"), sent: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newRawServer(t, c.serve)
			m := hello()
			m.Body += strings.Repeat("x", c.body)
			client := clientFor(t, s.url(), withTimeout(c.timeout))
			dialingWith(client, smallBuffers)
			_, res, err := client.CreateMessage(t.Context(), m)
			require.Nil(t, res)
			requireTransportError(t, err, c.sent)
			if c.is != nil {
				require.ErrorIs(t, err, c.is)
				require.ErrorContains(t, err, "no answer within")
			}
			if c.sent {
				require.EqualValues(t, 1, s.requests.Load())
			}
		})
	}
}

// dialingWith gives the client a transport of its own with another way to
// connect.
func dialingWith(c *Client, dial dialFunc) {
	c.own = newTransport(1, nil, dial)
	c.transport = c.own
}

// smallBuffers keeps the kernel from taking a whole megabyte that nobody
// reads.
func smallBuffers(ctx context.Context, network, addr string) (net.Conn, error) {
	c, err := dial(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	return c, c.(*net.TCPConn).SetWriteBuffer(4096)
}

func requireTransportError(t *testing.T, err error, sent bool) {
	t.Helper()
	failed, ok := errors.AsType[*TransportError](err)
	require.True(t, ok, "%T %v", err, err)
	require.Equal(t, sent, failed.MaybeSent, "%v", err)
	requireNoSecrets(t, err)
}

func TestARequestWithoutAConnectionWasNotSent(t *testing.T) {
	t.Parallel()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	closed := l.Addr().String()
	require.NoError(t, l.Close())
	trusted := httptest.NewTLSServer(http.NotFoundHandler()) // by nobody but its own client
	t.Cleanup(trusted.Close)
	plain := newRawServer(t, writing("HTTP/1.1 200 OK\r\n\r\n"))
	silent := newRawServer(t, func(_ *rawServer, _ *net.TCPConn, stop <-chan struct{}) { <-stop })

	for name, c := range map[string]struct {
		url     string
		timeout time.Duration
		is      error
	}{
		"nobody listens":              {url: "http://" + closed},
		"unknown certificate":         {url: trusted.URL},
		"no TLS":                      {url: "https://" + plain.Addr().String()},
		"timeout in the handshake":    {url: "https://" + silent.Addr().String(), timeout: 200 * time.Millisecond, is: context.DeadlineExceeded},
		"the host has no IP address":  {url: "http://host.invalid", timeout: 5 * time.Second},
		"the time is over right away": {url: plain.url(), timeout: time.Nanosecond, is: context.DeadlineExceeded},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			client := clientFor(t, c.url, withTimeout(c.timeout))
			_, res, err := client.CreateMessage(t.Context(), hello())
			require.Nil(t, res)
			requireTransportError(t, err, false)
			if c.is != nil {
				require.ErrorIs(t, err, c.is)
			}
		})
	}
}

func TestAContextCancelledBeforeTheRequestSendsNothing(t *testing.T) {
	t.Parallel()
	s := newRawServer(t, writing(""))
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errors.New("shutting down"))
	_, _, err := clientFor(t, s.url()).CreateMessage(ctx, hello())
	requireTransportError(t, err, false)
	require.ErrorIs(t, err, context.Canceled)
	require.ErrorContains(t, err, "shutting down")
	require.Zero(t, s.requests.Load())
}

func TestAContextCancelledWhileWaitingMayHaveSent(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancelCause(t.Context())
	s := newRawServer(t, reading(func(_ *net.TCPConn, stop <-chan struct{}) {
		cancel(errors.New("lease lost"))
		<-stop
	}))
	_, res, err := clientFor(t, s.url()).CreateMessage(ctx, hello())
	require.Nil(t, res)
	requireTransportError(t, err, true)
	require.ErrorIs(t, err, context.Canceled)
	require.ErrorContains(t, err, "lease lost")
}

// The server closes the kept-alive connection right after it has read a
// second request: net/http would repeat that request if it were allowed to.
func TestARequestIsNeverSentTwice(t *testing.T) {
	t.Parallel()
	s := newRawServer(t, func(s *rawServer, c *net.TCPConn, _ <-chan struct{}) {
		r := bufio.NewReader(c)
		if s.read(r) {
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n{\"id\":\"1\"}")
			s.read(r)
		}
	})
	client := clientFor(t, s.url())
	_, _, err := client.CreateMessage(t.Context(), hello())
	require.NoError(t, err)
	_, _, err = client.CreateMessage(t.Context(), hello())
	requireTransportError(t, err, true)
	require.EqualValues(t, 2, s.requests.Load())
}

// stale is a connection whose other side has closed it unnoticed: reading
// goes on, writing fails.
type stale struct {
	net.Conn
	gone atomic.Bool
}

func (s *stale) Write(b []byte) (int, error) {
	if s.gone.Load() {
		return 0, errors.New("broken pipe")
	}
	return s.Conn.Write(b)
}

func TestAStaleIdleConnectionHasSentNothingAndIsNotRetried(t *testing.T) {
	t.Parallel()
	for name, start := range map[string]func(http.Handler) *httptest.Server{
		"plain": httptest.NewServer, "TLS": httptest.NewTLSServer,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := start(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				_, _ = io.WriteString(w, `{"id":"1"}`)
			}))
			t.Cleanup(s.Close)
			client := clientFor(t, s.URL)
			var dials atomic.Int64
			var conn *stale
			dialingWith(client, func(ctx context.Context, network, addr string) (net.Conn, error) {
				dials.Add(1)
				c, err := dial(ctx, network, addr)
				conn = &stale{Conn: c}
				return conn, err
			})
			client.own.TLSClientConfig = trusting(s)

			_, _, err := client.CreateMessage(t.Context(), hello())
			require.NoError(t, err)
			conn.gone.Store(true)
			_, _, err = client.CreateMessage(t.Context(), hello())
			requireTransportError(t, err, false)
			require.EqualValues(t, 1, dials.Load())
		})
	}
}

func trusting(s *httptest.Server) *tls.Config {
	return s.Client().Transport.(*http.Transport).TLSClientConfig.Clone()
}

// The connection is reset once the request was read. Closing TLS then writes a
// farewell, which fails: that says nothing about the request.
func TestAResetOverTLSMayHaveSent(t *testing.T) {
	t.Parallel()
	var requests atomic.Int64
	s := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		requests.Add(1)
		c, _, err := w.(http.Hijacker).Hijack()
		if err == nil {
			tcp := c.(*tls.Conn).NetConn().(*net.TCPConn)
			_ = tcp.SetLinger(0)
			_ = tcp.Close()
		}
	}))
	t.Cleanup(s.Close)
	client := clientFor(t, s.URL)
	client.own.TLSClientConfig = trusting(s)
	_, _, err := client.CreateMessage(t.Context(), hello())
	requireTransportError(t, err, true)
	require.EqualValues(t, 1, requests.Load())
}

// roundTripper is a transport of somebody else's.
type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func TestATransportWithoutTraceHooksMayAlwaysHaveSent(t *testing.T) {
	t.Parallel()
	for name, answer := range map[string]roundTripper{
		"error":   func(*http.Request) (*http.Response, error) { return nil, errors.New("lost") },
		"nothing": func(*http.Request) (*http.Response, error) { return nil, nil },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			client := clientFor(t, "http://intercom.test", func(c *Config) { c.Transport = answer })
			_, _, err := client.CreateMessage(t.Context(), hello())
			requireTransportError(t, err, true)
		})
	}
}

func TestAForeignNetHTTPTransportIsTraced(t *testing.T) {
	t.Parallel()
	foreign := &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) {
		return nil, errors.New("no route")
	}}
	client := clientFor(t, "http://intercom.test", func(c *Config) { c.Transport = foreign })
	_, _, err := client.CreateMessage(t.Context(), hello())
	requireTransportError(t, err, false)
}

func TestOnlyHTTP1IsSpoken(t *testing.T) {
	t.Parallel()
	var proto atomic.Value
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		proto.Store(r.Proto)
		_, _ = io.WriteString(w, `{"id":"1"}`)
	}))
	s.EnableHTTP2 = true
	s.StartTLS()
	t.Cleanup(s.Close)
	client := clientFor(t, s.URL)
	client.own.TLSClientConfig = trusting(s)
	_, _, err := client.Me(t.Context())
	require.NoError(t, err)
	require.Equal(t, "HTTP/1.1", proto.Load())
}
