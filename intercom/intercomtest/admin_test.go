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
