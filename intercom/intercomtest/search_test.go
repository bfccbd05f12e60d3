package intercomtest_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/intercom-dispatch/intercom-dispatch/intercom/intercomtest"
)

// page is what a search answers.
type page struct {
	TotalCount    int            `json:"total_count"`
	Conversations []conversation `json:"conversations"`
	Pages         struct {
		Page       int `json:"page"`
		PerPage    int `json:"per_page"`
		TotalPages int `json:"total_pages"`
		Next       *struct {
			StartingAfter string `json:"starting_after"`
		} `json:"next"`
	} `json:"pages"`
}

func (f *fake) search(body string) page {
	f.tb.Helper()
	r := f.post("/conversations/search", body)
	require.Equal(f.tb, http.StatusOK, r.status, "%s", r.body)
	var p page
	require.NoError(f.tb, json.Unmarshal(r.body, &p))
	return p
}

// subjects are the found conversations by the subjects of their messages.
func (p page) subjects() string {
	var found []string
	for _, c := range p.Conversations {
		found = append(found, c.Source.Subject)
	}
	return strings.Join(found, " ")
}

// library is a workspace with three conversations, a minute apart: A, an email
// to jo; B, an in-app message to al that is not answered; and C to both.
func library(t *testing.T, cfg intercomtest.Config) *fake {
	t.Helper()
	clock := newClock()
	cfg.Now, cfg.UnknownContacts = clock.now, intercomtest.UnknownMessageable
	cfg.Admins = []intercomtest.Admin{{ID: "1", Name: "Ada", Email: "ada@example.com"}, {ID: "2", Name: "Bob", Email: "bob@example.com"}}
	f := newFake(t, cfg)
	const format = `{"message_type":%q,"subject":%q,"body":%q,"template":"plain","from":{"type":"admin","id":%d},"to":%s,"create_conversation_without_contact_reply":%t}`
	a := f.create(fmt.Sprintf(format, "email", "A", "<p>I need <b>support</b>, now</p>", 1, `{"type":"user","id":"jo"}`, false))
	_, err := f.Reply(t.Context(), a, "x")
	require.NoError(t, err)
	clock.advance(time.Minute)
	f.create(fmt.Sprintf(format, "inapp", "B", "Need a hand?", 2, `{"type":"lead","id":"al"}`, true))
	clock.advance(time.Minute)
	c := f.create(fmt.Sprintf(format, "inapp", "C", "Welcome", 1, `[{"type":"user","id":"jo"},{"type":"lead","id":"al"}]`, true))
	_, err = f.Reply(t.Context(), c, "x")
	require.NoError(t, err)
	return f
}

// The times of the library's conversations.
const (
	timeA = 1795359600
	timeB = timeA + 60
	timeC = timeB + 60
)

func TestSearchFindsByFieldAndOperator(t *testing.T) {
	t.Parallel()
	f := library(t, intercomtest.Config{})
	idB, convB := f.Created()[1].ID, f.Created()[1].ConversationID
	tests := []struct{ field, operator, value, want string }{
		{"id", "=", `"` + convB + `"`, "B"},
		{"source.id", "=", `"` + idB + `"`, "B"},
		{"source.id", "!=", `"` + idB + `"`, "C A"},
		{"source.id", "IN", `["` + idB + `","0"]`, "B"},
		{"source.id", "IN", `["` + idB + `","` + idB + `"]`, "B"},
		{"source.id", "IN", `[]`, ""},
		{"source.id", "NIN", `["` + idB + `","0"]`, "C A"},
		{"contact_ids", "=", `"jo"`, "C A"},
		{"contact_ids", "!=", `"jo"`, "B"},
		{"contact_ids", "IN", `["al","jo"]`, "C B A"},
		{"created_at", "=", `1795359660`, "B"},
		{"created_at", "!=", `1795359660`, "C A"},
		{"created_at", ">", `1795359660`, "C B"},
		{"created_at", "<", `1795359660`, "B A"},
		{"created_at", ">", `"1795359661"`, "C"},
		{"created_at", "IN", `[1795359600,"1795359660"]`, "B A"},
		{"updated_at", "<", `1795359600`, "A"},
		{"statistics.last_contact_reply_at", ">", `1`, "C A"},
		{"statistics.first_contact_reply_at", "<", fmt.Sprint(timeA), "A"},
		{"statistics.first_contact_reply_at", "!=", fmt.Sprint(timeA), "C B"},
		{"source.type", "=", `"email"`, "A"},
		{"source.delivered_as", "=", `"admin_initiated"`, "C B A"},
		{"source.subject", "~", `"B"`, "B"},
		{"source.subject", "!~", `"B"`, "C A"},
		{"source.author.id", "=", `"2"`, "B"},
		{"source.author.type", "=", `"admin"`, "C B A"},
		{"source.author.name", "^", `"A"`, "C A"},
		{"source.author.email", "$", `"b@example.com"`, "B"},
		{"source.author.name", "=", `"ada"`, ""},
		{"open", "=", `true`, "C B A"},
		{"read", "=", `true`, ""},
		{"state", "=", `"open"`, "C B A"},
		{"source.body", "=", `"support"`, "A"},
		{"source.body", "=", `"Support"`, "A"},
		{"source.body", "=", `"need support"`, ""},
		{"source.body", "IN", `["welcome","hand"]`, "C B"},
		{"source.body", "!=", `"need"`, "C"},
		{"source.body", "~", `"need support"`, "A"},
		{"source.body", "!~", `"need"`, "C"},
		{"source.body", "^", `"supp"`, "A"},
		{"source.body", "$", `"come"`, "C"},
	}
	for _, tt := range tests {
		t.Run(tt.field+" "+tt.operator+" "+tt.value, func(t *testing.T) {
			t.Parallel()
			p := f.search(fmt.Sprintf(`{"query":{"field":%q,"operator":%q,"value":%s}}`, tt.field, tt.operator, tt.value))
			require.Equal(t, tt.want, p.subjects())
			require.Equal(t, len(p.Conversations), p.TotalCount)
		})
	}
}

