package intercomtest_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/intercom-dispatch/intercom-dispatch/intercom/intercomtest"
)

// notified is a fake whose notifications r gets.
func notified(t *testing.T, cfg intercomtest.Config) (*fake, *receiver) {
	t.Helper()
	r := &receiver{}
	server := httptest.NewServer(r)
	t.Cleanup(server.Close)
	cfg.WebhookURL = server.URL
	return newFake(t, cfg), r
}

// await waits until the receiver has got n notifications, and returns the last.
func (f *fake) await(r *receiver, n int) envelope {
	f.tb.Helper()
	ctx, stop := context.WithTimeout(f.tb.Context(), 30*time.Second)
	defer stop()
	require.NoError(f.tb, f.WaitFor(ctx, delivered(n)))
	return r.received()[n-1].envelope(f.tb)
}

// retrieve asks for a contact with a version of the API.
func (f *fake) retrieve(version, id string) reply {
	f.tb.Helper()
	req := f.request(http.MethodGet, "/contacts/"+id, "")
	req.Header.Set("Intercom-Version", version)
	return f.send(req)
}

func TestCreatedContactIsMessageableWhenItsNotificationComes(t *testing.T) {
	t.Parallel()
	f := newFake(t, intercomtest.Config{})
	statuses := make(chan int, 1)
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		statuses <- f.post("/messages", to("new")).status
	}))
	t.Cleanup(server.Close)
	f.SetWebhookURL(server.URL)
	require.Equal(t, http.StatusNotFound, f.post("/messages", to("new")).status)

	id, err := f.CreateContact(t.Context(), intercomtest.Contact{ID: "new"})
	require.NoError(t, err)
	require.Equal(t, "new", id)
	require.Equal(t, http.StatusOK, <-statuses)
}

func TestCreatedContactIsAnnouncedByItsRole(t *testing.T) {
	t.Parallel()
	f, r := notified(t, intercomtest.Config{})
	f.AddContact(intercomtest.Contact{ID: "silent"})
	for _, role := range []string{"", "lead"} {
		_, err := f.CreateContact(t.Context(), intercomtest.Contact{Role: role})
		require.NoError(t, err)
	}
	require.Equal(t, "contact.lead.created", f.await(r, 2).Topic)
	require.Equal(t, "contact.user.created", f.Deliveries()[0].Topic)
}

func TestMergedContactLeavesItsPlaceToTheOther(t *testing.T) {
	t.Parallel()
	f, r := notified(t, intercomtest.Config{})
	f.AddContact(intercomtest.Contact{ID: "al", Name: "Al", ExternalID: "71"})
	waiting, answered := f.create(inapp), f.create(inapp)
	first, err := f.Reply(t.Context(), answered, "One")
	require.NoError(t, err)

	require.NoError(t, f.MergeContact(t.Context(), "jo", "al"))
	e := f.await(r, 2)
	require.Equal(t, "contact.merged", e.Topic)
	item := reply{body: e.Data.Item}.json(t)
	require.Equal(t, "al", item["id"])
	require.Equal(t, "71", item["external_id"])
	require.Equal(t, map[string]any{"type": "contact", "id": "jo"}, item["merged_from"])

	gone := f.post("/messages", to("jo"))
	require.Equal(t, http.StatusNotFound, gone.status)
	_, message, _ := gone.error(t)
	require.Equal(t, "User Not Found", message)
	require.Equal(t, http.StatusOK, f.post("/messages", to("al")).status)

	for _, id := range []string{waiting, answered} {
		_, err = f.ReplyAs(t.Context(), id, "jo", "x")
		require.ErrorIs(t, err, intercomtest.ErrNotFound)
		info, err := f.Reply(t.Context(), id, "Two")
		require.NoError(t, err)
		require.Equal(t, "al", info.ContactID)
		_, err = f.ReplyAs(t.Context(), id, "al", "Three")
		require.NoError(t, err)
	}
	c := f.get("/conversations/" + first.ConversationID).conversation(t)
	require.Len(t, c.Contacts.Contacts, 1)
	require.Equal(t, "al", c.Contacts.Contacts[0].ID)
	for _, p := range c.Parts.Parts {
		require.Equal(t, "al", p.Author.ID)
	}
	const query = `{"query":{"field":"contact_ids","operator":"=","value":"%s"}}`
	require.Len(t, f.search(strings.Replace(query, "%s", "al", 1)).Conversations, 2)
	require.Empty(t, f.search(strings.Replace(query, "%s", "jo", 1)).Conversations)
}

