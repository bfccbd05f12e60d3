package intercom

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
)

// MaxPerPage is how many conversations a page may hold.
const MaxPerPage = 150

// SearchRequest asks for conversations.
type SearchRequest struct {
	Query Query
	// PerPage is the size of a page, at most MaxPerPage. Zero: Intercom's
	// default, 20.
	PerPage int
	// StartingAfter is the NextCursor of the page before, empty for the first.
	StartingAfter string
}

// MarshalJSON writes the request as Intercom reads it.
func (s SearchRequest) MarshalJSON() ([]byte, error) {
	type pagination struct {
		PerPage       int    `json:"per_page,omitempty"`
		StartingAfter string `json:"starting_after,omitempty"`
	}
	return json.Marshal(struct {
		Query      Query      `json:"query"`
		Pagination pagination `json:"pagination,omitzero"`
	}{s.Query, pagination{s.PerPage, s.StartingAfter}})
}

// Validate holds the request against Intercom's limits and returns the first
// problem as a [*ValidationError], or nil.
func (s SearchRequest) Validate() error {
	if s.PerPage < 0 || s.PerPage > MaxPerPage {
		return &ValidationError{Field: "pagination.per_page", Reason: fmt.Sprintf("must be from 0 (Intercom's default) to %d", MaxPerPage)}
	}
	return s.Query.check("query", 1)
}

// ConversationPage is one page of a search's result.
type ConversationPage struct {
	Conversations []Conversation
	// TotalCount is the number of conversations on all pages.
	TotalCount int
	// NextCursor is the next request's StartingAfter, empty on the last page.
	NextCursor string
}

// UnmarshalJSON reads Intercom's conversation.list.
func (p *ConversationPage) UnmarshalJSON(b []byte) error {
	var wire struct {
		Conversations []Conversation `json:"conversations"`
		TotalCount    ID             `json:"total_count"`
		Pages         struct {
			Next json.RawMessage `json:"next"`
		} `json:"pages"`
	}
	if err := json.Unmarshal(b, &wire); err != nil {
		return err
	}
	// A page without a count is as good as one with it.
	total, _ := strconv.Atoi(string(wire.TotalCount))
	*p = ConversationPage{Conversations: wire.Conversations, TotalCount: total}
	return p.readNext(wire.Pages.Next)
}

// readNext takes the cursor out of pages.next. An unreadable one is an error:
// to take it for the last page would hide conversations.
func (p *ConversationPage) readNext(raw json.RawMessage) error {
	if len(raw) == 0 || isNull(raw) {
		return nil
	}
	var next struct {
		StartingAfter ID `json:"starting_after"`
	}
	if err := json.Unmarshal(raw, &next); err != nil {
		return err
	}
	p.NextCursor = string(next.StartingAfter)
	return nil
}

// SearchConversations returns one page of the conversations that the query
// finds. Intercom's index lags behind by seconds, at times by minutes.
func (c *Client) SearchConversations(ctx context.Context, s SearchRequest) (*ConversationPage, *Response, error) {
	if err := s.Validate(); err != nil {
		return nil, nil, err
	}
	body, err := json.Marshal(s)
	if err != nil {
		return nil, nil, &ValidationError{Field: "query", Reason: "holds a value that JSON cannot express"}
	}
	return fetch[ConversationPage](ctx, c, call{
		method: http.MethodPost, path: "/conversations/search", version: c.version, body: body, limit: longAnswer,
	})
}
