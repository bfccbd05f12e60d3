package worker_test

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// proxy stands between a worker and the fake Intercom, and misbehaves at the
// first request to one path.
type proxy struct {
	behind http.Handler
	path   string
	phase  httpPhase
	met    atomic.Bool
	// ended is closed when what hangs may end.
	ended chan struct{}
	addr  string
}

// exchange is the request at which the proxy misbehaves.
type exchange struct {
	*proxy

	conn    *net.TCPConn
	request *http.Request
}

func newProxy(t *testing.T, behind http.Handler, path string, phase httpPhase) *proxy {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	p := &proxy{behind: behind, path: path, phase: phase, ended: make(chan struct{}), addr: l.Addr().String()}
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			serving.Go(func() { p.serve(c.(*net.TCPConn)) })
		}
	})
	t.Cleanup(func() {
		close(p.ended)
		_ = l.Close()
		serving.Wait()
	})
	return p
}

func (p *proxy) url() string { return "http://" + p.addr }

// serve answers one connection's requests.
func (p *proxy) serve(c *net.TCPConn) {
	done := make(chan struct{})
	defer close(done)
	go func() {
		select {
		case <-p.ended:
		case <-done:
		}
		_ = c.Close()
	}()
	if p.phase.accepted != nil && p.met.CompareAndSwap(false, true) {
		p.phase.accepted(c)
		return
	}
	for r := bufio.NewReader(c); ; {
		request, err := http.ReadRequest(r)
		if err != nil {
			return
		}
		if request.URL.Path == p.path && p.met.CompareAndSwap(false, true) {
			p.phase.act(&exchange{proxy: p, conn: c, request: request})
			return
		}
		head, body := (&exchange{proxy: p, request: request}).forward()
		if _, err := io.WriteString(c, head+body); err != nil {
			return
		}
	}
}

// forward hands the request on and returns the answer: its head, which ends
// with the empty line, and its body.
func (e *exchange) forward() (head, body string) {
	payload, err := io.ReadAll(e.request.Body)
	if err != nil {
		return "", ""
	}
	// Intercom goes on with a request whatever becomes of the connection.
	request := e.request.Clone(e.request.Context())
	request.Body = io.NopCloser(bytes.NewReader(payload))
	w := httptest.NewRecorder()
	e.behind.ServeHTTP(w, request)
	return headOf(w.Code, w.Header(), w.Body.Len()), w.Body.String()
}

func headOf(status int, h http.Header, length int) string {
	var b bytes.Buffer
	h = h.Clone()
	h.Set("Content-Length", fmt.Sprint(length))
	fmt.Fprintf(&b, "HTTP/1.1 %d %s\r\n", status, http.StatusText(status))
	_ = h.Write(&b)
	return b.String() + "\r\n"
}

func (e *exchange) write(s string) { _, _ = io.WriteString(e.conn, s) }

// read reads the request's body.
func (e *exchange) read() { _, _ = io.Copy(io.Discard, e.request.Body) }

// hang says nothing more until the test ends.
func (e *exchange) hang() { <-e.ended }

// drip writes a byte at a time, for longer than a request may take.
func (e *exchange) drip(s string) {
	const longer = 3 * dripTimeout
	for i := range s {
		e.write(s[i : i+1])
		select {
		case <-e.ended:
			return
		case <-time.After(longer / time.Duration(len(s))):
		}
	}
}
