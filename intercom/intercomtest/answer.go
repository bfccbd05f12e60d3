package intercomtest

import (
	"encoding/json"
	"errors"
	"io"
	"maps"
	"net"
	"net/http"
	"strconv"
)

// answer is what a request gets.
type answer struct {
	status int
	header http.Header
	body   []byte
}

// The documents of Intercom's errors.
type (
	errorList struct {
		Type      string        `json:"type"`
		RequestID string        `json:"request_id"`
		Errors    []errorDetail `json:"errors"`
	}
	errorDetail struct {
		Code    string `json:"code"`
		Message string `json:"message"`
		Field   string `json:"field,omitempty"`
	}
)

// failure is an answer that is an error list with one entry.
type failure struct {
	status               int
	code, message, field string
}

func (f *failure) answer(requestID string) answer {
	return document(f.status, errorList{
		Type:      "error.list",
		RequestID: requestID,
		Errors:    []errorDetail{{Code: f.code, Message: f.message, Field: f.field}},
	})
}

func badRequest(code, message, field string) *failure {
	return &failure{http.StatusBadRequest, code, message, field}
}

func invalid(field, message string) *failure {
	return badRequest("parameter_invalid", message, field)
}

func notFound(message, field string) *failure {
	return &failure{http.StatusNotFound, "not_found", message, field}
}

func unprocessable(message string) *failure {
	return &failure{http.StatusUnprocessableEntity, "parameter_not_found", message, ""}
}

// document is an answer of v as JSON.
func document(status int, v any) answer {
	body, err := json.Marshal(v)
	if err != nil {
		// Every document is a struct of this package without a custom marshaller
		// that could fail.
		panic(err)
	}
	return answer{status: status, body: body, header: http.Header{
		"Content-Type": {"application/json; charset=utf-8"},
	}}
}

// write sends the answer, or as much of it as cut leaves. The headers in more
// go over its own.
func (a answer) write(w http.ResponseWriter, more http.Header, cut CutPoint) {
	if cut == CutBeforeCreate || cut == CutAfterCreate {
		abort(w, true)
		return
	}
	maps.Copy(w.Header(), a.header)
	maps.Copy(w.Header(), more)
	if a.body != nil {
		w.Header().Set("Content-Length", strconv.Itoa(len(a.body)))
	}
	w.WriteHeader(a.status)
	if cut == CutInBody {
		_, _ = w.Write(a.body[:len(a.body)/2])
		_ = http.NewResponseController(w).Flush()
		abort(w, false)
		return
	}
	// A failed write is a client that has gone: nobody is left to tell.
	_, _ = w.Write(a.body)
}

// abort ends the connection. With reset the peer sees it at once as an error;
// without, it first reads what was sent.
func abort(w http.ResponseWriter, reset bool) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		// HTTP/2 and in-process transports have no connection to take. The
		// server of net/http, and RoundTripper, end the request at this panic.
		panic(http.ErrAbortHandler)
	}
	if tcp, ok := conn.(*net.TCPConn); ok && reset {
		_ = tcp.SetLinger(0)
	}
	_ = conn.Close()
}

// readBody returns the request's body, or what to answer where it is too long
// or broken off.
func readBody(w http.ResponseWriter, r *http.Request) ([]byte, *failure) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err == nil {
		return body, nil
	}
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return nil, &failure{http.StatusRequestEntityTooLarge, "client_error", "Request body is too large", ""}
	}
	return nil, badRequest("bad_request", "Request body could not be read", "")
}

const maxBody = 1 << 20
