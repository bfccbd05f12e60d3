package intercom

import (
	"net/http/httptrace"
	"sync/atomic"
)

// sendTrace observes one request, to tell afterwards whether it may have
// reached Intercom. The transport calls its hooks on goroutines of its own.
type sendTrace struct {
	// hooksRequired is set where the transport may not know the hooks: then
	// not having heard of a connection proves nothing.
	hooksRequired bool

	asked  atomic.Bool  // a connection was asked for
	conns  atomic.Int64 // connections that were got
	failed atomic.Int64 // those of them on which the write ended with an error
	last   atomic.Pointer[connUse]
}

// connUse is a connection and what it had written before this request.
type connUse struct {
	conn   *countingConn
	before int64
}

func (t *sendTrace) hooks() *httptrace.ClientTrace {
	return &httptrace.ClientTrace{
		GetConn: func(string) { t.asked.Store(true) },
		GotConn: func(info httptrace.GotConnInfo) {
			t.conns.Add(1)
			if c := counterOf(info.Conn); c != nil {
				t.last.Store(&connUse{conn: c, before: c.written.Load()})
			}
		},
		WroteRequest: func(info httptrace.WroteRequestInfo) {
			if info.Err != nil {
				t.failed.Add(1)
			}
		},
	}
}

// maybeSent is asked once the transport has given up. The request certainly
// did not arrive whole if no connection was got, or if its write failed. A
// write whose result is unknown, as when the context ended meanwhile, may have
// arrived.
func (t *sendTrace) maybeSent() bool {
	if t.hooksRequired && !t.asked.Load() {
		return true
	}
	if t.conns.Load() == 1 && t.nothingWritten() {
		return false
	}
	return t.conns.Load() > t.failed.Load()
}

// nothingWritten tells whether the connection took not a single byte of the
// request. net/http reports a small request as written once it is in its
// buffer, so this is what recognises an idle connection that turned out to be
// closed. Counting errors of Write instead would be wrong: closing a TLS
// connection writes as well, and may fail after the request arrived.
func (t *sendTrace) nothingWritten() bool {
	use := t.last.Load()
	return use != nil && use.conn.written.Load() == use.before
}
