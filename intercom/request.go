package intercom

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strings"
)

// How much of an answer is read, in bytes.
const (
	shortAnswer = 1 << 20
	longAnswer  = 16 << 20
)

var errNoID = errors.New("it has no id")

// call is one request.
type call struct {
	method  string
	path    string
	version version
	body    []byte
	limit   int64
}

// fetch makes the request and reads a successful answer into a T.
func fetch[T any](ctx context.Context, c *Client, r call) (*T, *Response, error) {
	// The cause is what an operator reads: which limit ended the request.
	ctx, cancel := context.WithTimeoutCause(ctx, c.timeout,
		fmt.Errorf("no answer within %s: %w", c.timeout, context.DeadlineExceeded))
	defer cancel()

	token, err := c.askToken()
	if err != nil {
		return nil, nil, &TransportError{Err: err}
	}
	answer, err := c.roundTrip(ctx, r, token)
	if err != nil {
		return nil, nil, err
	}
	// All that is wanted has been read by then.
	defer func() { _ = answer.Body.Close() }()

	res := newResponse(answer)
	body, err := readUpTo(answer.Body, r.limit)
	if answer.StatusCode < 200 || answer.StatusCode > 299 {
		if err != nil {
			body = nil // the half of an error document says nothing
		}
		return nil, res, newAPIError(*res, body, token)
	}
	if err != nil {
		return nil, res, &BodyError{Response: *res, Err: withContext(ctx, err)}
	}
	var v T
	if err := json.Unmarshal(body, &v); err != nil {
		return nil, res, &BodyError{Response: *res, Err: withoutText(err)}
	}
	return &v, res, nil
}

// roundTrip calls the transport itself: an [http.Client] would add what is not
// wanted here, such as following redirects, which could send a message twice
// or the token elsewhere.
func (c *Client) roundTrip(ctx context.Context, r call, token string) (*http.Response, error) {
	if ctx.Err() != nil {
		return nil, &TransportError{Err: withContext(ctx, context.Cause(ctx))}
	}
	trace := &sendTrace{hooksRequired: c.own == nil}
	req, err := c.newRequest(httptrace.WithClientTrace(ctx, trace.hooks()), r, token)
	if err != nil {
		return nil, &TransportError{Err: withoutURL(err)}
	}
	answer, err := c.transport.RoundTrip(req)
	if err == nil && answer == nil {
		err = errors.New("the transport returned neither an answer nor an error")
	}
	if err != nil {
		return nil, &TransportError{MaybeSent: trace.maybeSent(), Err: withContext(ctx, withoutURL(err))}
	}
	return answer, nil
}

func (c *Client) newRequest(ctx context.Context, r call, token string) (*http.Request, error) {
	var body io.Reader
	if r.body != nil {
		body = bytes.NewReader(r.body)
	}
	req, err := http.NewRequestWithContext(ctx, r.method, c.base+r.path, body)
	if err != nil {
		return nil, err
	}
	// With GetBody, net/http's shouldRetryRequest repeats a request by itself
	// when a kept-alive connection turns out to be closed: a POST if nothing
	// of it was written, and, had it an Idempotency-Key header, also if all of
	// it was, which could create a message twice. Without GetBody it cannot:
	// one call is one request, and the caller counts right. So neither GetBody
	// nor that header is ever set.
	req.GetBody = nil

	req.Header.Set("Authorization", "Bearer "+token)
	req.Header.Set("Accept", "application/json")
	req.Header.Set("Intercom-Version", r.version.name)
	req.Header.Set("User-Agent", c.userAgent)
	if r.body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	return req, nil
}

func (c *Client) askToken() (string, error) {
	token, err := c.token()
	if err != nil {
		return "", fmt.Errorf("%w: %w", ErrNoToken, err)
	}
	token = strings.TrimSpace(token)
	if token == "" {
		return "", fmt.Errorf("%w: it is empty", ErrNoToken)
	}
	if strings.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r >= 0x7f }) {
		return "", fmt.Errorf("%w: it holds characters that no token has, such as a space or a line break", ErrNoToken)
	}
	return token, nil
}

func readUpTo(r io.Reader, limit int64) ([]byte, error) {
	b, err := io.ReadAll(io.LimitReader(r, limit+1))
	if err != nil {
		return nil, fmt.Errorf("read the answer: %w", err)
	}
	if int64(len(b)) > limit {
		// Closing the body now gives the connection up, which is cheaper than
		// reading an answer of unknown length to its end.
		return nil, fmt.Errorf("the answer is longer than %d bytes", limit)
	}
	return b, nil
}

// withContext makes sure that errors.Is finds the reason why ctx ended: what
// the transport reports may be the network error that came of it.
func withContext(ctx context.Context, err error) error {
	if ended := ctx.Err(); ended != nil && !errors.Is(err, ended) {
		return fmt.Errorf("%w: %w", ended, err)
	}
	return err
}

// withoutURL takes away the URL that net/url's errors quote.
func withoutURL(err error) error {
	if e, ok := errors.AsType[*url.Error](err); ok {
		return e.Err
	}
	return err
}

// withoutText describes why JSON could not be read without quoting it.
func withoutText(err error) error {
	if e, ok := errors.AsType[*json.UnmarshalTypeError](err); ok && e.Field != "" {
		return fmt.Errorf("%s has another type than expected", e.Field)
	}
	if e, ok := errors.AsType[*json.SyntaxError](err); ok {
		return fmt.Errorf("it is not valid JSON: see byte %d", e.Offset)
	}
	return errors.New("it is not the JSON that was expected")
}
