package intercomtest_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/intercom-dispatch/intercom-dispatch/intercom/intercomtest"
)

func TestAnyAdminMaySendWhereItIsAllowed(t *testing.T) {
	t.Parallel()
	const body = `{"message_type":"in_app","body":"hi","from":{"type":"admin","id":394051},"to":{"type":"user","id":"c"}}`
	strict := newFake(t, intercomtest.Config{UnknownContacts: intercomtest.UnknownMessageable})
	require.Equal(t, 404, strict.post("/messages", body).status)
	lenient := newFake(t, intercomtest.Config{UnknownContacts: intercomtest.UnknownMessageable, AnyAdmin: true})
	require.Equal(t, 200, lenient.post("/messages", body).status)
	require.Equal(t, "394051", lenient.Created()[0].AdminID)
}

func TestAdminsAreFoundIfTheyExist(t *testing.T) {
	t.Parallel()
	f := newFake(t, intercomtest.Config{Admins: []intercomtest.Admin{{ID: "7", Name: "Ada", Email: "ada@example.com"}}})
	r := f.get("/admins/7")
	require.Equal(t, 200, r.status)
	require.JSONEq(t, `{"type":"admin","id":"7","name":"Ada","email":"ada@example.com","away_mode_enabled":false,
		"away_mode_reassign":false,"has_inbox_seat":true,"team_ids":[]}`, string(r.body))
	r = f.get("/admins/8")
	require.Equal(t, 404, r.status)
	code, _, _ := r.error(t)
	require.Equal(t, "admin_not_found", code)
	require.Equal(t, 404, f.get("/admins/").status)
	require.Equal(t, 404, f.post("/admins/7", `{}`).status)

	lenient := newFake(t, intercomtest.Config{AnyAdmin: true})
	require.Equal(t, "8", lenient.get("/admins/8").json(t)["id"])
}
