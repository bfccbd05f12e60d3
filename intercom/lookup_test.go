package intercom_test

import (
	"context"
	"errors"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/intercom-dispatch/intercom-dispatch/intercom"
	"github.com/intercom-dispatch/intercom-dispatch/intercom/intercomtest"
)

// lookup asks for something by its id, and returns the id of what was found.
type lookup func(ctx context.Context, c *intercom.Client, id string) (intercom.ID, *intercom.Response, error)

func conversation(ctx context.Context, c *intercom.Client, id string) (intercom.ID, *intercom.Response, error) {
	found, res, err := c.Conversation(ctx, id)
	if err != nil {
		return "", res, err
	}
	return found.ID, res, nil
}

func contact(ctx context.Context, c *intercom.Client, id string) (intercom.ID, *intercom.Response, error) {
	found, res, err := c.Contact(ctx, id)
	if err != nil {
		return "", res, err
	}
	return found.ID, res, nil
}

func admin(ctx context.Context, c *intercom.Client, _ string) (intercom.ID, *intercom.Response, error) {
	found, res, err := c.Admin(ctx, 17)
	if err != nil {
		return "", res, err
	}
	return found.ID, res, nil
}

func TestLookupsAskForWhatTheirIDNames(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		lookup lookup
		uri    string
	}{
		"conversation": {conversation, "/conversations/a%2Fb%3F%20c"},
		"contact":      {contact, "/contacts/a%2Fb%3F%20c"},
		"admin":        {admin, "/admins/17"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := serve(t, `{"type":"x","id":17,"role":"user","merged_from":null}`)
			id, res, err := c.lookup(t.Context(), s.client(t), "a/b? c")
			require.NoError(t, err)
			require.Equal(t, intercom.ID("17"), id)
			require.Equal(t, http.StatusOK, res.Status)
			require.Empty(t, res.Canonical)
			require.Len(t, s.requests, 1)
			require.Equal(t, http.MethodGet, s.requests[0].Method)
			require.Equal(t, c.uri, s.requests[0].RequestURI)
			require.NotContains(t, s.requests[0].Header, "Content-Type")
		})
	}
}

func TestContactsAreAskedForWithAVersionThatTellsOfMerges(t *testing.T) {
	t.Parallel()
	for configured, sent := range map[string]string{"": "2.16", "2.9": "2.16", "2.17": "2.17", "Unstable": "Unstable"} {
		s := serve(t, `{"id":"1"}`)
		c := s.client(t, setVersion(configured))
		_, _, err := c.Contact(t.Context(), "1")
		require.NoError(t, err)
		require.Equal(t, sent, s.requests[0].Header.Get("Intercom-Version"), configured)
	}
	s := serve(t, `{"id":"1"}`)
	c := s.client(t)
	_, _, err := c.Conversation(t.Context(), "1")
	require.NoError(t, err)
	_, _, err = c.Admin(t.Context(), 1)
	require.NoError(t, err)
	for _, r := range s.requests {
		require.Equal(t, "2.14", r.Header.Get("Intercom-Version"), r.URL.Path)
	}
}

func TestAFoundObjectWithoutAnIDIsABodyError(t *testing.T) {
	t.Parallel()
	for _, answer := range []string{`{}`, `{"id":null}`, `{"id":""}`, `{"id":["s3cret"]}`, `[]`, ``} {
		for name, lookup := range map[string]lookup{"conversation": conversation, "contact": contact, "admin": admin} {
			_, res, err := lookup(t.Context(), serve(t, answer).client(t), "1")
			_, ok := errors.AsType[*intercom.BodyError](err)
			require.True(t, ok, "%s %s: %v", name, answer, err)
			require.NotContains(t, err.Error(), "s3cret")
			require.Equal(t, http.StatusOK, res.Status)
		}
	}
}

// fakeFor returns a client of a fake, in the same process.
func fakeFor(t *testing.T, cfg intercomtest.Config) (*intercom.Client, *intercomtest.Server) {
	t.Helper()
	fake := intercomtest.New(cfg)
	t.Cleanup(fake.Close)
	c, err := intercom.New(intercom.Config{
		Token: intercom.StaticToken("tok"), BaseURL: "http://fake.test", Transport: fake.RoundTripper(),
	})
	require.NoError(t, err)
	return c, fake
}

func TestConversationHasItsParts(t *testing.T) {
	t.Parallel()
	c, fake := fakeFor(t, intercomtest.Config{UnknownContacts: intercomtest.UnknownMessageable, AnyAdmin: true})
	created, _, err := c.CreateMessage(t.Context(), inApp())
	require.NoError(t, err)
	reply, err := fake.Reply(t.Context(), string(created.ID), "Yes, please")
	require.NoError(t, err)

	conversation, _, err := c.Conversation(t.Context(), reply.ConversationID)
	require.NoError(t, err)
	require.Equal(t, created.ID, conversation.Source.ID)
	require.Len(t, conversation.ConversationParts.Parts, 1)
	part := conversation.ConversationParts.Parts[0]
	require.Equal(t, intercom.ID(reply.PartID), part.ID)
	require.Equal(t, "<p>Yes, please</p>", part.Body)
	require.True(t, part.Author.IsContact())
}

func TestWhatDoesNotExistIsA404(t *testing.T) {
	t.Parallel()
	c, fake := fakeFor(t, intercomtest.Config{})
	id := fake.AddContact(intercomtest.Contact{Role: "lead"})
	found, _, err := c.Contact(t.Context(), id)
	require.NoError(t, err)
	require.Equal(t, &intercom.Contact{Type: "contact", ID: intercom.ID(id), Role: "lead"}, found)
	first, _, err := c.Admin(t.Context(), 1)
	require.NoError(t, err)
	require.Equal(t, &intercom.Admin{Type: "admin", ID: "1"}, first)
	for name, lookup := range map[string]lookup{"conversation": conversation, "contact": contact, "admin": admin} {
		_, res, err := lookup(t.Context(), c, "1")
		refused, ok := errors.AsType[*intercom.APIError](err)
		require.True(t, ok, "%s: %v", name, err)
		require.True(t, refused.Listed)
		require.Equal(t, http.StatusNotFound, res.Status)
		require.Empty(t, res.Canonical)
	}
}

func TestAMergedContactNamesTheOneThatIsLeft(t *testing.T) {
	t.Parallel()
	c, fake := fakeFor(t, intercomtest.Config{UnknownContacts: intercomtest.UnknownMessageable})
	require.NoError(t, fake.MergeContact(t.Context(), "lead", "first"))
	require.NoError(t, fake.MergeContact(t.Context(), "first", "last"))
	found, res, err := c.Contact(t.Context(), "lead")
	require.Nil(t, found)
	gone, ok := errors.AsType[*intercom.APIError](err)
	require.True(t, ok, "%v", err)
	require.Equal(t, http.StatusGone, res.Status)
	require.Equal(t, "contact_merged", gone.Code())
	require.Equal(t, "last", res.Canonical)
	require.Equal(t, "last", gone.Response.Canonical)
}
