package intercom_test

import (
	"errors"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/intercom-dispatch/intercom-dispatch/intercom"
)

func TestSearchConversationsAsksAndReadsAPage(t *testing.T) {
	t.Parallel()
	s := serve(t, `{"type":"conversation.list","total_count":12345,"pages":{"type":"pages","page":1,"next":{"per_page":2,"starting_after":"cursor=="},"total_pages":13},
		"conversations":[{"type":"conversation","id":"1295","source":{"id":"19"},"statistics":{"last_contact_reply_at":1663597233}},
			{"id":1296,"source":{"id":20},"statistics":{"last_contact_reply_at":null}},{"id":"1297","statistics":null}]}`)
	page, res, err := s.client(t).SearchConversations(t.Context(), intercom.SearchRequest{
		Query: intercom.And(
			intercom.Filter("source.id", intercom.In, []string{"19", "20"}),
			intercom.Or(intercom.Filter("created_at", intercom.Greater, 1590000000), intercom.Filter("open", intercom.Equal, true)),
		),
		PerPage: 150, StartingAfter: "before==",
	})
	require.NoError(t, err)
	require.Equal(t, 200, res.Status)
	require.Equal(t, &intercom.ConversationPage{
		Conversations: []intercom.Conversation{
			{ID: "1295", Source: intercom.Source{ID: "19"}, Statistics: &intercom.ConversationStatistics{LastContactReplyAt: 1663597233}},
			{ID: "1296", Source: intercom.Source{ID: "20"}, Statistics: &intercom.ConversationStatistics{}},
			{ID: "1297"},
		},
		TotalCount: 12345, NextCursor: "cursor==",
	}, page)
	require.Equal(t, "POST /conversations/search", s.requests[0].Method+" "+s.requests[0].URL.Path)
	require.JSONEq(t, `{"query":{"operator":"AND","value":[
		{"field":"source.id","operator":"IN","value":["19","20"]},
		{"operator":"OR","value":[{"field":"created_at","operator":">","value":1590000000},{"field":"open","operator":"=","value":true}]}]},
		"pagination":{"per_page":150,"starting_after":"before=="}}`, s.bodies[0])
}

func TestSearchWithoutPaginationLeavesItOut(t *testing.T) {
	t.Parallel()
	s := serve(t, `{}`)
	_, _, err := s.client(t).SearchConversations(t.Context(), intercom.SearchRequest{Query: intercom.Filter("id", intercom.Equal, "1")})
	require.NoError(t, err)
	require.JSONEq(t, `{"query":{"field":"id","operator":"=","value":"1"}}`, s.bodies[0])
}

func TestTheLastPageHasNoCursor(t *testing.T) {
	t.Parallel()
	for _, answer := range []string{
		`{"conversations":null,"total_count":"0","pages":null}`,
		`{"pages":{"next":null}}`,
		`{"pages":{"next":{"starting_after":null}}}`,
	} {
		page, _, err := serve(t, answer).client(t).SearchConversations(t.Context(), intercom.SearchRequest{Query: intercom.Filter("id", intercom.Equal, "1")})
		require.NoError(t, err)
		require.Empty(t, page.NextCursor)
		require.Empty(t, page.Conversations)
	}
}

func TestAnUnreadableCursorIsNotTakenForTheEnd(t *testing.T) {
	t.Parallel()
	_, _, err := serve(t, `{"pages":{"next":"s3cret"}}`).client(t).SearchConversations(t.Context(), intercom.SearchRequest{Query: intercom.Filter("id", intercom.Equal, "1")})
	_, ok := errors.AsType[*intercom.BodyError](err)
	require.True(t, ok, "%v", err)
	require.NotContains(t, err.Error(), "s3cret")
}

func TestSearchesThatIntercomWouldRefuseAreNotSent(t *testing.T) {
	t.Parallel()
	one := intercom.Filter("id", intercom.Equal, "1")
	full := slices.Repeat([]intercom.Query{one}, intercom.MaxFilters)
	for name, c := range map[string]struct {
		s     intercom.SearchRequest
		field string
	}{
		"page too large":     {intercom.SearchRequest{Query: one, PerPage: 151}, "pagination.per_page"},
		"page negative":      {intercom.SearchRequest{Query: one, PerPage: -1}, "pagination.per_page"},
		"nothing":            {intercom.SearchRequest{}, "query.field"},
		"no field":           {intercom.SearchRequest{Query: intercom.Filter("", intercom.Equal, 1)}, "query.field"},
		"operator":           {intercom.SearchRequest{Query: intercom.Filter("id", "==", 1)}, "query.operator"},
		"IN without list":    {intercom.SearchRequest{Query: intercom.Filter("id", intercom.In, "1")}, "query.value"},
		"IN nothing":         {intercom.SearchRequest{Query: intercom.Filter("id", intercom.NotIn, []string{})}, "query.value"},
		"empty group":        {intercom.SearchRequest{Query: intercom.And()}, "query"},
		"16 filters":         {intercom.SearchRequest{Query: intercom.Or(append(full, one)...)}, "query"},
		"third level":        {intercom.SearchRequest{Query: intercom.And(intercom.Or(intercom.And(one)))}, "query.value[0].value[0]"},
		"inner filter":       {intercom.SearchRequest{Query: intercom.And(one, intercom.Filter("", intercom.Equal, 1))}, "query.value[1].field"},
		"value without JSON": {intercom.SearchRequest{Query: intercom.Filter("id", intercom.Equal, make(chan int))}, "query"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := serve(t, `{}`)
			_, res, err := s.client(t).SearchConversations(t.Context(), c.s)
			invalid, ok := errors.AsType[*intercom.ValidationError](err)
			require.True(t, ok, "%v", err)
			require.Equal(t, c.field, invalid.Field)
			require.Nil(t, res)
			require.Empty(t, s.requests)
		})
	}
	require.NoError(t, intercom.SearchRequest{Query: intercom.And(intercom.Or(full...)), PerPage: 150}.Validate())
}
