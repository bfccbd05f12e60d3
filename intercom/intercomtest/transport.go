package intercomtest

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"strconv"
)

// RoundTripper returns an in-process transport that reaches the Server without
// a socket, whatever the request's host is. See [HandlerTransport].
func (s *Server) RoundTripper() http.RoundTripper { return HandlerTransport(s) }

// HandlerTransport returns a transport that calls h in place of a connection,
// so that code with timeouts can be tested in a bubble of testing/synctest,
// which cannot see through sockets. It is safe for concurrent use.
//
// It behaves as [http.Transport] does where a client can tell: the hooks of
// [httptrace] are called, the request's context ends the call, and a handler
// that panics with [http.ErrAbortHandler] cuts the connection: before its
// header as an error of RoundTrip, after it as an error in the middle of the
// body, both of which are [io.ErrUnexpectedEOF]. The answer is handed over as a
// whole when h returns.
func HandlerTransport(h http.Handler) http.RoundTripper { return handlerTransport{h} }

type handlerTransport struct{ h http.Handler }

func (t handlerTransport) RoundTrip(req *http.Request) (*http.Response, error) {
	ctx := req.Context()
	if ctx.Err() != nil {
		closeBody(req)
		return nil, context.Cause(ctx)
	}
	trace := httptrace.ContextClientTrace(ctx)
	if trace == nil {
		trace = &httptrace.ClientTrace{}
	}
	fire(trace.GetConn, req.URL.Host)
	fire(trace.GotConn, httptrace.GotConnInfo{Reused: true})
	server, stop, err := serverRequest(req)
	if err != nil {
		fire(trace.WroteRequest, httptrace.WroteRequestInfo{Err: err})
		return nil, err
	}
	defer stop()
	if trace.WroteHeaders != nil {
		trace.WroteHeaders()
	}
	fire(trace.WroteRequest, httptrace.WroteRequestInfo{})
	w := &recorder{header: make(http.Header)}
	cut := w.serve(t.h, server)
	if ctx.Err() != nil {
		// Also when h has answered: the client has stopped listening.
		return nil, context.Cause(ctx)
	}
	if cut && w.status == 0 {
		return nil, errCut
	}
	if trace.GotFirstResponseByte != nil {
		trace.GotFirstResponseByte()
	}
	return w.response(req, cut), nil
}

var errCut = fmt.Errorf("intercomtest: connection cut: %w", io.ErrUnexpectedEOF)

func fire[T any](hook func(T), arg T) {
	if hook != nil {
		hook(arg)
	}
}

func closeBody(req *http.Request) {
	if req.Body != nil {
		_ = req.Body.Close()
	}
}

// serverRequest is req as its server sees it. Its context ends with the
// client's but has none of its values, as behind a socket.
func serverRequest(req *http.Request) (*http.Request, context.CancelFunc, error) {
	var body []byte
	if req.Body != nil {
		defer closeBody(req)
		var err error
		if body, err = io.ReadAll(req.Body); err != nil {
			return nil, nil, fmt.Errorf("read request body: %w", err)
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	unlink := context.AfterFunc(req.Context(), cancel)
	r := req.Clone(ctx)
	r.Body, r.GetBody = io.NopCloser(bytes.NewReader(body)), nil
	r.ContentLength = int64(len(body))
	r.RequestURI = req.URL.RequestURI()
	r.RemoteAddr = "192.0.2.1:1234"
	if r.Host == "" {
		r.Host = req.URL.Host
	}
	return r, func() { unlink(); cancel() }, nil
}

// recorder keeps what a handler answers.
type recorder struct {
	header http.Header
	sent   http.Header
	status int
	body   bytes.Buffer
}

func (w *recorder) Header() http.Header { return w.header }

func (w *recorder) WriteHeader(status int) {
	if w.status == 0 {
		w.status, w.sent = status, w.header.Clone()
	}
}

func (w *recorder) Write(b []byte) (int, error) {
	w.WriteHeader(http.StatusOK)
	return w.body.Write(b)
}

// serve calls the handler and tells whether it cut the connection.
func (w *recorder) serve(h http.Handler, r *http.Request) (cut bool) {
	defer func() {
		switch v := recover(); v {
		case nil:
		case http.ErrAbortHandler:
			cut = true
		default:
			panic(v)
		}
	}()
	h.ServeHTTP(w, r)
	w.WriteHeader(http.StatusOK)
	return false
}

func (w *recorder) response(req *http.Request, cut bool) *http.Response {
	resp := &http.Response{
		Status:     strconv.Itoa(w.status) + " " + http.StatusText(w.status),
		StatusCode: w.status,
		Proto:      "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: w.sent, ContentLength: int64(w.body.Len()), Request: req,
		Body: io.NopCloser(&w.body),
	}
	if cut {
		resp.Body = io.NopCloser(io.MultiReader(&w.body, brokenReader{}))
		resp.ContentLength = -1
		if n, err := strconv.ParseInt(w.sent.Get("Content-Length"), 10, 64); err == nil {
			resp.ContentLength = n
		}
	}
	return resp
}

// brokenReader is the rest of a body whose connection was cut.
type brokenReader struct{}

func (brokenReader) Read([]byte) (int, error) { return 0, errCut }
