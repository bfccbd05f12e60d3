package intercomtest

import (
	"fmt"
	"net/http"
	"strconv"
	"time"
)

// budget counts requests in windows that begin at whole multiples of their
// length in Unix time.
type budget struct {
	limit  int
	window time.Duration

	index int64
	used  int
}

// take counts one request and tells whether it is within the limit. A request
// that is not within it is not counted.
func (b *budget) take(now time.Time) bool {
	b.roll(now)
	if b.used >= b.limit {
		return false
	}
	b.used++
	return true
}

// spend counts n requests that somebody else made.
func (b *budget) spend(now time.Time, n int) {
	b.roll(now)
	b.used += n
}

func (b *budget) roll(now time.Time) {
	if i := now.UnixNano() / int64(b.window); i != b.index {
		b.index, b.used = i, 0
	}
}

// describe sets the headers that tell the budget. It must follow take.
func (b *budget) describe(h http.Header) {
	end := time.Duration(b.index+1) * b.window
	reset := int64((end + time.Second - 1) / time.Second)
	h.Set("X-RateLimit-Limit", strconv.Itoa(b.limit))
	h.Set("X-RateLimit-Remaining", strconv.Itoa(max(0, b.limit-b.used)))
	h.Set("X-RateLimit-Reset", strconv.FormatInt(reset, 10))
}

// exceeded is Intercom's sentence for a window that is used up.
func (b *budget) exceeded() string {
	unit := fmt.Sprintf("%d_seconds", int64(b.window/time.Second))
	if b.window%time.Second != 0 {
		unit = fmt.Sprintf("%d_milliseconds", b.window.Milliseconds())
	}
	return fmt.Sprintf("Exceeded rate limit of %d in %s", b.limit, unit)
}
