package settle

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/intercom-dispatch/intercom-dispatch/intercom"
)

const (
	// dateMargin is how much earlier than needed a search begins, as some of
	// Intercom's date filters are said to round to the day.
	dateMargin = 48 * time.Hour
	// maxPages is how many pages of [intercom.MaxPerPage] a search reads.
	maxPages = 20
)

// The reasons for which a search decides nothing. Searching again hardly helps.
var (
	// ErrUndecided means that there is a conversation that may be the message's
	// and that cannot be compared with it, for example because both hold
	// nothing but a picture.
	ErrUndecided = errors.New("settle: a conversation may be the message's and cannot be compared")
	// ErrTooMany means that there are more conversations than are looked at.
	ErrTooMany = errors.New("settle: too many conversations to look at")
	// ErrNotComparable means that no conversation can be recognised as the
	// message's: it is for WhatsApp, or has no recipient with an id.
	ErrNotComparable = errors.New("settle: the message cannot be recognised in a conversation")
)

// Searcher is what a Finder needs of [*intercom.Client].
type Searcher interface {
	SearchConversations(ctx context.Context, s intercom.SearchRequest) (*intercom.ConversationPage, *intercom.Response, error)
}

// Finder finds the conversations that a message can have opened. It is safe
// for concurrent use if its Searcher is.
type Finder struct{ search Searcher }

// NewFinder returns a Finder.
func NewFinder(search Searcher) *Finder { return &Finder{search: search} }

// Find returns the conversations that the message fits if it was sent at since
// or later, the oldest first, and the last answer's Response, which may come
// beside an error. It makes one request for each page of 150 conversations
// that the first recipient has from the sender since about two days before.
//
// None found means that there is none in Intercom's index, which lags behind
// by seconds, at times by minutes; whether it means that there is no message
// tells [Searchable]. An error means that nothing is known: ErrNotComparable,
// ErrUndecided, ErrTooMany, or one of the Searcher's.
func (f *Finder) Find(ctx context.Context, m *intercom.Message, since time.Time) ([]*intercom.Conversation, *intercom.Response, error) {
	if !recognisable(m) {
		return nil, nil, ErrNotComparable
	}
	r := intercom.SearchRequest{Query: query(m, since), PerPage: intercom.MaxPerPage}
	var (
		found   matches
		lastRes *intercom.Response
	)
	for range maxPages {
		page, res, err := f.search.SearchConversations(ctx, r)
		if res != nil {
			lastRes = res
		}
		if err != nil {
			return nil, lastRes, fmt.Errorf("settle: search conversations: %w", err)
		}
		found.add(m, page.Conversations, since)
		if page.NextCursor == "" {
			list, err := found.list()
			return list, lastRes, err
		}
		r.StartingAfter = page.NextCursor
	}
	return nil, lastRes, ErrTooMany
}

// query asks for what Intercom can tell apart. The rest is told by Fits.
func query(m *intercom.Message, since time.Time) intercom.Query {
	filters := []intercom.Query{
		intercom.Filter("contact_ids", intercom.Equal, m.To[0].ID),
		intercom.Filter("created_at", intercom.Greater, max(0, earliest(m, since).Add(-dateMargin).Unix())),
		intercom.Filter("source.delivered_as", intercom.Equal, intercom.DeliveredAsAdminInitiated),
	}
	if m.From != nil {
		filters = append(filters, intercom.Filter("source.author.id", intercom.Equal, strconv.FormatInt(m.From.ID, 10)))
	}
	return intercom.And(filters...)
}

// matches collects what the pages hold.
type matches struct {
	fit       []*intercom.Conversation
	undecided bool
}

func (s *matches) add(m *intercom.Message, page []intercom.Conversation, since time.Time) {
	for i := range page {
		switch c := &page[i]; judge(m, c, since) {
		case yes:
			s.fit = append(s.fit, c)
		case maybe:
			s.undecided = true
		case no:
		}
	}
}

// list returns what fits, each conversation once: one that changes while pages
// are read may be on two of them.
func (s *matches) list() ([]*intercom.Conversation, error) {
	if len(s.fit) == 0 && s.undecided {
		return nil, ErrUndecided
	}
	slices.SortStableFunc(s.fit, func(a, b *intercom.Conversation) int {
		return cmp.Or(cmp.Compare(a.CreatedAt, b.CreatedAt), cmp.Compare(len(a.ID), len(b.ID)), cmp.Compare(a.ID, b.ID))
	})
	return slices.CompactFunc(s.fit, func(a, b *intercom.Conversation) bool { return a.ID == b.ID }), nil
}
