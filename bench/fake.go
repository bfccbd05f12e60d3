package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/intercom-dispatch/intercom-dispatch/internal/httpserver"
)

// rateLimit is so high that no worker is ever held back by it.
const (
	rateLimit  = 100_000_000
	rateWindow = 10 // seconds
)

// fake answers as Intercom does, but keeps nothing except for when each
// message arrived. The one for tests, intercomtest, checks and keeps so much
// that on two cores it would be a good part of what is measured.
type fake struct {
	latency time.Duration

	mu         sync.Mutex
	arrivedAt  []int64 // by number, Unix nanoseconds, 0 for not yet
	order      []int64 // the same, in the order of arrival
	duplicates int
	waiting    []*waiter
}

// waiter waits for a number of messages, or for one of them.
type waiter struct {
	until func() bool // called with mu held
	done  chan struct{}
}

func runFake(ctx context.Context, s spec, ready func(string) error) error {
	f := &fake{latency: s.Latency, arrivedAt: make([]int64, s.Capacity), order: make([]int64, 0, s.Capacity)}
	ln, err := httpserver.Listen(ctx, "127.0.0.1:0")
	if err != nil {
		return err
	}
	if err := ready(ln.Addr().String()); err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /messages", f.create)
	mux.HandleFunc("GET /me", f.me)
	mux.HandleFunc("GET /bench/created", f.created)
	mux.HandleFunc("GET /bench/arrival", f.arrival)
	mux.HandleFunc("GET /bench/arrivals", f.arrivals)
	return httpserver.Serve(ctx, ln, mux, httpserver.Config{})
}

func (f *fake) create(w http.ResponseWriter, r *http.Request) {
	now := time.Now()
	body, err := io.ReadAll(r.Body)
	number, text, ok := numberOf(body)
	if err != nil || !ok || number >= len(f.arrivedAt) {
		http.Error(w, "not a message of this benchmark", http.StatusBadRequest)
		return
	}
	nth := f.note(number, now)
	if f.latency > 0 {
		timer := time.NewTimer(f.latency)
		defer timer.Stop()
		<-timer.C
	}
	describe(w.Header(), nth, now)
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	fmt.Fprintf(w, `{"type":"admin_message","id":"%d","created_at":%d,"subject":"","body":"%s","message_type":"inapp",`+
		`"owner":{"type":"admin","id":"394051","name":"Admin","email":"admin@example.com","away_mode_enabled":false,`+
		`"away_mode_reassign":false}}`, 403_918_001+nth, now.Unix(), text)
}

// note counts a message and returns how many there were before it.
func (f *fake) note(number int, now time.Time) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.arrivedAt[number] != 0 {
		f.duplicates++
		return len(f.order) + f.duplicates
	}
	f.arrivedAt[number] = now.UnixNano()
	f.order = append(f.order, now.UnixNano())
	f.waiting = slices.DeleteFunc(f.waiting, (*waiter).over)
	return len(f.order) + f.duplicates - 1
}

// describe sets the headers that Intercom sends with each answer.
func describe(h http.Header, used int, now time.Time) {
	reset := (now.Unix()/rateWindow + 1) * rateWindow
	h.Set("X-Ratelimit-Limit", strconv.Itoa(rateLimit))
	h.Set("X-Ratelimit-Remaining", strconv.Itoa(rateLimit-used))
	h.Set("X-Ratelimit-Reset", strconv.FormatInt(reset, 10))
	h.Set("X-Request-Id", strconv.Itoa(used))
}

func (f *fake) me(w http.ResponseWriter, _ *http.Request) {
	describe(w.Header(), 0, time.Now())
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	_, _ = io.WriteString(w, `{"type":"admin","id":"394051","name":"Admin","app":{"type":"app","id_code":"bench"}}`)
}

// creation is what there is once enough messages were created.
type creation struct {
	Created    int `json:"created"`
	Duplicates int `json:"duplicates"`
	// At is when the last one that was waited for arrived, in Unix nanoseconds.
	At int64 `json:"at"`
}

// created answers once there are ?n= messages.
func (f *fake) created(w http.ResponseWriter, r *http.Request) {
	n, err := strconv.Atoi(r.URL.Query().Get("n"))
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	if !f.wait(r.Context(), func() bool { return len(f.order) >= n }) {
		return
	}
	f.mu.Lock()
	doc := creation{Created: len(f.order), Duplicates: f.duplicates}
	if doc.Created > 0 {
		doc.At = f.order[doc.Created-1]
	}
	f.mu.Unlock()
	_ = json.NewEncoder(w).Encode(doc)
}

// arrival answers with when message ?number= arrived, once it has.
func (f *fake) arrival(w http.ResponseWriter, r *http.Request) {
	n, err := strconv.Atoi(r.URL.Query().Get("number"))
	if err != nil || n < 0 || n >= len(f.arrivedAt) {
		http.Error(w, "no such number", http.StatusBadRequest)
		return
	}
	if f.wait(r.Context(), func() bool { return f.arrivedAt[n] != 0 }) {
		f.mu.Lock()
		defer f.mu.Unlock()
		_ = json.NewEncoder(w).Encode(f.arrivedAt[n])
	}
}

// wait waits until a condition is true, and tells whether it is.
func (f *fake) wait(ctx context.Context, until func() bool) bool {
	w := &waiter{until, make(chan struct{})}
	f.mu.Lock()
	if !w.over() {
		f.waiting = append(f.waiting, w)
	}
	f.mu.Unlock()
	select {
	case <-w.done:
		return true
	case <-ctx.Done():
		return false
	}
}

// over lets the waiter go if what it waits for is there.
func (w *waiter) over() bool {
	if !w.until() {
		return false
	}
	close(w.done)
	return true
}

// arrivals answers with when each message arrived, by number.
func (f *fake) arrivals(w http.ResponseWriter, _ *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	_ = json.NewEncoder(w).Encode(f.arrivedAt)
}
