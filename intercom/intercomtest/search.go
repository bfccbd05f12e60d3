package intercomtest

import (
	"cmp"
	"net/http"
	"slices"
	"time"
)

type conversationListDoc struct {
	Type          string            `json:"type"`
	Pages         pagesDoc          `json:"pages"`
	TotalCount    int               `json:"total_count"`
	Conversations []conversationDoc `json:"conversations"`
}

type pagesDoc struct {
	Type       string   `json:"type"`
	Page       int      `json:"page"`
	PerPage    int      `json:"per_page"`
	TotalPages int      `json:"total_pages"`
	Next       *nextDoc `json:"next,omitempty"`
}

type nextDoc struct {
	PerPage       int    `json:"per_page"`
	StartingAfter string `json:"starting_after"`
}

// searchConversations is POST /conversations/search.
func (s *Server) searchConversations(c *call) answer {
	q, fail := decodeSearch(c.body)
	if fail != nil {
		return fail.answer(c.requestID)
	}
	return document(http.StatusOK, s.search(q, c.version, s.cfg.Now()))
}

func (s *Server) search(q search, v version, now time.Time) conversationListDoc {
	s.mu.Lock()
	defer s.mu.Unlock()
	found := s.find(q.query, now)
	list := conversationListDoc{
		Type: "conversation.list", TotalCount: len(found), Conversations: []conversationDoc{},
		Pages: pagesDoc{
			Type: "pages", Page: q.after.Page, PerPage: q.perPage,
			TotalPages: (len(found) + q.perPage - 1) / q.perPage,
		},
	}
	rest := found[q.after.position(found):]
	page := rest[:min(q.perPage, len(rest))]
	for _, r := range page {
		list.Conversations = append(list.Conversations, r.c.doc(r.state, style{html, v}))
	}
	if len(page) < len(rest) {
		last := page[len(page)-1].c
		next := cursorOf(last)
		next.Page = q.after.Page + 1
		list.Pages.Next = &nextDoc{PerPage: q.perPage, StartingAfter: next.encode()}
	}
	return list
}

// find returns the conversations that the index has and the query matches, the
// newest first. Hold mu.
func (s *Server) find(query predicate, now time.Time) []view {
	candidates, ok := query.candidates(&s.conversations)
	if !ok {
		candidates = s.conversations.all
	}
	var found []view
	for _, c := range candidates {
		state, indexed := c.indexed(now)
		v := view{c: c, state: state, days: s.cfg.RoundDates}
		if indexed && query.match(v) {
			found = append(found, v)
		}
	}
	slices.SortFunc(found, func(a, b view) int { return -a.c.compare(cursorOf(b.c)) })
	return slices.CompactFunc(found, func(a, b view) bool { return a.c == b.c })
}

func cursorOf(c *conversation) cursor {
	return cursor{CreatedAt: c.createdAt.Unix(), Number: c.number}
}

// compare orders by time of creation, and by number within a second.
func (c *conversation) compare(to cursor) int {
	return cmp.Or(cmp.Compare(c.createdAt.Unix(), to.CreatedAt), cmp.Compare(c.number, to.Number))
}

// position is where in the sorted results the cursor's page begins.
func (c cursor) position(found []view) int {
	if c.Page <= 1 {
		return 0
	}
	i, at := slices.BinarySearchFunc(found, c, func(v view, c cursor) int { return -v.c.compare(c) })
	if at {
		return i + 1
	}
	return i
}
