package replies

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"go.uber.org/zap"

	"github.com/intercom-dispatch/intercom-dispatch/intercom"
	"github.com/intercom-dispatch/intercom-dispatch/ledger"
)

// maxPollPages is more pages than a search for pollBatch messages can have, each
// of which has one conversation.
const maxPollPages = 5

var (
	errTooManyPages = errors.New("a search found far more conversations than it asked for")
	// errPollTime ends a batch. What is left of it is due at once.
	errPollTime = errors.New("the time for these messages is over")
)

// batch is the messages that one search is for. Each is either rescheduled, given
// back at once, or left to its lease.
type batch struct {
	*Poller

	claimed *ledger.Claimed
	at      time.Time // when it was claimed, by the process' clock
	period  time.Duration
}

// news is a message in whose conversations a contact has written something.
type news struct {
	ledger.Poll

	conversations []*intercom.Conversation
}

// now is Redis' time.
func (b *batch) now() time.Time { return b.claimed.Now.Add(b.cfg.Now().Sub(b.at)) }

// run looks at the messages once. What it returns, if anything, is why it could
// not look at all of them.
func (b *batch) run(ctx context.Context) error {
	working, cancel := context.WithTimeoutCause(ctx, b.period, errPollTime)
	defer cancel()
	err := b.look(ctx, working)
	if err != nil && errors.Is(context.Cause(working), errPollTime) {
		return errPollTime
	}
	return err
}

func (b *batch) look(ctx, working context.Context) error {
	found, err := b.search(working)
	if err != nil {
		if !b.left(working, err) {
			b.giveBack(ctx, b.claimed.Polls)
		}
		return err
	}
	var quiet []ledger.NextPoll
	var fresh []news
	for _, poll := range b.claimed.Polls {
		if n := newsOf(poll, found[poll.MessageID]); len(n.conversations) > 0 {
			fresh = append(fresh, n)
		} else {
			quiet = append(quiet, b.next(poll))
		}
	}
	if err := b.ledger.Reschedule(working, quiet...); err != nil {
		return err
	}
	return b.readAll(ctx, working, fresh)
}

// left tells whether messages are left to their lease: something failed that
// would probably fail again at once.
func (b *batch) left(working context.Context, err error) bool {
	return working.Err() == nil && pollOutcome(err) == pollFailed
}

// readAll reads what is new. Where one conversation cannot be read, the others
// are all the same, but more and more slowly: it may be that none can be.
func (b *batch) readAll(ctx, working context.Context, fresh []news) error {
	var failure error
	for i, n := range fresh {
		err := b.read(working, n)
		if err == nil {
			b.failures = 0
			continue
		}
		if !b.left(working, err) {
			b.giveBack(ctx, polls(fresh[i:]))
			return err
		}
		failure = err
		b.failures++
		pause(working, b.backoff())
	}
	return failure
}

// next is when a message without news is looked at again.
func (b *batch) next(p ledger.Poll) ledger.NextPoll {
	return ledger.NextPoll{Poll: p, At: b.schedule(b.now(), &p)}
}

// giveBack makes messages due at once, also when the poller is told to stop.
// Where that fails they are when their lease is over.
func (b *batch) giveBack(ctx context.Context, polls []ledger.Poll) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), redisTime)
	defer cancel()
	back := make([]ledger.NextPoll, 0, len(polls))
	for _, p := range polls {
		back = append(back, ledger.NextPoll{Poll: p, At: b.now()})
	}
	if err := b.ledger.Reschedule(ctx, back...); err != nil {
		b.log.Warn("messages are looked at again later than they could be", zap.Error(err))
	}
}

// search returns the conversations that began with one of the messages, by the
// message's id.
func (b *batch) search(ctx context.Context) (map[string][]*intercom.Conversation, error) {
	began := b.cfg.Now()
	found := make(map[string][]*intercom.Conversation, len(b.claimed.Polls))
	r := intercom.SearchRequest{Query: sourceQuery(b.claimed.Polls), PerPage: intercom.MaxPerPage}
	for n := range maxPollPages {
		if n > 0 { // The first has its turn by the claim.
			if err := b.turn(ctx); err != nil {
				return nil, err
			}
		}
		var page *intercom.ConversationPage
		err := b.request(ctx, requestSearch, func() (res *intercom.Response, err error) {
			page, res, err = b.cfg.Intercom.SearchConversations(ctx, r)
			return res, err
		})
		if err != nil {
			return nil, fmt.Errorf("search for replies: %w", err)
		}
		for i := range page.Conversations {
			c := &page.Conversations[i]
			found[string(c.Source.ID)] = append(found[string(c.Source.ID)], c)
		}
		if page.NextCursor == "" {
			b.log.Debug("searched for replies", zap.Int("messages", len(b.claimed.Polls)),
				zap.Int("conversations", len(found)), zap.Duration("duration", b.cfg.Now().Sub(began)))
			return found, nil
		}
		r.StartingAfter = page.NextCursor
	}
	return nil, errTooManyPages
}

// sourceQuery asks for the conversations that began with one of the messages.
func sourceQuery(all []ledger.Poll) intercom.Query {
	var filters []intercom.Query
	for some := range slices.Chunk(all, inFilter) {
		ids := make([]string, 0, len(some))
		for _, p := range some {
			ids = append(ids, p.MessageID)
		}
		filters = append(filters, intercom.Filter("source.id", intercom.In, ids))
	}
	return intercom.Or(filters...)
}

// newsOf returns those of a message's conversations in which there is something
// new.
func newsOf(p ledger.Poll, found []*intercom.Conversation) news {
	n := news{Poll: p}
	for _, c := range found {
		if at, known := changedAt(c); !known || at.After(p.AnsweredAt) {
			n.conversations = append(n.conversations, c)
		}
	}
	return n
}

func polls(all []news) []ledger.Poll {
	list := make([]ledger.Poll, 0, len(all))
	for _, n := range all {
		list = append(list, n.Poll)
	}
	return list
}
