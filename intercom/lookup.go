package intercom

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
)

// Conversation asks for a conversation with its parts, of which Intercom gives
// the 500 newest. Other than a search it does not lag behind. An id that does not
// exist is an [*APIError] with the status 404.
func (c *Client) Conversation(ctx context.Context, id string) (*Conversation, *Response, error) {
	conversation, res, err := fetch[Conversation](ctx, c, call{
		method: http.MethodGet, path: "/conversations/" + url.PathEscape(id), version: c.version, limit: longAnswer,
	})
	if err == nil && conversation.ID == "" {
		return nil, res, &BodyError{Response: *res, Err: errNoID}
	}
	return conversation, res, err
}

// Contact asks for a contact, with version 2.16 of the API at least. One that does
// not exist is an [*APIError] with the status 404. One that was merged into another
// is one with the status 410, whose Response names the other one in Canonical;
// versions before 2.16 answer 404 for both (OpenAPI description of 2.16).
func (c *Client) Contact(ctx context.Context, id string) (*Contact, *Response, error) {
	contact, res, err := fetch[Contact](ctx, c, call{
		method: http.MethodGet, path: "/contacts/" + url.PathEscape(id), version: c.version.atLeast(mergedSince), limit: shortAnswer,
	})
	if err == nil && contact.ID == "" {
		return nil, res, &BodyError{Response: *res, Err: errNoID}
	}
	return contact, res, err
}

// Admin is a teammate of the workspace.
type Admin struct {
	Type string `json:"type"`
	ID   ID     `json:"id"`
}

// Admin asks for an admin. One that does not exist is an [*APIError] with the
// status 404. Any other error leaves open whether there is such an admin: without
// a seat in the inbox one was answered action_forbidden (API reference 2.5).
func (c *Client) Admin(ctx context.Context, id int64) (*Admin, *Response, error) {
	admin, res, err := fetch[Admin](ctx, c, call{
		method: http.MethodGet, path: "/admins/" + strconv.FormatInt(id, 10), version: c.version, limit: shortAnswer,
	})
	if err == nil && admin.ID == "" {
		return nil, res, &BodyError{Response: *res, Err: errNoID}
	}
	return admin, res, err
}
