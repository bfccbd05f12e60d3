package intercom

import (
	"encoding/json"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// How much of an answer's texts is kept, in bytes: errors are logged, stored
// in Redis and shown on pages.
const (
	maxMessageLen = 200
	maxLabelLen   = 100
	maxErrors     = 10
)

// canonical is the link that names the contact into which another one was merged,
// anywhere in a Link header. It is documented with a path (OpenAPI description of
// 2.16, GET /contacts/{contact_id}, 410); RFC 8288 would allow a URL.
var canonical = regexp.MustCompile(`(?i)<(?:[^<>]*/)?contacts/([0-9a-z_-]+)>\s*;\s*rel\s*=\s*"?canonical"?\s*(?:[;,]|$)`)

func newResponse(answer *http.Response) *Response {
	h := answer.Header
	res := &Response{
		Status:    answer.StatusCode,
		RequestID: clip(h.Get("X-Request-Id"), maxLabelLen),
		RateLimit: rateLimit(h),
	}
	// Half of an id would be another contact's.
	if link := canonical.FindStringSubmatch(strings.Join(h.Values("Link"), ",")); link != nil && len(link[1]) <= maxLabelLen {
		res.Canonical = link[1]
	}
	if date, err := http.ParseTime(h.Get("Date")); err == nil {
		res.Date = date
	}
	return res
}

// rateLimit returns nil unless all three headers are there and make sense.
func rateLimit(h http.Header) *RateLimit {
	number := func(name string) (int64, bool) {
		n, err := strconv.ParseInt(strings.TrimSpace(h.Get(name)), 10, 64)
		return n, err == nil
	}
	limit, ok1 := number("X-RateLimit-Limit")
	remaining, ok2 := number("X-RateLimit-Remaining")
	reset, ok3 := number("X-RateLimit-Reset")
	if !ok1 || !ok2 || !ok3 || limit <= 0 || reset <= 0 {
		return nil
	}
	return &RateLimit{
		Limit:     int(limit),
		Remaining: int(max(remaining, 0)),
		Reset:     time.Unix(reset, 0).UTC(),
	}
}

// errorDocument is either of the two shapes in which Intercom reports errors.
type errorDocument struct {
	Type      string        `json:"type"`
	RequestID ID            `json:"request_id"`
	Message   string        `json:"message"`
	Errors    []ErrorDetail `json:"errors"`
}

// newAPIError reads an error's body, which may be anything. The token is cut
// out, because some proxies answer with the request they got.
func newAPIError(res Response, body []byte, token string) *APIError {
	e := &APIError{Response: res, RequestID: res.RequestID}
	var doc errorDocument
	if json.Unmarshal(body, &doc) != nil {
		return e
	}
	switch doc.Type {
	case "error.list":
		e.Errors = doc.Errors
	case "error":
		e.Errors = []ErrorDetail{{Message: doc.Message}}
	default:
		return e
	}
	e.Listed = true
	text := func(s string, limit int) string {
		return clip(strings.ReplaceAll(s, token, "[token]"), limit)
	}
	e.Errors = e.Errors[:min(len(e.Errors), maxErrors)]
	for i, d := range e.Errors {
		e.Errors[i] = ErrorDetail{
			Code:    text(d.Code, maxLabelLen),
			Message: text(d.Message, maxMessageLen),
			Field:   text(d.Field, maxLabelLen),
		}
	}
	if doc.RequestID != "" {
		e.RequestID = text(string(doc.RequestID), maxLabelLen)
	}
	return e
}