func TestMergedContactIsGoneAndNamesTheLastOfItsChain(t *testing.T) {
	t.Parallel()
	f := newFake(t, intercomtest.Config{UnknownContacts: intercomtest.UnknownMessageable})
	require.NoError(t, f.MergeContact(t.Context(), "a", "b"))
	require.NoError(t, f.MergeContact(t.Context(), "b", "c d"))
	for _, id := range []string{"a", "b"} {
		r := f.retrieve("2.16", id)
		require.Equal(t, http.StatusGone, r.status)
		require.Equal(t, `</contacts/c%20d>; rel="canonical"`, r.header.Get("Link"))
		code, _, _ := r.error(t)
		require.Equal(t, "contact_merged", code)
		r = f.retrieve("2.15", id)
		require.Equal(t, http.StatusNotFound, r.status)
		require.Empty(t, r.header.Get("Link"))
	}
	require.Equal(t, http.StatusOK, f.retrieve("2.16", "c%20d").status)
}

func TestTwoRecipientsThatAreMergedAreOne(t *testing.T) {
	t.Parallel()
	f := newFake(t, intercomtest.Config{UnknownContacts: intercomtest.UnknownMessageable})
	f.create(`{"message_type":"inapp","body":"x","to":[{"type":"user","id":"a"},{"type":"user","id":"b"}],"create_conversation_without_contact_reply":true}`)
	require.NoError(t, f.MergeContact(t.Context(), "a", "b"))
	found := f.search(`{"query":{"field":"contact_ids","operator":"IN","value":["a","b"]}}`).Conversations
	require.Len(t, found, 1)
	require.Len(t, found[0].Contacts.Contacts, 1)
}

func TestContactThatIsAddedAgainKeepsItsConversationsUnlessItWasMerged(t *testing.T) {
	t.Parallel()
	f := newFake(t, intercomtest.Config{})
	id := f.create(opened)
	f.AddContact(intercomtest.Contact{ID: "jo", Name: "Joanna"})
	require.NoError(t, f.MergeContact(t.Context(), "jo", f.AddContact(intercomtest.Contact{ID: "al"})))
	f.AddContact(intercomtest.Contact{ID: "jo"})
	require.Equal(t, http.StatusOK, f.post("/messages", inapp).status)
	info, err := f.Reply(t.Context(), id, "x")
	require.NoError(t, err)
	require.Equal(t, "al", info.ContactID)
}

func TestContactThatIsGoneCannotBeMerged(t *testing.T) {
	t.Parallel()
	f := newFake(t, intercomtest.Config{})
	for _, id := range []string{"a", "b", "c"} {
		f.AddContact(intercomtest.Contact{ID: id})
	}
	require.NoError(t, f.MergeContact(t.Context(), "a", "b"))
	require.NoError(t, f.DeleteContact(t.Context(), "c"))
	for _, pair := range [][2]string{{"a", "jo"}, {"jo", "a"}, {"c", "jo"}, {"jo", "c"}, {"x", "jo"}, {"jo", "x"}} {
		require.ErrorIs(t, f.MergeContact(t.Context(), pair[0], pair[1]), intercomtest.ErrNotFound, pair)
	}
	require.ErrorContains(t, f.MergeContact(t.Context(), "jo", "jo"), "into itself")
	require.Equal(t, http.StatusOK, f.post("/messages", inapp).status)
}

func TestArchivedContactIsFoundButNotMessageable(t *testing.T) {
	t.Parallel()
	f, r := notified(t, intercomtest.Config{})
	id := f.create(inapp)
	require.NoError(t, f.ArchiveContact(t.Context(), "jo"))
	require.NoError(t, f.ArchiveContact(t.Context(), "jo"), "once more changes nothing")
	require.JSONEq(t, `{"type":"contact","id":"jo","external_id":"70","archived":true}`, string(f.await(r, 1).Data.Item))
	require.Equal(t, http.StatusNotFound, f.post("/messages", inapp).status)
	require.Equal(t, http.StatusOK, f.get("/contacts/jo").status)
	_, err := f.Reply(t.Context(), id, "x")
	require.NoError(t, err)

	require.NoError(t, f.UnarchiveContact(t.Context(), "jo"))
	e := f.await(r, 3)
	require.Equal(t, "contact.unarchive", e.Topic)
	require.JSONEq(t, `{"type":"contact","id":"jo","external_id":"70","archived":false}`, string(e.Data.Item))
	require.Equal(t, http.StatusOK, f.post("/messages", inapp).status)
	require.Equal(t, "contact.archived", f.Deliveries()[0].Topic)
}

