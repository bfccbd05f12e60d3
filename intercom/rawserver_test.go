package intercom

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

const testToken = "dG9rOjEyMzQ1-s3cret"

// rawServer answers connections by hand, to cut them where a real server
// would not.
type rawServer struct {
	net.Listener
	requests atomic.Int64 // requests that were read whole
}

// newRawServer runs serve for each connection and closes it afterwards. Stop
// is closed when the test ends.
func newRawServer(t *testing.T, serve func(s *rawServer, c *net.TCPConn, stop <-chan struct{})) *rawServer {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	s := &rawServer{Listener: l}
	stop := make(chan struct{})
	var conns sync.WaitGroup
	accepting := make(chan struct{})
	go func() {
		defer close(accepting)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			conns.Go(func() {
				defer func() { _ = c.Close() }()
				serve(s, c.(*net.TCPConn), stop)
			})
		}
	}()
	t.Cleanup(func() {
		close(stop)
		_ = l.Close()
		<-accepting
		conns.Wait()
	})
	return s
}

func (s *rawServer) url() string { return "http://" + s.Addr().String() }

// read reads one whole request.
func (s *rawServer) read(r *bufio.Reader) bool {
	req, err := http.ReadRequest(r)
	if err != nil {
		return false
	}
	if _, err := io.Copy(io.Discard, req.Body); err != nil {
		return false
	}
	s.requests.Add(1)
	return true
}

// reading runs answer once a whole request has been read.
func reading(answer func(c *net.TCPConn, stop <-chan struct{})) func(*rawServer, *net.TCPConn, <-chan struct{}) {
	return func(s *rawServer, c *net.TCPConn, stop <-chan struct{}) {
		if s.read(bufio.NewReader(c)) {
			answer(c, stop)
		}
	}
}

// writing answers with text and closes the connection.
func writing(text string) func(*rawServer, *net.TCPConn, <-chan struct{}) {
	return reading(func(c *net.TCPConn, _ <-chan struct{}) { _, _ = io.WriteString(c, text) })
}

// hanging answers with text and then says nothing more.
func hanging(text string) func(*rawServer, *net.TCPConn, <-chan struct{}) {
	return reading(func(c *net.TCPConn, stop <-chan struct{}) {
		_, _ = io.WriteString(c, text)
		<-stop
	})
}

func clientFor(t *testing.T, url string, changes ...func(*Config)) *Client {
	t.Helper()
	cfg := Config{Token: StaticToken(testToken), BaseURL: url, Timeout: 20 * time.Second}
	for _, change := range changes {
		change(&cfg)
	}
	c, err := New(cfg)
	require.NoError(t, err)
	t.Cleanup(c.Close)
	return c
}

func withTimeout(d time.Duration) func(*Config) {
	return func(c *Config) { c.Timeout = d }
}

func hello() *Message {
	return &Message{MessageType: InApp, Body: "very private text", From: FromAdmin(1), To: ToUser("a")}
}

// requireNoSecrets looks for the token and the message's text in an error.
func requireNoSecrets(t *testing.T, err error) {
	t.Helper()
	require.NotContains(t, err.Error(), testToken)
	require.NotContains(t, err.Error(), "s3cret")
	require.NotContains(t, err.Error(), "very private text")
}
