package openapitest

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"

	"github.com/getkin/kin-openapi/openapi3filter"
)

var options = &openapi3filter.Options{
	AuthenticationFunc:  openapi3filter.NoopAuthenticationFunc,
	SkipSettingDefaults: true,
	MultiError:          true,
}

// CheckRequest tells what the description says against a request with this
// body. The body is not read from r.
func (d *Description) CheckRequest(r *http.Request, body []byte) error {
	input, err := d.input(r, body)
	if err != nil {
		return err
	}
	if err := openapi3filter.ValidateRequest(r.Context(), input); err != nil {
		return fmt.Errorf("request %s %s: %w", r.Method, r.URL.Path, err)
	}
	return nil
}

// CheckResponse tells what the description says against an answer to r. Errors
// of all statuses must be error lists, also where the description does not
// have the status.
func (d *Description) CheckResponse(r *http.Request, status int, header http.Header, body []byte) error {
	input, err := d.input(r, nil)
	if err != nil {
		return err
	}
	if status >= http.StatusBadRequest {
		if err := d.schemaError("error", body); err != nil {
			return fmt.Errorf("error list of %s %s %d: %w", r.Method, r.URL.Path, status, err)
		}
	}
	err = openapi3filter.ValidateResponse(r.Context(), &openapi3filter.ResponseValidationInput{
		RequestValidationInput: input, Status: status, Header: header, Options: options,
		Body: io.NopCloser(bytes.NewReader(rewrite(body, responses))),
	})
	if err != nil {
		return fmt.Errorf("answer to %s %s: %w", r.Method, r.URL.Path, err)
	}
	return nil
}

// input is the request as it is checked: with its deviations rewritten.
func (d *Description) input(r *http.Request, body []byte) (*openapi3filter.RequestValidationInput, error) {
	route, params, err := d.router.FindRoute(r)
	if err != nil {
		return nil, fmt.Errorf("the description has no %s %s: %w", r.Method, r.URL.Path, err)
	}
	checked := r.Clone(context.WithoutCancel(r.Context()))
	checked.Body, checked.GetBody = http.NoBody, nil
	if len(body) > 0 {
		rewritten := rewrite(body, requests)
		checked.Body = io.NopCloser(bytes.NewReader(rewritten))
		checked.ContentLength = int64(len(rewritten))
	}
	return &openapi3filter.RequestValidationInput{
		Request: checked, PathParams: params, Route: route, Options: options,
	}, nil
}