func TestDeletedContactIsGone(t *testing.T) {
	t.Parallel()
	f, r := notified(t, intercomtest.Config{UnknownContacts: intercomtest.UnknownMessageable})
	id := f.create(inapp)
	require.NoError(t, f.DeleteContact(t.Context(), "jo"))
	e := f.await(r, 1)
	require.Equal(t, "contact.deleted", e.Topic)
	require.JSONEq(t, `{"type":"contact","id":"jo","deleted":true}`, string(e.Data.Item))
	require.Equal(t, http.StatusNotFound, f.post("/messages", inapp).status)
	require.Equal(t, http.StatusNotFound, f.retrieve("2.16", "jo").status)
	_, err := f.Reply(t.Context(), id, "x")
	require.ErrorIs(t, err, intercomtest.ErrNotFound)
	for _, change := range []func(context.Context, string) error{f.DeleteContact, f.ArchiveContact, f.UnarchiveContact} {
		require.ErrorIs(t, change(t.Context(), "jo"), intercomtest.ErrNotFound)
	}
	f.AddContact(intercomtest.Contact{ID: "jo"})
	require.Equal(t, http.StatusOK, f.post("/messages", inapp).status, "it can be made anew")
}

func TestWhatsAppFollowsTheNumber(t *testing.T) {
	t.Parallel()
	f := newFake(t, intercomtest.Config{})
	f.header.Set("Intercom-Version", "2.16")
	f.AddContact(intercomtest.Contact{ID: "old", Phone: "5547999998888"})
	id := f.create(whats)
	require.NoError(t, f.MergeContact(t.Context(), "old", "jo"))
	for _, message := range []string{id, f.create(whats)} {
		info, err := f.Reply(t.Context(), message, "x")
		require.NoError(t, err)
		require.Equal(t, "jo", info.ContactID)
	}
	require.NoError(t, f.ArchiveContact(t.Context(), "jo"))
	require.Equal(t, http.StatusNotFound, f.post("/messages", whats).status)
	require.NoError(t, f.DeleteContact(t.Context(), "jo"))
	info, err := f.Reply(t.Context(), f.create(whats), "x")
	require.NoError(t, err)
	require.NotEqual(t, "jo", info.ContactID, "somebody new")
}

func TestChangesOfContactsAreMadeAlsoWhereTheirNotificationIsLost(t *testing.T) {
	t.Parallel()
	f, _ := notified(t, intercomtest.Config{})
	f.Close()
	id, err := f.CreateContact(context.Background(), intercomtest.Contact{ID: "al"})
	require.ErrorContains(t, err, "notification contact.user.created")
	require.Equal(t, "al", id)
	require.Error(t, f.MergeContact(context.Background(), "jo", "al"))
	require.Equal(t, http.StatusGone, f.retrieve("2.16", "jo").status)
	require.Len(t, f.Deliveries(), 2)
	require.Contains(t, f.Deliveries()[0].Err, "not queued")
}

func TestControlAPIChangesContacts(t *testing.T) {
	t.Parallel()
	f, r := notified(t, intercomtest.Config{})
	require.JSONEq(t, `{"id":"al"}`, string(f.plainly("POST", "/_fake/contacts", `{"id":"al","announce":true}`).body))
	require.Equal(t, "contact.user.created", f.await(r, 1).Topic)
	require.Equal(t, http.StatusNoContent, f.plainly("POST", "/_fake/contacts/jo/archive", "").status)
	require.Equal(t, "contact.archived", f.await(r, 2).Topic)
	require.Equal(t, http.StatusNoContent, f.plainly("POST", "/_fake/contacts/jo/unarchive", "").status)
	require.Equal(t, "contact.unarchive", f.await(r, 3).Topic)
	require.Equal(t, http.StatusNoContent, f.plainly("POST", "/_fake/contacts/jo/merge", `{"into":"al"}`).status)
	require.Equal(t, "contact.merged", f.await(r, 4).Topic)
	require.Equal(t, http.StatusGone, f.retrieve("2.16", "jo").status)
	require.Equal(t, http.StatusNoContent, f.plainly("DELETE", "/_fake/contacts/al", "").status)
	require.Equal(t, "contact.deleted", f.await(r, 5).Topic)

	require.Equal(t, http.StatusNotFound, f.plainly("DELETE", "/_fake/contacts/al", "").status)
	require.Equal(t, http.StatusNotFound, f.plainly("POST", "/_fake/contacts/al/archive", "").status)
	require.Equal(t, http.StatusBadRequest, f.plainly("POST", "/_fake/contacts/al/merge", `{"to":"x"}`).status)
}
