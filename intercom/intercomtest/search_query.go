package intercomtest

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
)

// Intercom's limits on searches.
const (
	maxFilters     = 15
	maxNesting     = 2
	defaultPerPage = 20
	maxPerPage     = 150
)

// search is the body of POST /conversations/search.
type search struct {
	query   predicate
	perPage int
	after   cursor
}

// predicate is a filter or a group of predicates.
type predicate interface {
	match(view) bool
	// candidates returns the conversations that can match, where an index knows
	// them.
	candidates(*conversations) ([]*conversation, bool)
}

// group is the AND or the OR of its members.
type group struct {
	any     bool
	members []predicate
}

// cursor is a place in the order of results: after the conversation with this
// number, and the number of the page that starts there.
type cursor struct {
	CreatedAt int64 `json:"c"`
	Number    int64 `json:"n"`
	Page      int   `json:"p"`
}

func decodeSearch(body []byte) (search, *failure) {
	doc, fail := decodeObject(body)
	if fail != nil {
		return search{}, fail
	}
	raw, ok := doc["query"]
	if !ok || isNull(raw) {
		return search{}, invalid("query", "Query is required")
	}
	query, fail := decodePredicate(raw, 0)
	if fail != nil {
		return search{}, fail
	}
	q := search{query: query, perPage: defaultPerPage, after: cursor{Page: 1}}
	return q, q.decodePagination(doc["pagination"])
}

func decodePredicate(raw json.RawMessage, depth int) (predicate, *failure) {
	var doc object
	if json.Unmarshal(raw, &doc) != nil || doc == nil {
		return nil, invalid("query", "Each part of a query must be an object")
	}
	if _, ok := doc["field"]; ok {
		return decodeFilter(doc)
	}
	d := decoder{doc: doc}
	operator, values := read[string](&d, "operator"), read[[]json.RawMessage](&d, "value")
	switch {
	case d.fail != nil:
		return nil, d.fail
	case operator != "AND" && operator != "OR":
		return nil, badRequest("invalid_operator", "Composite operators must be of type AND or OR", "operator")
	case depth >= maxNesting:
		return nil, invalid("query", fmt.Sprintf("Queries may be nested %d levels deep", maxNesting))
	case len(values) == 0:
		return nil, invalid("value", "A group must hold at least one filter")
	case len(values) > maxFilters:
		return nil, invalid("value", fmt.Sprintf("A group may hold %d filters", maxFilters))
	}
	g := group{any: operator == "OR"}
	for _, v := range values {
		member, fail := decodePredicate(v, depth+1)
		if fail != nil {
			return nil, fail
		}
		g.members = append(g.members, member)
	}
	return g, nil
}

func (q *search) decodePagination(raw json.RawMessage) *failure {
	if raw == nil || isNull(raw) {
		return nil
	}
	var doc object
	if json.Unmarshal(raw, &doc) != nil {
		return invalid("pagination", "Pagination must be an object")
	}
	d := decoder{doc: doc}
	after := read[string](&d, "starting_after")
	if perPage := read[*int](&d, "per_page"); perPage != nil {
		q.perPage = *perPage
	}
	switch {
	case d.fail != nil:
		return d.fail
	case q.perPage < 1 || q.perPage > maxPerPage:
		return invalid("per_page", fmt.Sprintf("Per page must be from 1 to %d", maxPerPage))
	case after == "":
		return nil
	}
	var ok bool
	if q.after, ok = decodeCursor(after); !ok {
		return invalid("starting_after", "Starting after is not a cursor of this search")
	}
	return nil
}

func (c cursor) encode() string {
	b, err := json.Marshal(c)
	if err != nil {
		// A struct of integers.
		panic(err)
	}
	return base64.RawURLEncoding.EncodeToString(b)
}

func decodeCursor(s string) (cursor, bool) {
	var c cursor
	b, err := base64.RawURLEncoding.DecodeString(s)
	return c, err == nil && json.Unmarshal(b, &c) == nil && c.Page > 1
}

func (g group) match(v view) bool {
	for _, m := range g.members {
		if m.match(v) == g.any {
			return g.any
		}
	}
	return !g.any
}

// candidates of an AND are those of any one member, of an OR those of all.
func (g group) candidates(cs *conversations) ([]*conversation, bool) {
	var union []*conversation
	for _, m := range g.members {
		found, ok := m.candidates(cs)
		if ok != g.any {
			return found, ok
		}
		union = append(union, found...)
	}
	return union, g.any
}

// words splits text the way that source.body is searched.
func words(text string) []string {
	return strings.FieldsFunc(strings.ToLower(plain(text)), func(r rune) bool {
		return !isWordRune(r)
	})
}
