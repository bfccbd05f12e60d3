package intercom

import (
	"errors"
	"fmt"
	"time"
)

// ValidationError says which field of a message Intercom would reject, and
// why.
type ValidationError struct {
	// Field is the path of the field as in the JSON, such as "to[1].id".
	Field string
	// Reason completes the sentence "Field …", such as "is required". It
	// never holds the message's text.
	Reason string
}

func (e *ValidationError) Error() string { return e.Field + " " + e.Reason }

// ErrorDetail is one entry of Intercom's error list.
type ErrorDetail struct {
	Code    string `json:"code"`
	Message string `json:"message"`
	Field   string `json:"field"`
}

// APIError is an answer that is not a success.
type APIError struct {
	// Response is the answer's status and headers.
	Response Response
	// Listed tells whether the body was one of Intercom's error documents. If
	// not, a proxy or another server may have answered in Intercom's place.
	Listed bool
	// Errors are the entries of Intercom's error list, the first of which
	// Error quotes. Empty unless Listed.
	Errors []ErrorDetail
	// RequestID is Intercom's id for the request, to quote to its support.
	RequestID string
}

// Code returns the first error's code, or "" if there is none.
func (e *APIError) Code() string {
	if len(e.Errors) == 0 {
		return ""
	}
	return e.Errors[0].Code
}

// Message returns the first error's message, or "" if there is none.
func (e *APIError) Message() string {
	if len(e.Errors) == 0 {
		return ""
	}
	return e.Errors[0].Message
}

func (e *APIError) Error() string {
	s := fmt.Sprintf("intercom answered %d", e.Response.Status)
	if c := e.Code(); c != "" {
		s += " " + c
	}
	if m := e.Message(); m != "" {
		s += ": " + m
	}
	if e.RequestID != "" {
		s += " (request " + e.RequestID + ")"
	}
	return s
}

// TransportError is a request that got no answer.
type TransportError struct {
	// MaybeSent tells whether the whole request may have reached Intercom. If
	// false, it certainly did not.
	MaybeSent bool
	// Err is what the transport reported, without the URL's credentials.
	Err error
}

func (e *TransportError) Error() string {
	if e.MaybeSent {
		return "no answer from intercom, the request may have arrived: " + e.Err.Error()
	}
	return "request did not reach intercom: " + e.Err.Error()
}

func (e *TransportError) Unwrap() error { return e.Err }

// ErrNoToken is wrapped by errors about the access token itself: it could not
// be read, or cannot be one. No request was made.
var ErrNoToken = errors.New("no usable access token")

// BodyError is a successful answer whose body could not be used. After a
// create request the message exists, but its id is unknown.
type BodyError struct {
	Response Response
	Err      error
}

func (e *BodyError) Error() string {
	return fmt.Sprintf("intercom answered %d with an unusable body: %v", e.Response.Status, e.Err)
}

func (e *BodyError) Unwrap() error { return e.Err }

// Response is what an answer's status line and headers say.
type Response struct {
	// Status is the HTTP status code.
	Status int
	// RequestID is the X-Request-Id header, if there was one.
	RequestID string
	// RateLimit is the app's budget, nil where the answer did not say.
	RateLimit *RateLimit
	// Date is the Date header: Intercom's clock. Zero if there was none.
	Date time.Time
	// Canonical is the id of the contact into which the one that was asked for
	// has been merged, where the answer says so.
	Canonical string
}

// RateLimit is Intercom's budget for the current window, as the headers
// X-RateLimit-Limit, -Remaining and -Reset tell it. Windows are 10 s long:
// 1,000 requests a minute come as a Limit of 167.
type RateLimit struct {
	// Limit is the number of requests in a window.
	Limit int
	// Remaining is the number of requests that are left in it.
	Remaining int
	// Reset is the end of the window, in whole seconds.
	Reset time.Time
}
