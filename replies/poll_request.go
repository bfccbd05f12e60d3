package replies

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/intercom-dispatch/intercom-dispatch/intercom"
	"github.com/intercom-dispatch/intercom-dispatch/ratelimit"
)

// How a request ended.
const (
	pollOK        = "ok"
	pollGone      = "gone" // There is no such conversation.
	pollThrottled = "throttled"
	pollRefused   = "refused" // The token, or what it may do.
	pollFailed    = "failed"
)

// troubles say in the log what an outcome means.
var troubles = map[string]string{
	pollThrottled: "Intercom's rate limit is used up: replies are looked for in the next window",
	pollRefused:   "Intercom refuses to show conversations: no replies are looked for until the token may read them",
	pollFailed:    "replies could not be looked for, and will be",
}

// pollOutcome classifies what came back of a request. All that is not about
// Intercom, such as an error of Redis, has failed.
func pollOutcome(err error) string {
	if err == nil {
		return pollOK
	}
	if errors.Is(err, intercom.ErrNoToken) {
		return pollRefused
	}
	answer, ok := errors.AsType[*intercom.APIError](err)
	if !ok {
		return pollFailed
	}
	switch answer.Response.Status {
	case http.StatusTooManyRequests:
		return pollThrottled
	case http.StatusUnauthorized, http.StatusForbidden:
		return pollRefused
	}
	return pollFailed
}

// isGone tells that Intercom itself says that it has no such conversation.
func isGone(err error) bool {
	answer, ok := errors.AsType[*intercom.APIError](err)
	return ok && answer.Listed && answer.Response.Status == http.StatusNotFound
}

// request makes one request with a permit of the rate limit that everybody
// shares. The pollers' own pace has been waited for.
func (p *Poller) request(ctx context.Context, kind string, do func() (*intercom.Response, error)) error {
	permit, err := p.limiter.Acquire(ctx, ratelimit.Normal)
	if err != nil {
		return fmt.Errorf("wait for the rate limit: %w", err)
	}
	sentAt := p.cfg.Now()
	res, err := do()
	permit.Answered(res, sentAt)
	if res != nil && res.RateLimit != nil {
		p.limit = res.RateLimit.Limit
	}
	outcome := pollOutcome(err)
	if kind == requestConversation && isGone(err) {
		outcome = pollGone
	}
	if ctx.Err() == nil { // What we have ended ourselves says nothing.
		p.metrics.requests.WithLabelValues(kind, outcome).Inc()
	}
	if outcome == pollRefused && (kind == requestSearch || !isForbidden(err)) {
		// Where Redis does not take it, the next answer says so again.
		_ = p.ledger.DelayPolls(ctx, refusedWait)
	}
	return err
}

// turn waits until the pollers' pace has room for one more request.
func (p *Poller) turn(ctx context.Context) error {
	wait, err := p.ledger.PollTurn(ctx, p.interval())
	if err != nil {
		return err
	}
	pause(ctx, wait)
	return ctx.Err()
}
