package worker

import (
	"fmt"
	"time"

	"github.com/intercom-dispatch/intercom-dispatch/ledger"
)

// The waits between attempts.
const (
	firstContactWait = time.Second
	maxContactWait   = time.Minute
	firstRetryWait   = time.Second
	maxRetryWait     = 5 * time.Minute
	firstBlockedWait = 5 * time.Second
	maxBlockedWait   = time.Minute
)

// limits are what one message may take, in time.
type limits struct {
	contactWait time.Duration
	giveUpAfter time.Duration
	// firstLook is when an uncertain message is first looked for in Intercom,
	// 0 if it cannot be found there.
	firstLook time.Duration
}

// decide says what an outcome other than sent leads to, given the attempt that
// had it. now is when the outcome is known and jitter a random number in
// [0, 1), which keeps messages that failed together from coming back together.
// An uncertain message without a next attempt is to be held.
func decide(o outcome, a *ledger.Attempt, l limits, now time.Time, jitter float64) ledger.Outcome {
	d := ledger.Outcome{
		State: ledger.Waiting, Error: o.err, ContactMissingSince: a.ContactMissingSince, ContactTries: a.ContactTries,
	}
	switch o.kind {
	case KindContactMissing:
		decideContact(&d, l, now)
	case KindThrottled:
		d.NextAttemptAt = now.Add(o.wait)
	case KindBlocked:
		d.Failures = a.Failures + 1
		d.NextAttemptAt = now.Add(backoff(firstBlockedWait, maxBlockedWait, d.Failures, jitter))
	case KindNotSent:
		if decideFailure(&d, a, l, now, jitter) {
			fail(&d, d.Error.Message)
		}
	case KindUncertain:
		d.State = ledger.Uncertain
		givenUp := decideFailure(&d, a, l, now, jitter)
		switch {
		case l.firstLook > 0:
			d.NextAttemptAt = now.Add(l.firstLook)
		case givenUp:
			// Without an end, each attempt might create one more copy.
			d.NextAttemptAt = time.Time{}
		}
	case KindRefused, KindSent, KindSentUnknownID: // The latter two are not decided about.
		fail(&d, o.err.Message)
	}
	return d
}

// decideFailure backs off, and says whether to give up instead. The time to
// give up counts from the first of the failures that no other answer has come
// after: one failure after a long wait for a contact is no reason.
func decideFailure(d *ledger.Outcome, a *ledger.Attempt, l limits, now time.Time, jitter float64) (giveUp bool) {
	d.FailingSince, d.Failures = a.FailingSince, a.Failures+1
	if d.FailingSince.IsZero() {
		d.FailingSince = now
	}
	d.NextAttemptAt = now.Add(backoff(firstRetryWait, maxRetryWait, d.Failures, jitter))
	if d.NextAttemptAt.Sub(d.FailingSince) <= l.giveUpAfter {
		return false
	}
	d.Error.Message = fmt.Sprintf("given up after %s: %s", rounded(now.Sub(d.FailingSince)), d.Error.Message)
	return true
}

// decideContact doubles the wait with each answer that the contact is not
// there. The last attempt falls on the end of the contact wait.
func decideContact(d *ledger.Outcome, l limits, now time.Time) {
	d.ContactMissing = true
	if d.ContactMissingSince.IsZero() {
		d.ContactMissingSince = now
	}
	d.ContactTries++
	end := d.ContactMissingSince.Add(l.contactWait)
	if !now.Before(end) {
		fail(d, fmt.Sprintf("the contact did not become messageable within the contact wait of %s: %s",
			l.contactWait, d.Error.Message))
		return
	}
	d.NextAttemptAt = now.Add(doubled(firstContactWait, maxContactWait, d.ContactTries))
	if d.NextAttemptAt.After(end) {
		d.NextAttemptAt = end
	}
}

func fail(d *ledger.Outcome, message string) {
	d.State, d.NextAttemptAt = ledger.Failed, time.Time{}
	d.Error.Message = message
}

// doubled returns first, twice that, four times that, …, up to limit, for the
// n-th time from 1.
func doubled(first, limit time.Duration, n int) time.Duration {
	d := first
	for range n - 1 {
		if d *= 2; d >= limit {
			return limit
		}
	}
	return d
}

// backoff is doubled, of which jitter takes off up to a half.
func backoff(first, limit time.Duration, n int, jitter float64) time.Duration {
	d := doubled(first, limit, n)
	return d - time.Duration(jitter*float64(d)/2)
}

func rounded(d time.Duration) time.Duration {
	if d > time.Minute {
		return d.Round(time.Second)
	}
	return d.Round(time.Millisecond)
}
