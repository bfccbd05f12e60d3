package main

import (
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// stop is where a proxy lets go of a connection.
type stop int

const (
	passOn stop = iota
	// keepRequest forwards nothing more.
	keepRequest
	// delayRequest forwards the request at the call of release.
	delayRequest
	// keepAnswer forwards the request, and not what is answered to it.
	keepAnswer
)

// proxy stands between a process and a server. What it keeps stays with it
// until the test ends, as if it were on its way.
type proxy struct {
	t      *testing.T
	target string
	// judge is asked about each piece that a client sends.
	judge func(piece string) stop
	// kept has an element for each request or answer that was kept.
	kept chan struct{}
	// release forwards what was delayed, also where its client is gone.
	release  func()
	released chan struct{}

	listener net.Listener
	mu       sync.Mutex
	conns    []net.Conn
	closed   bool
	running  sync.WaitGroup
}

func startProxy(t *testing.T, target string, judge func(piece string) stop) *proxy {
	t.Helper()
	var lc net.ListenConfig
	l, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	p := &proxy{t: t, target: target, judge: judge, kept: make(chan struct{}, 1000), released: make(chan struct{}), listener: l}
	p.release = sync.OnceFunc(func() { close(p.released) })
	p.running.Go(p.accept)
	t.Cleanup(p.close)
	return p
}

func (p *proxy) addr() string { return p.listener.Addr().String() }

func (p *proxy) close() {
	_ = p.listener.Close()
	p.release()
	p.mu.Lock()
	p.closed = true
	for _, c := range p.conns {
		_ = c.Close()
	}
	p.mu.Unlock()
	p.running.Wait()
}

// own has the connection closed with the proxy.
func (p *proxy) own(c net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		_ = c.Close()
	}
	p.conns = append(p.conns, c)
}

func (p *proxy) accept() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		server, err := (&net.Dialer{}).DialContext(p.t.Context(), "tcp", p.target)
		if err != nil {
			_ = client.Close()
			continue
		}
		p.own(client)
		p.own(server)
		l := &link{p: p, client: client, server: server}
		p.running.Go(l.requests)
		p.running.Go(l.answers)
	}
}

// link is a connection through a proxy.
type link struct {
	p              *proxy
	client, server net.Conn

	mu   sync.Mutex
	keep bool
}

func (l *link) requests() {
	buf := make([]byte, 1<<20)
	for {
		n, err := l.client.Read(buf)
		if err != nil {
			_ = l.server.Close()
			return
		}
		switch l.p.judge(string(buf[:n])) {
		case keepRequest:
			l.p.kept <- struct{}{}
			return
		case delayRequest:
			l.p.kept <- struct{}{}
			<-l.p.released
		case keepAnswer:
			l.mu.Lock()
			l.keep = true
			l.mu.Unlock()
		case passOn:
		}
		if _, err := l.server.Write(buf[:n]); err != nil {
			return
		}
	}
}

func (l *link) answers() {
	buf := make([]byte, 1<<20)
	for {
		n, err := l.server.Read(buf)
		if err != nil {
			_ = l.client.Close()
			return
		}
		l.mu.Lock()
		keep := l.keep
		l.mu.Unlock()
		if keep {
			l.p.kept <- struct{}{}
			return
		}
		if _, err := l.client.Write(buf[:n]); err != nil {
			return
		}
	}
}

// await waits until so many requests and answers were kept.
func (p *proxy) await(n int) {
	p.t.Helper()
	for range n {
		select {
		case <-p.kept:
		case <-time.After(patience):
			require.FailNow(p.t, "the proxy kept nothing more")
		}
	}
}

// keeping judges pieces by a word in them.
func keeping(words map[string]stop) func(string) stop {
	return func(piece string) stop {
		for word, s := range words {
			if strings.Contains(piece, word) {
				return s
			}
		}
		return passOn
	}
}
