package intercomtest

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"path"
	"slices"
	"strings"
	"time"
)

// CutPoint is where a fault closes the connection.
type CutPoint int

// The points at which a connection can be closed.
const (
	// NoCut leaves the connection alone.
	NoCut CutPoint = iota
	// CutBeforeCreate closes it before the request is handled: nothing is
	// created and nothing answered.
	CutBeforeCreate
	// CutAfterCreate closes it after the request was handled: what it creates
	// exists, and nothing is answered.
	CutAfterCreate
	// CutInBody closes it in the middle of the answer's body: what the request
	// creates exists.
	CutInBody
)

// Fault is something that goes wrong. Which requests it matches, when it
// happens to them and what happens are independent of each other; the zero
// value of each field leaves it out.
//
// A request that lacks a good token, room in the rate limit or a needed header
// meets no fault and is not counted by one.
type Fault struct {
	// Name is what the log says of the requests that met it. Empty means
	// "fault-1", by the order of injection.
	Name string

	// Method is the method of the requests it matches. Empty matches any.
	Method string
	// Path is their path, or a pattern for [path.Match]. Empty means
	// "/messages", and "*" matches any path.
	Path string
	// Contact matches only messages that go to the contact with this id.
	Contact string

	// Nth makes it happen to the n-th matching request only, counted from 1.
	Nth int
	// Every makes it happen to every n-th matching request.
	Every int
	// Chance is the probability with which it happens, from 0 to 1. Zero means
	// that it is not left to chance.
	Chance float64
	// Times ends it after it has happened so often. Zero is without end.
	Times int

	// Latency is a wait before the request is handled, or with AfterCreate
	// between that and the answer. When the client gives up in the meantime,
	// the request ends there: without AfterCreate nothing is created.
	Latency time.Duration
	// Status is answered instead of what the endpoint would answer. The request
	// is not handled, unless AfterCreate is set.
	Status int
	// Body is the body of that answer. Empty means an error list with the code
	// that belongs to the status.
	Body string
	// NoBody makes that answer's body empty.
	NoBody bool
	// Header is added to the answer.
	Header http.Header
	// NoRateHeaders leaves the X-RateLimit headers out of the answer.
	NoRateHeaders bool
	// AfterCreate has the request handled before Latency and Status.
	AfterCreate bool
	// Cut closes the connection.
	Cut CutPoint
}

// faultState is a fault with what has happened of it.
type faultState struct {
	Fault
	matched int
	fired   int
}

// InjectFault adds a fault. Where several would happen to a request, only the
// one that was injected first does.
func (s *Server) InjectFault(f Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	setDefault(&f.Name, fmt.Sprintf("fault-%d", len(s.faults)+1))
	setDefault(&f.Path, messagesPath)
	f.Header = f.Header.Clone()
	s.faults = append(s.faults, &faultState{Fault: f})
}

// ClearFaults removes all faults. Requests that met one already are not helped.
func (s *Server) ClearFaults() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = nil
}

// meetFault finds the fault that happens to the request, if any. Every fault
// counts the request, so that Nth does not depend on other faults.
func (s *Server) meetFault(c *call) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, f := range s.faults {
		if !f.matches(c.entry) {
			continue
		}
		f.matched++
		if c.fault == nil && s.due(f) {
			f.fired++
			c.fault = &f.Fault
			c.entry.FaultName = f.Name
		}
	}
}

func (f *Fault) matches(r Request) bool {
	if f.Method != "" && !strings.EqualFold(f.Method, r.Method) {
		return false
	}
	if ok, err := path.Match(f.Path, r.Path); f.Path != "*" && (err != nil || !ok) {
		return false
	}
	return f.Contact == "" || slices.Contains(r.ContactIDs, f.Contact)
}

// due tells whether the fault happens to the request it has just counted.
func (s *Server) due(f *faultState) bool {
	switch {
	case f.Times > 0 && f.fired >= f.Times:
		return false
	case f.Nth > 0 && f.matched != f.Nth:
		return false
	case f.Every > 0 && f.matched%f.Every != 0:
		return false
	case f.Chance > 0 && s.random.Float64() >= f.Chance:
		return false
	}
	return true
}

// respondFaulty is respond for a request that met a fault.
func (s *Server) respondFaulty(c *call) {
	f := c.fault
	if f.Cut == CutBeforeCreate || (!f.AfterCreate && !sleep(c.r.Context(), f.Latency)) {
		c.cut = CutBeforeCreate
		return
	}
	if f.Status == 0 || f.AfterCreate {
		c.answer = s.route(c)
	}
	if f.AfterCreate && !sleep(c.r.Context(), f.Latency) {
		c.cut = CutAfterCreate
		return
	}
	if f.Status != 0 {
		c.answer = f.answer(c.requestID)
	}
	c.cut = f.Cut
	f.addHeaders(c.header)
}

func (f *Fault) addHeaders(h http.Header) {
	for name, values := range f.Header {
		h[http.CanonicalHeaderKey(name)] = values
	}
	if f.NoRateHeaders {
		h.Del("X-RateLimit-Limit")
		h.Del("X-RateLimit-Remaining")
		h.Del("X-RateLimit-Reset")
	}
}

// statusCodes are the codes of Intercom's error lists by status.
var statusCodes = map[int]string{
	http.StatusBadRequest:          "bad_request",
	http.StatusUnauthorized:        "unauthorized",
	http.StatusForbidden:           "api_plan_restricted",
	http.StatusNotFound:            "not_found",
	http.StatusRequestTimeout:      "request_timeout",
	http.StatusConflict:            "conflict",
	http.StatusUnprocessableEntity: "unprocessable_entity",
	http.StatusTooManyRequests:     "rate_limit_exceeded",
	http.StatusServiceUnavailable:  "service_unavailable",
}

// answer is what the fault answers with its Status.
func (f *Fault) answer(requestID string) answer {
	switch {
	case f.NoBody:
		return answer{status: f.Status}
	case f.Body != "":
		media := "text/html; charset=utf-8"
		if json.Valid([]byte(f.Body)) {
			media = "application/json; charset=utf-8"
		}
		return answer{status: f.Status, body: []byte(f.Body), header: http.Header{"Content-Type": {media}}}
	}
	code, ok := statusCodes[f.Status]
	if !ok {
		code = "server_error"
		if f.Status < http.StatusInternalServerError {
			code = "client_error"
		}
	}
	fail := failure{status: f.Status, code: code, message: http.StatusText(f.Status)}
	return fail.answer(requestID)
}

// sleep waits for d and tells whether ctx lived that long.
func sleep(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return true
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
