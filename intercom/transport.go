package intercom

import (
	"context"
	"net"
	"net/http"
	"net/url"
	"sync/atomic"
	"time"
)

const (
	// connectTimeout bounds each half of connecting: TCP and TLS.
	connectTimeout = 10 * time.Second
	// idleTimeout is half of what load balancers usually keep a connection
	// for, so that a connection which the other side is about to close is
	// rarely picked for a request.
	idleTimeout = 30 * time.Second
	// maxHeaderBytes is far more than Intercom's headers need.
	maxHeaderBytes = 64 << 10
)

type dialFunc func(ctx context.Context, network, addr string) (net.Conn, error)

func dial(ctx context.Context, network, addr string) (net.Conn, error) {
	return (&net.Dialer{Timeout: connectTimeout}).DialContext(ctx, network, addr)
}

// newTransport returns the client's own transport. There is no limit for
// waiting for an answer's headers other than the request's own: to stop
// waiting earlier would only leave more messages uncertain.
func newTransport(concurrency int, proxy func(*http.Request) (*url.URL, error), dial dialFunc) *http.Transport {
	// HTTP/1.1 only: over HTTP/2 all requests share a connection, and its
	// loss would leave every request in flight uncertain at once.
	var http1 http.Protocols
	http1.SetHTTP1(true)
	return &http.Transport{
		Proxy: proxy,
		DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			conn, err := dial(ctx, network, addr)
			if err != nil {
				return nil, err
			}
			return &countingConn{Conn: conn}, nil
		},
		Protocols:              &http1,
		TLSHandshakeTimeout:    connectTimeout,
		MaxIdleConns:           concurrency,
		MaxIdleConnsPerHost:    concurrency,
		IdleConnTimeout:        idleTimeout,
		MaxResponseHeaderBytes: maxHeaderBytes,
	}
}

// countingConn counts the bytes that the network took.
type countingConn struct {
	net.Conn
	written atomic.Int64
}

func (c *countingConn) Write(b []byte) (int, error) {
	n, err := c.Conn.Write(b)
	c.written.Add(int64(n))
	return n, err
}

// counterOf finds the counting connection beneath TLS, or nil.
func counterOf(conn net.Conn) *countingConn {
	for {
		if c, ok := conn.(*countingConn); ok {
			return c
		}
		outer, ok := conn.(interface{ NetConn() net.Conn })
		if !ok {
			return nil
		}
		conn = outer.NetConn()
	}
}
