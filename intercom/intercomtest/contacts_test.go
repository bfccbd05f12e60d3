package intercomtest_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/intercom-dispatch/intercom-dispatch/intercom/intercomtest"
)

func to(id string) string { return strings.ReplaceAll(inapp, `"jo"`, `"`+id+`"`) }

func TestCreatedContactIsMessageableAfterTheDelay(t *testing.T) {
	t.Parallel()
	clock := newClock()
	f := newFake(t, intercomtest.Config{Now: clock.now, ContactDelay: 3 * time.Second})
	r := f.post("/contacts", `{"email":"new@example.com","external_id":"x1"}`)
	require.Equal(t, http.StatusOK, r.status)
	id := r.json(t)["id"].(string)

	clock.advance(3*time.Second - time.Nanosecond)
	require.Equal(t, http.StatusNotFound, f.post("/messages", to(id)).status)
	require.Equal(t, http.StatusOK, f.get("/contacts/"+id).status, "it exists, but cannot be messaged")
	clock.advance(time.Nanosecond)
	require.Equal(t, http.StatusOK, f.post("/messages", to(id)).status)
}

func TestContactIsRefusedWithoutAnythingToKnowItBy(t *testing.T) {
	t.Parallel()
	f := newFake(t, intercomtest.Config{})
	for _, body := range []string{`{}`, `{"name":"x"}`, `{"role":"boss"}`, `{"role":1}`, `{`} {
		require.Equal(t, http.StatusBadRequest, f.post("/contacts", body).status, body)
	}
}

func TestAddedContactIsMessageableFromItsTimeOn(t *testing.T) {
	t.Parallel()
	clock := newClock()
	f := newFake(t, intercomtest.Config{Now: clock.now})
	id := f.AddContact(intercomtest.Contact{MessageableAt: clock.at.Add(time.Minute)})
	require.NotEmpty(t, id)
	require.Equal(t, http.StatusNotFound, f.post("/messages", to(id)).status)
	clock.advance(time.Minute)
	require.Equal(t, http.StatusOK, f.post("/messages", to(id)).status)
}

func TestUnknownContactsAreMessageableIfTheWorkspaceSaysSo(t *testing.T) {
	t.Parallel()
	clock := newClock()
	f := newFake(t, intercomtest.Config{Now: clock.now, UnknownContacts: intercomtest.UnknownMessageable})
	require.Equal(t, http.StatusOK, f.post("/messages", to("anybody")).status)
	require.Equal(t, http.StatusOK, f.post("/messages", to("appears-in-soon-jo")).status, "no duration")
	require.Equal(t, http.StatusNotFound, f.post("/messages", to("never-jo")).status)
	require.Equal(t, http.StatusNotFound, f.get("/contacts/never-jo").status)

	require.Equal(t, http.StatusNotFound, f.post("/messages", to("appears-in-5s-jo")).status)
	clock.advance(4 * time.Second)
	require.Equal(t, http.StatusNotFound, f.post("/messages", to("appears-in-5s-jo")).status)
	require.Equal(t, http.StatusNotFound, f.post("/messages", to("appears-in-5s-al")).status)
	clock.advance(time.Second)
	require.Equal(t, http.StatusOK, f.post("/messages", to("appears-in-5s-jo")).status)
	require.Equal(t, http.StatusNotFound, f.post("/messages", to("appears-in-5s-al")).status, "its own five seconds")
}
