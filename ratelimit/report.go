package ratelimit

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/intercom-dispatch/intercom-dispatch/intercom"
)

const statusTooMany = http.StatusTooManyRequests

// report is what Redis is to be told: what answers have said, and which permits
// are done with.
type report struct {
	windows map[int]*spent
	labels  map[int64]*said
	// dateLow and dateHigh bound by how much Intercom's clock is ahead of the
	// process', by the Date headers.
	dateLow, dateHigh time.Duration
	dated             bool
	// unlimited and throttled tell of answers that had no rate limit: of 2xx,
	// and of 429.
	unlimited, throttled bool
}

// spent counts the permits of a window that were answered or given back.
type spent struct{ answered, back int }

// said is what the answers of one window have in common.
type said struct {
	limit, remaining int
	// lastSent is of the request that was sent last, firstReceived of the
	// answer that came first.
	lastSent, firstReceived time.Time
	throttled               bool
}

func (r *report) empty() bool {
	return len(r.windows) == 0 && len(r.labels) == 0 && !r.unlimited && !r.throttled
}

func (r *report) window(number int) *spent {
	if r.windows == nil {
		r.windows = map[int]*spent{}
	}
	w := r.windows[number]
	if w == nil {
		w = &spent{}
		r.windows[number] = w
	}
	return w
}

// add takes in an answer. Without a Date or rate limit it tells less.
func (r *report) add(resp *intercom.Response, sentAt, receivedAt time.Time) {
	if !resp.Date.IsZero() {
		r.addDate(resp.Date, sentAt, receivedAt)
	}
	limit := resp.RateLimit
	if limit == nil {
		r.throttled = r.throttled || resp.Status == statusTooMany
		r.unlimited = r.unlimited || resp.Status/100 == 2
		return
	}
	if r.labels == nil {
		r.labels = map[int64]*said{}
	}
	label := limit.Reset.Unix()
	s := r.labels[label]
	if s == nil {
		s = &said{remaining: limit.Remaining, lastSent: sentAt, firstReceived: receivedAt}
		r.labels[label] = s
	}
	s.limit = limit.Limit
	s.remaining = min(s.remaining, limit.Remaining)
	if sentAt.After(s.lastSent) {
		s.lastSent = sentAt
	}
	if receivedAt.Before(s.firstReceived) {
		s.firstReceived = receivedAt
	}
	s.throttled = s.throttled || resp.Status == statusTooMany
}

// addDate narrows the bounds down: at some time between the sending and the
// arrival Intercom's clock was within the second that the header names.
func (r *report) addDate(date, sentAt, receivedAt time.Time) {
	low, high := date.Sub(receivedAt), date.Add(time.Second).Sub(sentAt)
	if !r.dated {
		r.dateLow, r.dateHigh, r.dated = low, high, true
		return
	}
	r.dateLow, r.dateHigh = max(r.dateLow, low), min(r.dateHigh, high)
}

// request is a call of leaseScript.
type request struct {
	token                 string
	urgent, normal, stock int
	report                report
}

func (q *request) windows() []int { return slices.Sorted(maps.Keys(q.report.windows)) }

func (q *request) labels() []int64 { return slices.Sorted(maps.Keys(q.report.labels)) }

// args are the script's arguments. Ages are as of now, which is why they are
// made anew when a call is repeated.
func (q *request) args(cfg *Config, now time.Time, slack time.Duration) []any {
	r := &q.report
	args := []any{
		q.token, millis(cfg.Window), cfg.Share, *cfg.Reserve, q.urgent, q.normal, q.stock, millis(slack),
		"", "", flag(r.unlimited), flag(r.throttled), len(r.windows),
	}
	if r.dated {
		// Redis' time of the call stands for the process' now.
		at := float64(now.UnixMicro()) / 1000
		args[8], args[9] = at+millis(r.dateLow), at+millis(r.dateHigh)
	}
	for _, n := range q.windows() {
		w := r.windows[n]
		args = append(args, n, w.answered, w.back)
	}
	for _, label := range q.labels() {
		s := r.labels[label]
		args = append(args, label, s.limit, s.remaining,
			millis(now.Sub(s.lastSent)), millis(now.Sub(s.firstReceived)), flag(s.throttled))
	}
	return args
}

func millis(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

func flag(b bool) int {
	if b {
		return 1
	}
	return 0
}

// total is the number of permits that are wanted at once.
func (q *request) total() int { return q.urgent + q.normal }

// grant is the script's answer.
type grant struct {
	urgent, normal, stock int
	window                int
	void, again           time.Duration
	limit, left           int
}

func parseGrant(res []string) (*grant, error) {
	if len(res) != 8 {
		return nil, fmt.Errorf("lease permits: the script answered %d values", len(res))
	}
	n := make([]int, len(res))
	for i, text := range res {
		var err error
		if n[i], err = strconv.Atoi(text); err != nil {
			return nil, fmt.Errorf("lease permits: the script answered %q", text)
		}
	}
	return &grant{
		urgent: n[0], normal: n[1], stock: n[2], window: n[3],
		void: time.Duration(n[4]) * time.Millisecond, again: time.Duration(n[5]) * time.Millisecond,
		limit: n[6], left: n[7],
	}, nil
}
