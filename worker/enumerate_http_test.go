package worker_test

import (
	"context"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/intercom-dispatch/intercom-dispatch/intercom"
	"github.com/intercom-dispatch/intercom-dispatch/intercom/intercomtest"
	"github.com/intercom-dispatch/intercom-dispatch/ledger"
)

// dripTimeout is the request timeout of what outlasts it.
const dripTimeout = time.Second

// learnt is what a worker can know after a phase.
type learnt int

const (
	// notCreated says that the message was not created: it is sent again.
	notCreated learnt = iota
	// createdID says that it was, and under which id.
	createdID
	// createdNoID says that it was, but not under which id.
	createdNoID
	// nothing says that it may have been.
	nothing
	// nothingOrNotCreated depends on whether the kernel took the request
	// before it heard that the connection is closed.
	nothingOrNotCreated
)

// httpPhase is a point at which the first request goes wrong, and what follows.
type httpPhase struct {
	name string
	// refused has the connection refused, accepted treats it before anything is
	// read; else act does after the request's head was read.
	refused  bool
	accepted func(*net.TCPConn)
	act      func(*exchange)
	// forwarded tells that Intercom got the request, and so created the message.
	forwarded bool
	learnt    learnt
	// slow phases last until the request times out.
	slow bool
}

func httpPhases() []httpPhase {
	return []httpPhase{
		{name: "connection refused", refused: true, learnt: notCreated},
		{name: "closed before reading", learnt: nothingOrNotCreated, accepted: func(c *net.TCPConn) { _ = c.SetLinger(0) }},
		{name: "closed after the request's head", learnt: nothing, act: func(*exchange) {}},
		{name: "closed in the request's body", learnt: nothing, act: func(e *exchange) {
			_, _ = e.request.Body.Read(make([]byte, e.request.ContentLength/2))
		}},
		{name: "closed after the request", learnt: nothing, act: func(e *exchange) { e.read() }},
		{name: "closed after forwarding", learnt: nothing, forwarded: true, act: func(e *exchange) { e.forward() }},
		{name: "reset after forwarding", learnt: nothing, forwarded: true, act: func(e *exchange) {
			e.forward()
			_ = e.conn.SetLinger(0)
		}},
		answering("cut in the status line", nothing, func(head, _ string) string { return head[:5] }),
		answering("cut after the status line", nothing, func(head, _ string) string { return head[:strings.Index(head, "\n")+1] }),
		answering("cut in the answer's head", nothing, func(head, _ string) string { return head[:len(head)-2] }),
		answering("cut after the answer's head", createdNoID, func(head, _ string) string { return head }),
		answering("cut in the answer's body", createdNoID, func(head, body string) string { return head + body[:len(body)/2] }),
		answering("cut one byte before the end", createdNoID, func(head, body string) string { return head + body[:len(body)-1] }),
		answering("cut after the answer", createdID, func(head, body string) string { return head + body }),
		answering("content length too long", createdNoID, func(_, body string) string { return answer200(len(body)+1, body) }),
		answering("content length too short", createdNoID, func(_, body string) string { return answer200(len(body)-1, body) }),
		answering("garbage", nothing, func(string, string) string { return strings.Repeat("\x00\xff garbage\r\n", 9) }),
		answering("200 without a body", createdNoID, func(string, string) string { return whole200("") }),
		answering("200 with an empty object", createdNoID, func(string, string) string { return whole200("{}") }),
		answering("200 that is not JSON", createdNoID, func(string, string) string { return whole200("<p>ok</p>") }),
		answering("200 with a list for an id", createdNoID, func(string, string) string { return whole200(`{"id":["1"]}`) }),
		answering("200 with a fraction for an id", createdNoID, func(string, string) string { return whole200(`{"id":1.5}`) }),
		answering("200 with null for an id", createdNoID, func(string, string) string { return whole200(`{"id":null}`) }),
		answering("two answers", createdID, func(head, body string) string {
			return head + body + whole200(`{"id":"4711"}`)
		}),
		answering("1xx and the end", nothing, func(string, string) string { return "HTTP/1.1 103 Early Hints\r\n\r\n" }),
		hanging("1xx and nothing", nothing, func(string, string) string { return "HTTP/1.1 103 Early Hints\r\n\r\n" }),
		{name: "hangs before reading", slow: true, learnt: nothing, act: (*exchange).hang},
		{name: "hangs before forwarding", slow: true, learnt: nothing, act: func(e *exchange) {
			e.read()
			e.hang()
		}},
		hanging("hangs after forwarding", nothing, func(string, string) string { return "" }),
		hanging("hangs after the answer's head", createdNoID, func(head, _ string) string { return head }),
		hanging("hangs in the answer's body", createdNoID, func(head, body string) string { return head + body[:len(body)/2] }),
		{name: "drips its head", slow: true, forwarded: true, learnt: nothing, act: func(e *exchange) {
			head, _ := e.forward()
			e.drip(head)
		}},
		{name: "drips its body", slow: true, forwarded: true, learnt: createdNoID, act: func(e *exchange) {
			head, body := e.forward()
			e.write(head)
			e.drip(body)
		}},
		{name: "redirect to itself", learnt: notCreated, act: func(e *exchange) {
			e.read()
			e.write(headOf(http.StatusTemporaryRedirect, http.Header{"Location": {e.url() + e.path}}, 0))
		}},
	}
}

