package worker

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/intercom-dispatch/intercom-dispatch/ledger"
)

var (
	testNow    = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	testLimits = limits{contactWait: 15 * time.Minute, giveUpAfter: 24 * time.Hour}
)

// TestContactWaitDoublesUpToAMinute plays a contact that never appears.
func TestContactWaitDoublesUpToAMinute(t *testing.T) {
	t.Parallel()
	missing := outcome{kind: KindContactMissing, err: ledger.Error{Code: "not_found", Message: "User Not Found", Status: 404}}
	now := testNow
	a := &ledger.Attempt{}
	var waits []time.Duration
	for range 100 {
		d := decide(missing, a, testLimits, now, 0.5)
		if d.State == ledger.Failed {
			require.Equal(t, 15*time.Minute, now.Sub(testNow), "the last attempt is at the end of the contact wait")
			require.Equal(t, "not_found", d.Error.Code)
			require.Contains(t, d.Error.Message, "contact wait of 15m0s: User Not Found")
			require.Zero(t, d.NextAttemptAt)
			break
		}
		require.Equal(t, ledger.Waiting, d.State)
		require.Zero(t, d.Failures, "a missing contact is no failure")
		waits = append(waits, d.NextAttemptAt.Sub(now))
		a.ContactMissingSince, a.ContactTries, now = d.ContactMissingSince, d.ContactTries, d.NextAttemptAt
	}
	s := time.Second
	require.Equal(t, []time.Duration{1 * s, 2 * s, 4 * s, 8 * s, 16 * s, 32 * s, 60 * s, 60 * s}, waits[:8])
	require.Equal(t, 15*time.Minute, now.Sub(testNow))
}

func TestWithoutContactWaitTheFirst404Fails(t *testing.T) {
	t.Parallel()
	d := decide(outcome{kind: KindContactMissing}, &ledger.Attempt{}, limits{}, testNow, 0)
	require.Equal(t, ledger.Failed, d.State)
}

func TestContactWaitBeginsWithTheFirst404(t *testing.T) {
	t.Parallel()
	// Two hours of an outage come before the first 404.
	a := &ledger.Attempt{FailingSince: testNow.Add(-2 * time.Hour), Failures: 9}
	d := decide(outcome{kind: KindContactMissing}, a, testLimits, testNow, 0)
	require.Equal(t, ledger.Waiting, d.State)
	require.Equal(t, testNow, d.ContactMissingSince)
}

func TestNotSentBacksOffWithJitterUntilGivenUp(t *testing.T) {
	t.Parallel()
	o := outcome{kind: KindNotSent, err: ledger.Error{Code: "not_reached", Message: "connection refused"}}
	for n, want := range []time.Duration{time.Second, 2 * time.Second, 4 * time.Second, 8 * time.Second} {
		for _, jitter := range []float64{0, 0.999} {
			d := decide(o, &ledger.Attempt{FailingSince: testNow, Failures: n}, testLimits, testNow, jitter)
			require.Equal(t, ledger.Waiting, d.State)
			require.Equal(t, n+1, d.Failures)
			wait := d.NextAttemptAt.Sub(testNow)
			require.LessOrEqual(t, wait, want)
			require.GreaterOrEqual(t, wait, want/2)
		}
	}
	far := decide(o, &ledger.Attempt{FailingSince: testNow, Failures: 500}, testLimits, testNow, 0)
	require.Equal(t, 5*time.Minute, far.NextAttemptAt.Sub(testNow))

	late := decide(o, &ledger.Attempt{FailingSince: testNow.Add(-24 * time.Hour), Failures: 300}, testLimits, testNow, 0)
	require.Equal(t, ledger.Failed, late.State)
	require.Contains(t, late.Error.Message, "given up after 24h0m0s: connection refused")
}

func TestBlockedAndThrottledAreNeverGivenUp(t *testing.T) {
	t.Parallel()
	old := &ledger.Attempt{FailingSince: testNow.Add(-1000 * time.Hour), Failures: 1000}
	d := decide(outcome{kind: KindBlocked}, old, testLimits, testNow, 0)
	require.Equal(t, ledger.Waiting, d.State)
	require.Equal(t, time.Minute, d.NextAttemptAt.Sub(testNow))

	d = decide(outcome{kind: KindThrottled, wait: 7 * time.Second}, old, testLimits, testNow, 0.5)
	require.Equal(t, ledger.Waiting, d.State)
	require.Equal(t, 7*time.Second, d.NextAttemptAt.Sub(testNow))
	require.Zero(t, d.Failures, "Intercom answers: nothing fails any more")
}

