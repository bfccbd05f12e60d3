package doctor

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/intercom-dispatch/intercom-dispatch/intercom"
)

func (e *examination) intercom(ctx context.Context) []finding {
	if e.Intercom == nil {
		return []finding{skipped("no access token is given", "Set INTERCOM_ACCESS_TOKEN, --intercom-token or --intercom-token-file.")}
	}
	before := e.Now()
	me, res, err := e.Intercom.Me(ctx)
	if res != nil && !res.Date.IsZero() {
		e.intercomClock = new(newSkew(res.Date, time.Second, before, e.Now()))
	}
	if err != nil {
		return []finding{refused(ctx, err)}
	}
	all := []finding{
		ok("the token is of workspace %q, app id %s, admin id %s", me.App.Name, me.App.IDCode, me.ID),
		e.region(me.App.Region),
	}
	if l := res.RateLimit; l != nil {
		all = append(all, ok("%d of %d requests are left in this window", l.Remaining, l.Limit))
	}
	return all
}

func (e *examination) region(actual string) finding {
	if e.Region == "" || actual == "" || strings.EqualFold(actual, e.Region) {
		return ok("region %q", actual)
	}
	return fail(fmt.Sprintf("region %q, but --intercom-region is %s", actual, e.Region),
		"Set --intercom-region to where the workspace is hosted.")
}

// refused explains why Intercom did not tell whose token it is. The errors of
// the client hold no token.
func refused(ctx context.Context, err error) finding {
	answer, ok := errors.AsType[*intercom.APIError](err)
	if !ok {
		return unanswered(ctx, err)
	}
	status := answer.Response.Status
	switch {
	case status == http.StatusUnauthorized:
		return fail(err.Error(), "Intercom does not take the token: check that it is complete, that it was not revoked, and that --intercom-region is the workspace's. "+
			"Messages wait until there is one that works.")
	case status == http.StatusTooManyRequests:
		return warn(err.Error(), "The rate limit is used up: see what else spends from it, and try again.")
	case !answer.Listed && status < http.StatusInternalServerError:
		return fail(err.Error(), "That is not an answer of Intercom's: check --intercom-base-url, and whether a proxy is in between.")
	case status == http.StatusForbidden:
		return fail(err.Error(), "The token lacks a permission, or the plan does: see the app's settings in Intercom's Developer Hub.")
	case status >= http.StatusInternalServerError:
		return fail(err.Error(), "Intercom, or what stands before it, is in trouble: see its status page and --intercom-base-url, and try again.")
	}
	return fail(err.Error(), "Check --intercom-version and --intercom-base-url.")
}

func unanswered(ctx context.Context, err error) finding {
	switch _, noBody := errors.AsType[*intercom.BodyError](err); {
	case errors.Is(err, intercom.ErrNoToken):
		return fail(err.Error(), "Check --intercom-token or --intercom-token-file.")
	case noBody:
		return fail(err.Error(), "That is not an answer of Intercom's: check --intercom-base-url, and whether a proxy is in between.")
	}
	return fail("Intercom cannot be reached: "+reason(ctx, err),
		"Check that this machine may connect to it (DNS, firewall; environment variables for proxies are not used), and --intercom-base-url.")
}
