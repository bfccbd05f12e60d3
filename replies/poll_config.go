package replies

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9"
	"go.uber.org/zap"

	"github.com/intercom-dispatch/intercom-dispatch/intercom"
	"github.com/intercom-dispatch/intercom-dispatch/ledger"
)

// DefaultPollShare is the part of Intercom's rate limit that pollers use unless
// they are told otherwise.
const DefaultPollShare = 0.1

const (
	// inFilter is how many ids an IN filter has. Intercom does not say how many
	// it may have.
	inFilter = 15
	// pollBatch is how many messages a search is for.
	pollBatch = intercom.MaxFilters * inFilter
	// pollEarly is by how much others come along with a message that is due: it
	// costs no request more.
	pollEarly = 30 * time.Second
	// pollTime is how long a poller looks after what it has claimed, more where
	// the pace is slow. The lease outlasts that by more than pollEarly, so that
	// nobody else takes it meanwhile.
	pollTime  = time.Minute
	pollLease = 2 * time.Minute
	// pollTurns is how many requests that time is enough for at the least.
	pollTurns = 4
	// pollIdle is how long there may be nothing to do before Redis is asked
	// again. It is shorter than a message waits for its first look.
	pollIdle = 5 * time.Second
	// unknownInterval is between two requests as long as the rate limit is not
	// known.
	unknownInterval = time.Second
	// pollMaxBackoff is the longest wait after failures in a row, which begin
	// with one of a second.
	pollMaxBackoff = time.Minute
	// refusedWait is how long nobody polls after Intercom has refused to: a
	// person has to change the token or its permissions.
	refusedWait = 5 * time.Minute
	// redisTime bounds what is told to Redis when the poller is told to stop.
	redisTime = 2 * time.Second
)

// Conversations is the part of the Intercom client that a Poller needs.
// *intercom.Client is one. A Poller makes one call at a time.
type Conversations interface {
	SearchConversations(context.Context, intercom.SearchRequest) (*intercom.ConversationPage, *intercom.Response, error)
	Conversation(ctx context.Context, id string) (*intercom.Conversation, *intercom.Response, error)
}

// PollerConfig configures a Poller.
type PollerConfig struct {
	// Redis holds the ledger. Required; stays the caller's to close.
	Redis redis.UniversalClient
	// Intercom is asked. Required.
	Intercom Conversations
	// Workspace is ledger.DefaultWorkspace if empty.
	Workspace string
	// RecordTTL is how long records and events are kept, ledger.DefaultTTL if
	// zero.
	RecordTTL time.Duration
	// Share is the part of Intercom's rate limit that all pollers of the
	// workspace together may use, above 0 and at most 1, DefaultPollShare if
	// zero. They should all have the same.
	Share float64
	// RateShare is the workers', of which the pollers' requests are a part: see
	// ratelimit.Config.
	RateShare float64
	// OmitText publishes events without what the contacts wrote, as
	// MatcherConfig's does.
	OmitText bool
	// Log is required.
	Log *zap.Logger
	// Metrics registers the poller's metrics, if not nil.
	Metrics prometheus.Registerer
	// Now is time.Now if nil.
	Now func() time.Time
}

func (c PollerConfig) withDefaults() (PollerConfig, error) {
	if c.Workspace == "" {
		c.Workspace = ledger.DefaultWorkspace
	}
	if c.RecordTTL == 0 {
		c.RecordTTL = ledger.DefaultTTL
	}
	if c.Share == 0 {
		c.Share = DefaultPollShare
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	switch {
	case c.Redis == nil:
		return c, errors.New("the field Redis is required")
	case c.Intercom == nil:
		return c, errors.New("the field Intercom is required")
	case c.Log == nil:
		return c, errors.New("the field Log is required")
	case !(c.Share > 0 && c.Share <= 1):
		return c, fmt.Errorf("the field Share %v must be above 0 and at most 1", c.Share)
	}
	return c, nil
}
