package doctor

import (
	"context"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"
)

const (
	skewWarn = time.Second
	skewFail = 30 * time.Second
)

// skew is how far another clock is ahead of the local one, at least: what the
// way of the answer may explain is left out.
type skew time.Duration

// newSkew compares a time that another clock showed between two moments of the
// local one. The time is cut to whole units of the resolution.
func newSkew(shown time.Time, resolution time.Duration, before, after time.Time) skew {
	switch latest := shown.Add(resolution); {
	case shown.After(after):
		return skew(shown.Sub(after))
	case latest.Before(before):
		return skew(latest.Sub(before))
	}
	return 0
}

func (s skew) finding(whose, advice string) finding {
	d := time.Duration(s)
	found := whose + " clock agrees with this machine's"
	if d.Abs() >= time.Millisecond {
		way := "ahead of"
		if d < 0 {
			way = "behind"
		}
		found = fmt.Sprintf("%s clock is %s %s this machine's", whose, d.Abs().Round(time.Millisecond), way)
	}
	switch {
	case d.Abs() > skewFail:
		return fail(found, advice)
	case d.Abs() > skewWarn:
		return warn(found, advice)
	}
	return ok("%s", found)
}

func (e *examination) clock(ctx context.Context) []finding {
	var all []finding
	if e.intercomClock != nil {
		all = append(all, e.intercomClock.finding("Intercom's",
			"Synchronise this machine's clock (NTP): the rate limit's windows and notifications go by Intercom's."))
	}
	if !e.reached {
		return append(all, skipped("Redis' clock was not read", ""))
	}
	ofRedis, err := e.onMasters(ctx, func(ctx context.Context, node *redis.Client) ([]finding, error) {
		before := e.Now()
		shown, err := node.Time(ctx).Result()
		if err != nil {
			return nil, err
		}
		return []finding{newSkew(shown, time.Microsecond, before, e.Now()).finding("Redis'",
			"Synchronise the clocks of this machine and of Redis (NTP): times to send, waits and leases go by both.")}, nil
	})
	if err != nil {
		return append(all, e.unreachable(ctx, err))
	}
	return append(ofRedis, all...)
}