func TestSearchCombinesFilters(t *testing.T) {
	t.Parallel()
	f := library(t, intercomtest.Config{})
	const (
		jo    = `{"field":"contact_ids","operator":"=","value":"jo"}`
		al    = `{"field":"contact_ids","operator":"=","value":"al"}`
		mail  = `{"field":"source.type","operator":"=","value":"email"}`
		later = `{"field":"created_at","operator":">","value":1795359660}`
	)
	group := func(operator string, members ...string) string {
		return fmt.Sprintf(`{"operator":%q,"value":[%s]}`, operator, strings.Join(members, ","))
	}
	for query, want := range map[string]string{
		group("AND", jo, al):                                         "C",
		group("OR", jo, al):                                          "C B A",
		group("AND", later, jo):                                      "C",
		group("OR", mail, later):                                     "C B A",
		group("AND", mail, later):                                    "",
		group("AND", group("OR", jo, al), group("OR", mail)):         "A",
		group("OR", group("AND", jo, mail), group("AND", al, later)): "C B A",
	} {
		require.Equal(t, want, f.search(`{"query":`+query+`}`).subjects(), query)
	}
}

func TestSearchRefusesWhatIsNotDocumented(t *testing.T) {
	t.Parallel()
	f := library(t, intercomtest.Config{})
	const ok = `{"field":"source.id","operator":"=","value":"1"}`
	nest := func(q string) string { return `{"operator":"AND","value":[` + q + `]}` }
	for name, tt := range map[string]struct{ body, code string }{
		"malformed":       {`{`, "bad_request"},
		"no query":        {`{}`, "parameter_invalid"},
		"unknown field":   {`{"query":{"field":"source.color","operator":"=","value":"1"}}`, "invalid_field"},
		"no operator":     {`{"query":{"field":"source.id","value":"1"}}`, "invalid_operator"},
		"> on string":     {`{"query":{"field":"source.id","operator":">","value":"1"}}`, "invalid_operator"},
		">= on date":      {`{"query":{"field":"created_at","operator":">=","value":1}}`, "invalid_operator"},
		"~ on date":       {`{"query":{"field":"created_at","operator":"~","value":1}}`, "invalid_operator"},
		"~ on boolean":    {`{"query":{"field":"open","operator":"~","value":true}}`, "invalid_operator"},
		"number for text": {`{"query":{"field":"source.id","operator":"=","value":1}}`, "invalid_value"},
		"text for date":   {`{"query":{"field":"created_at","operator":"=","value":"today"}}`, "invalid_value"},
		"text for bool":   {`{"query":{"field":"open","operator":"=","value":"true"}}`, "invalid_value"},
		"no value":        {`{"query":{"field":"source.id","operator":"="}}`, "invalid_value"},
		"one for IN":      {`{"query":{"field":"source.id","operator":"IN","value":"1"}}`, "invalid_value"},
		"group operator":  {`{"query":{"operator":"XOR","value":[` + ok + `]}}`, "invalid_operator"},
		"empty group":     {`{"query":{"operator":"AND","value":[]}}`, "parameter_invalid"},
		"16 filters":      {`{"query":` + nest(strings.Repeat(ok+",", 15)+ok) + `}`, "parameter_invalid"},
		"3 levels":        {`{"query":` + nest(nest(nest(ok))) + `}`, "parameter_invalid"},
		"151 a page":      {`{"query":` + ok + `,"pagination":{"per_page":151}}`, "parameter_invalid"},
		"0 a page":        {`{"query":` + ok + `,"pagination":{"per_page":0}}`, "parameter_invalid"},
		"no cursor":       {`{"query":` + ok + `,"pagination":{"starting_after":"x"}}`, "parameter_invalid"},
	} {
		r := f.post("/conversations/search", tt.body)
		require.Equal(t, http.StatusBadRequest, r.status, name)
		code, _, _ := r.error(t)
		require.Equal(t, tt.code, code, name)
	}
	for name, body := range map[string]string{
		"15 filters": `{"query":` + nest(strings.Repeat(ok+",", 14)+ok) + `}`,
		"2 levels":   `{"query":` + nest(nest(ok)) + `}`,
		"150 a page": `{"query":` + ok + `,"pagination":{"per_page":150}}`,
	} {
		require.Equal(t, http.StatusOK, f.post("/conversations/search", body).status, name)
	}
}

