package worker

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/intercom-dispatch/intercom-dispatch/intercom"
)

func answered(status int, code, message string) error {
	e := &intercom.APIError{Response: intercom.Response{Status: status}, RequestID: "req-1"}
	if code != "" {
		e.Listed = true
		e.Errors = []intercom.ErrorDetail{{Code: code, Message: message}}
	}
	return e
}

// TestEveryAnswerHasItsOutcome holds the table of docs/state_machine.md
// against the code.
func TestEveryAnswerHasItsOutcome(t *testing.T) {
	t.Parallel()
	field := func(status int, code, name string) error {
		e := answered(status, code, "Resource Not Found").(*intercom.APIError) //nolint:errorlint // made here
		e.Errors[0].Field = name
		return e
	}
	tests := []struct {
		name string
		err  error
		want Kind
	}{
		{"200 with an id", nil, KindSent},
		{"200 with an unusable body", &intercom.BodyError{Err: errors.New("no id")}, KindSentUnknownID},
		{"404 contact", answered(404, "not_found", "User Not Found"), KindContactMissing},
		{"404 either", answered(404, "not_found", "Resource Not Found"), KindContactMissing},
		{"404 admin by code", answered(404, "admin_not_found", ""), KindRefused},
		{"404 admin by message", answered(404, "not_found", "Admin not found"), KindRefused},
		{"404 admin by field", field(404, "not_found", "from"), KindRefused},
		{"404 of another server", answered(404, "", ""), KindBlocked},
		{"401", answered(401, "unauthorized", "Access Token Invalid"), KindBlocked},
		{"401 of a proxy", answered(401, "", ""), KindBlocked},
		{"403 plan", answered(403, "api_plan_restricted", "Active subscription needed."), KindBlocked},
		{"403 token", answered(403, "token_revoked", ""), KindBlocked},
		{"403 of a proxy", answered(403, "", ""), KindBlocked},
		{"403 contact has unsubscribed", answered(403, "forbidden", "Contact has unsubscribed from emails"), KindRefused},
		{"403 unclear", answered(403, "forbidden", "Not allowed"), KindBlocked},
		{"429", answered(429, "rate_limit_exceeded", "Exceeded rate limit of 167 in 10_seconds"), KindThrottled},
		{"429 of a proxy", answered(429, "", ""), KindThrottled},
		{"503 service_unavailable", answered(503, "service_unavailable", ""), KindNotSent},
		{"503 otherwise", answered(503, "", ""), KindUncertain},
		{"503 with another code", answered(503, "server_error", ""), KindUncertain},
		{"400", answered(400, "parameter_invalid", "Body is required"), KindRefused},
		{"400 of another server", answered(400, "", ""), KindBlocked},
		{"409", answered(409, "conflict", ""), KindRefused},
		{"413 of a proxy", answered(413, "", ""), KindBlocked},
		{"422", answered(422, "parameter_not_found", "No subject supplied for email message"), KindRefused},
		{"408", answered(408, "request_timeout", ""), KindUncertain},
		{"500", answered(500, "server_error", ""), KindUncertain},
		{"502", answered(502, "", ""), KindUncertain},
		{"504", answered(504, "", ""), KindUncertain},
		{"599", answered(599, "", ""), KindUncertain},
		{"302", answered(302, "", ""), KindBlocked},
		{"204 that is no answer of Intercom's", answered(204, "", ""), KindUncertain},
		{"not reached", &intercom.TransportError{Err: errors.New("dial tcp: refused")}, KindNotSent},
		{"written, then nothing", &intercom.TransportError{MaybeSent: true, Err: context.DeadlineExceeded}, KindUncertain},
		{"refused by the client", &intercom.ValidationError{Field: "to", Reason: "is required"}, KindRefused},
		{"no token", &intercom.TransportError{Err: fmt.Errorf("%w: it is empty", intercom.ErrNoToken)}, KindBlocked},
		{"unheard of", errors.New("what?"), KindUncertain},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			o := classify(&intercom.CreatedMessage{ID: "1"}, nil, tt.err)
			require.Equal(t, tt.want, o.kind)
			if tt.err != nil {
				require.NotEmpty(t, o.err.Code, "an operator needs a code")
			}
		})
	}
}

func TestThrottledWaitsForTheResetByIntercomsClock(t *testing.T) {
	t.Parallel()
	date := time.Unix(1_000_000, 0)
	tests := []struct {
		name string
		resp intercom.Response
		want time.Duration
	}{
		{"reset in 4 s", intercom.Response{Date: date, RateLimit: &intercom.RateLimit{Reset: date.Add(4 * time.Second)}}, 5 * time.Second},
		{"reset has passed", intercom.Response{Date: date, RateLimit: &intercom.RateLimit{Reset: date.Add(-9 * time.Second)}}, time.Second},
		{"nonsense", intercom.Response{Date: date, RateLimit: &intercom.RateLimit{Reset: date.Add(time.Hour)}}, time.Minute},
		{"no headers", intercom.Response{}, 10 * time.Second},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			tt.resp.Status = 429
			o := classify(nil, &tt.resp, &intercom.APIError{Response: tt.resp, Listed: true})
			require.Equal(t, KindThrottled, o.kind)
			require.Equal(t, tt.want, o.wait)
		})
	}
}