func TestTheTimeToGiveUpCountsFromTheFirstFailureInARow(t *testing.T) {
	t.Parallel()
	// Days of 401, then Intercom is away for a moment.
	a := &ledger.Attempt{Failures: 5000}
	for _, kind := range []Kind{KindNotSent, KindUncertain} {
		d := decide(outcome{kind: kind}, a, testLimits, testNow, 0)
		require.NotEqual(t, ledger.Failed, d.State)
		require.Equal(t, testNow, d.FailingSince)
		require.NotZero(t, d.NextAttemptAt)
	}
	failing := &ledger.Attempt{FailingSince: testNow.Add(-23 * time.Hour), Failures: 5}
	for _, kind := range []Kind{KindContactMissing, KindThrottled, KindBlocked} {
		d := decide(outcome{kind: kind}, failing, testLimits, testNow, 0)
		require.Zero(t, d.FailingSince, kind)
	}
	d := decide(outcome{kind: KindNotSent}, failing, testLimits, testNow, 0)
	require.Equal(t, failing.FailingSince, d.FailingSince)
}

func TestRefusedFailsAndKeepsThePayload(t *testing.T) {
	t.Parallel()
	e := ledger.Error{Code: "parameter_invalid", Message: "Body is required", Status: 400, RequestID: "r"}
	d := decide(outcome{kind: KindRefused, err: e}, &ledger.Attempt{}, testLimits, testNow, 0)
	require.Equal(t, ledger.Outcome{State: ledger.Failed, Error: e}, d)
}

func TestUncertainIsRecordedAsSuch(t *testing.T) {
	t.Parallel()
	d := decide(outcome{kind: KindUncertain}, &ledger.Attempt{FailingSince: testNow}, testLimits, testNow, 0)
	require.Equal(t, ledger.Uncertain, d.State)
	require.Equal(t, testNow.Add(time.Second), d.NextAttemptAt)
}

func TestUncertainHasNoNextAttemptOnceItIsGivenUp(t *testing.T) {
	t.Parallel()
	a := &ledger.Attempt{FailingSince: testNow.Add(-24 * time.Hour), Failures: 200}
	d := decide(outcome{kind: KindUncertain, err: ledger.Error{Message: "it broke"}}, a, testLimits, testNow, 0)
	require.Equal(t, ledger.Uncertain, d.State)
	require.Zero(t, d.NextAttemptAt)
	require.Equal(t, "given up after 24h0m0s: it broke", d.Error.Message)
}

// TestDelaysSurviveAsynqsWholeSeconds does to a delay what asynq does to it.
func TestDelaysSurviveAsynqsWholeSeconds(t *testing.T) {
	t.Parallel()
	for _, until := range []time.Duration{0, time.Millisecond, time.Second, 1500 * time.Millisecond, time.Minute} {
		for _, at := range []time.Duration{0, 1, 999 * time.Millisecond} {
			now := testNow.Add(at)
			due := now.Add(until)
			d := retryDelay(func() time.Time { return now }, &snoozeError{until: due})
			asynqs := time.Unix(now.Add(50*time.Microsecond).Add(d).Unix(), 0)
			require.Falsef(t, asynqs.Before(due), "early: due %s, runs %s", due, asynqs)
			require.Less(t, asynqs.Sub(due), time.Second+time.Millisecond)
		}
	}
	d := retryDelay(func() time.Time { return testNow }, errors.New("redis is away"))
	require.Greater(t, d, time.Second/2)
	require.LessOrEqual(t, d, 6*time.Second)
}

func TestNothingCountsAgainstAsynqsRetries(t *testing.T) {
	t.Parallel()
	for _, err := range []error{&snoozeError{}, errors.New("x"), fmt.Errorf("y: %w", errDone)} {
		require.False(t, isFailure(err))
	}
}