func TestSearchPagesDoNotOverlapWhileConversationsComeIn(t *testing.T) {
	t.Parallel()
	f := newFake(t, intercomtest.Config{Now: newClock().now}) // All in the same second.
	var want []string
	for range 45 {
		f.create(opened)
		want = append([]string{f.Created()[len(f.Created())-1].ConversationID}, want...)
	}
	const query = `"query":{"field":"created_at","operator":">","value":0}`
	p := f.search(`{` + query + `}`)
	require.Equal(t, 20, p.Pages.PerPage)
	require.Equal(t, 3, p.Pages.TotalPages)
	require.Equal(t, 45, p.TotalCount)
	f.create(opened)
	var got []string
	for n := 1; ; n++ {
		require.Equal(t, n, p.Pages.Page)
		for _, c := range p.Conversations {
			got = append(got, c.ID)
		}
		if p.Pages.Next == nil {
			break
		}
		p = f.search(fmt.Sprintf(`{%s,"pagination":{"starting_after":%q}}`, query, p.Pages.Next.StartingAfter))
	}
	require.Equal(t, want, got)
}

func TestSearchIsBehindByTheIndexLag(t *testing.T) {
	t.Parallel()
	clock := newClock()
	f := newFake(t, intercomtest.Config{Now: clock.now, IndexLag: 10 * time.Second})
	id := f.create(opened)
	bySource := fmt.Sprintf(`{"query":{"field":"source.id","operator":"=","value":%q}}`, id)
	require.Zero(t, f.search(bySource).TotalCount)
	require.Equal(t, http.StatusOK, f.get("/conversations/"+f.Created()[0].ConversationID).status, "no index in between")
	clock.advance(10 * time.Second)
	require.Equal(t, 1, f.search(bySource).TotalCount)

	_, err := f.Reply(t.Context(), id, "Hi")
	require.NoError(t, err)
	const replied = `{"query":{"field":"statistics.last_contact_reply_at","operator":">","value":1}}`
	require.Zero(t, f.search(replied).TotalCount)
	require.Nil(t, f.search(bySource).Conversations[0].FirstContactReply)
	clock.advance(10 * time.Second)
	require.Equal(t, 1, f.search(replied).TotalCount)
	require.NotNil(t, f.search(bySource).Conversations[0].FirstContactReply)
	require.Nil(t, f.search(bySource).Conversations[0].Parts, "searches have no parts")
}

func TestSearchCanRoundDatesToTheDay(t *testing.T) {
	t.Parallel()
	f := library(t, intercomtest.Config{RoundDates: true})
	const day = 24 * 60 * 60
	for value, want := range map[string]string{
		fmt.Sprintf(`">","value":%d`, timeA-60):  "",
		fmt.Sprintf(`">","value":%d`, timeA-day): "C B A",
		fmt.Sprintf(`"<","value":%d`, timeC+60):  "",
		fmt.Sprintf(`"<","value":%d`, timeC+day): "C B A",
		fmt.Sprintf(`"=","value":%d`, timeB+5):   "C B A",
	} {
		require.Equal(t, want, f.search(`{"query":{"field":"created_at","operator":`+value+`}}`).subjects(), value)
	}
}