// answering forwards the request, answers with what is made of the answer, and
// closes the connection.
func answering(name string, l learnt, change func(head, body string) string) httpPhase {
	return httpPhase{name: name, forwarded: true, learnt: l, act: func(e *exchange) { e.write(change(e.forward())) }}
}

// hanging is answering, but the connection stays open.
func hanging(name string, l learnt, change func(head, body string) string) httpPhase {
	return httpPhase{name: name, forwarded: true, slow: true, learnt: l, act: func(e *exchange) {
		e.write(change(e.forward()))
		e.hang()
	}}
}

func answer200(length int, body string) string {
	return headOf(http.StatusOK, http.Header{"Content-Type": {"application/json"}}, length) + body
}

func whole200(body string) string { return answer200(len(body), body) }

type httpCase struct {
	httpPhase

	kind string
	path string
}

func (c httpCase) String() string { return words(c.kind, c.path[1:], c.name) }

// refusing is a transport whose first connection is refused.
func refusing(p *proxy) http.RoundTripper {
	return &http.Transport{DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
		if p.met.CompareAndSwap(false, true) {
			addr = "127.0.0.1:1" // Nobody listens there.
		}
		return new(net.Dialer).DialContext(ctx, network, addr)
	}}
}

// throughProxy delivers the message through a proxy that misbehaves, and
// returns the record.
func (c *single) throughProxy(hc httpCase) *ledger.Record {
	c.t.Helper()
	p := newProxy(c.t, c.Server, hc.path, hc.httpPhase)
	cfg := intercom.Config{Token: intercom.StaticToken(token), BaseURL: p.url()}
	if hc.refused {
		cfg.Transport = refusing(p)
	}
	client, err := intercom.New(cfg)
	require.NoError(c.t, err)
	c.t.Cleanup(client.Close)
	timeout := enumRequestTimeout
	if hc.slow {
		timeout = dripTimeout
	}
	c.enqueue()
	c.run(c.rdb, client, timeout)
	r := c.atRest()
	require.True(c.t, p.met.Load(), "the proxy was not asked")
	return r
}

// TestAFaultAtEveryPhaseOfTheRequest has the first request for a message go
// wrong at each point.
//
//nolint:paralleltest // It keeps the machine busy: tests that know times run after it.
func TestAFaultAtEveryPhaseOfTheRequest(t *testing.T) {
	var cases []httpCase
	for _, phase := range httpPhases() {
		for _, kind := range kindsOfMessages() {
			cases = append(cases, httpCase{phase, kind, "/messages"})
		}
	}
	s := newStand(t)
	each(t, s, cases, func(t *testing.T, hc httpCase) {
		c := s.single(t, hc.kind)
		r := c.throughProxy(hc)
		is := truth{unknown: hc.learnt == nothing, noID: hc.learnt == createdNoID}
		if hc.learnt == nothingOrNotCreated {
			is.unknown = r.PossibleDuplicate || r.State == ledger.Held
		}
		if is.unknown && hc.forwarded {
			is.copies = 1
		}
		c.check(r, is)
	})
}

// TestAFaultAtEveryPhaseOfASearch has a message created without saying so,
// and then the first search for it go wrong at each point.
//
//nolint:paralleltest // It keeps the machine busy: tests that know times run after it.
func TestAFaultAtEveryPhaseOfASearch(t *testing.T) {
	var cases []httpCase
	for _, phase := range httpPhases() {
		if phase.act != nil {
			cases = append(cases, httpCase{phase, opens, "/conversations/search"})
		}
	}
	s := newStand(t)
	each(t, s, cases, func(t *testing.T, hc httpCase) {
		c := s.single(t, hc.kind)
		s.InjectFault(intercomtest.Fault{Contact: c.key, Status: http.StatusInternalServerError, AfterCreate: true, Times: 1})
		c.check(c.throughProxy(hc), truth{unknown: true, copies: 1})
	})
}
