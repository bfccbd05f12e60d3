package worker

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/intercom-dispatch/intercom-dispatch/intercom"
	"github.com/intercom-dispatch/intercom-dispatch/ledger"
	"github.com/intercom-dispatch/intercom-dispatch/ratelimit"
)

// Kind is what an attempt is known to have done.
type Kind string

const (
	// KindSent says that Intercom created the message.
	KindSent Kind = "sent"
	// KindSentUnknownID says that Intercom created the message, but its answer could
	// not be read.
	KindSentUnknownID Kind = "sent_unknown_id"
	// KindContactMissing says that the contact is not there, or not yet.
	KindContactMissing Kind = "contact_missing"
	// KindRefused says that Intercom will not take this message, however often.
	KindRefused Kind = "refused"
	// KindBlocked says that the credentials, the plan or the configuration is at
	// fault, not the message.
	KindBlocked Kind = "blocked"
	// KindThrottled says that the rate limit is used up.
	KindThrottled Kind = "throttled"
	// KindNotSent says that the request did not reach Intercom, or was not taken.
	KindNotSent Kind = "not_sent"
	// KindUncertain says that the message may have been created.
	KindUncertain Kind = "uncertain"
)

// outcome is an attempt's answer, classified.
type outcome struct {
	kind    Kind
	created *intercom.CreatedMessage // KindSent
	err     ledger.Error             // all others
	// wait is how long Intercom asks to wait, for KindThrottled.
	wait time.Duration
	// hold tells that no message of the workspace would fare better, for
	// KindBlocked.
	hold bool
}

// codeInvalid is the code of a message that the client itself refuses.
const codeInvalid = "invalid"

// classify turns what CreateMessage returned into an outcome. It is the only
// place that decides what an answer means; docs/state_machine.md has it as a
// table.
func classify(created *intercom.CreatedMessage, resp *intercom.Response, err error) outcome {
	if err == nil {
		return outcome{kind: KindSent, created: created}
	}
	if e, ok := errors.AsType[*intercom.APIError](err); ok {
		return classifyAnswer(e)
	}
	o := outcome{err: ledger.Error{Message: err.Error()}}
	if resp != nil {
		o.err.Status, o.err.RequestID = resp.Status, resp.RequestID
	}
	var (
		body      *intercom.BodyError
		transport *intercom.TransportError
		invalid   *intercom.ValidationError
	)
	switch {
	case errors.As(err, &body):
		o.kind, o.err.Code = KindSentUnknownID, "unusable_answer"
	case errors.As(err, &invalid):
		o.kind, o.err.Code = KindRefused, codeInvalid
	case errors.Is(err, intercom.ErrNoToken):
		o.kind, o.err.Code, o.hold = KindBlocked, "no_token", true
	case errors.As(err, &transport) && !transport.MaybeSent:
		o.kind, o.err.Code = KindNotSent, "not_reached"
	case errors.As(err, &transport):
		o.kind, o.err.Code = KindUncertain, "no_answer"
	default:
		// Not one of the client's own errors. Nothing is known of it.
		o.kind, o.err.Code = KindUncertain, "unknown"
	}
	return o
}

func classifyAnswer(e *intercom.APIError) outcome {
	o := outcome{err: ledger.Error{
		Code: e.Code(), Message: e.Message(), Status: e.Response.Status, RequestID: e.RequestID,
	}}
	if o.err.Code == "" {
		o.err.Code = fmt.Sprintf("http_%d", e.Response.Status)
	}
	if o.err.Message == "" {
		o.err.Message = http.StatusText(e.Response.Status)
	}
	o.kind = kindOfStatus(e)
	if o.kind == KindThrottled {
		o.wait = untilReset(e.Response)
	}
	o.hold = o.kind == KindBlocked && concernsAll(e)
	if o.kind == KindBlocked && !e.Listed {
		o.err.Message += ": not an answer of Intercom's; is the base URL right?"
	}
	return o
}

// concernsAll tells whether the answer would be the same for every message. A
// proxy's 413 would not.
func concernsAll(e *intercom.APIError) bool {
	switch e.Response.Status {
	case http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound:
		return true
	default:
		return e.Response.Status < http.StatusBadRequest // A redirect.
	}
}

func kindOfStatus(e *intercom.APIError) Kind {
	switch status := e.Response.Status; {
	case status == http.StatusNotFound:
		return kindOfNotFound(e)
	case status == http.StatusUnauthorized:
		return KindBlocked
	case status == http.StatusForbidden:
		return kindOfForbidden(e)
	case status == http.StatusTooManyRequests:
		return KindThrottled
	case status == http.StatusRequestTimeout:
		return KindUncertain
	case status == http.StatusServiceUnavailable && e.Code() == "service_unavailable":
		return KindNotSent
	case status >= 500:
		return KindUncertain
	case status >= 400:
		if !e.Listed {
			return KindBlocked
		}
		return KindRefused
	case status >= 300:
		return KindBlocked
	default:
		// Neither an error nor the documented 200: it may have been taken.
		return KindUncertain
	}
}

// kindOfNotFound tells a contact that is not there from an admin that is not,
// as far as Intercom says: it answers "User Not Found" for a contact, and
// "Resource Not Found" for either.
func kindOfNotFound(e *intercom.APIError) Kind {
	if !e.Listed || len(e.Errors) == 0 {
		return KindBlocked
	}
	for _, d := range e.Errors {
		if d.Code == "admin_not_found" || strings.HasPrefix(d.Field, "from") ||
			strings.Contains(strings.ToLower(d.Message), "admin") {
			return KindRefused
		}
	}
	return KindContactMissing
}

// kindOfForbidden tells a contact that may not be written to, such as one that
// has unsubscribed from emails, from a token or plan that may not write. When
// in doubt it is the latter: messages that wait are seen and lose nothing,
// while a sentence such as "please contact support" would fail all of them.
func kindOfForbidden(e *intercom.APIError) Kind {
	if !e.Listed || e.Code() == "api_plan_restricted" || strings.HasPrefix(e.Code(), "token_") {
		return KindBlocked
	}
	m := strings.ToLower(e.Message())
	for _, word := range []string{"unsubscribed", "opted out", "contact has", "contact is", "contact cannot", "recipient"} {
		if strings.Contains(m, word) {
			return KindRefused
		}
	}
	return KindBlocked
}

const (
	// rateWindow is the length of Intercom's windows, for an answer that does
	// not say when the window ends.
	rateWindow = ratelimit.DefaultWindow
	// maxRateWait bounds what a wrong clock can make a worker wait.
	maxRateWait = time.Minute
)

// untilReset returns how long the window lasts from the answer on, by
// Intercom's own clock where it gives it.
func untilReset(r intercom.Response) time.Duration {
	if r.RateLimit == nil || r.RateLimit.Reset.IsZero() || r.Date.IsZero() {
		return rateWindow
	}
	// Date and Reset are cut to whole seconds: up to a second may be missing.
	return min(max(r.RateLimit.Reset.Sub(r.Date)+time.Second, time.Second), maxRateWait)
}
