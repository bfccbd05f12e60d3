package settle_test

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/intercom-dispatch/intercom-dispatch/intercom"
	"github.com/intercom-dispatch/intercom-dispatch/intercom/intercomtest"
	"github.com/intercom-dispatch/intercom-dispatch/internal/openapitest"
	"github.com/intercom-dispatch/intercom-dispatch/internal/settle"
)

// workspace is a fake Intercom, whose clock the test moves, with its client.
type workspace struct {
	*intercomtest.Server
	t      *testing.T
	now    time.Time
	client *intercom.Client
	finder *settle.Finder
}

func newWorkspace(t *testing.T, cfg intercomtest.Config) *workspace {
	t.Helper()
	w := &workspace{t: t, now: since}
	cfg.UnknownContacts, cfg.AnyAdmin = intercomtest.UnknownMessageable, true
	cfg.Now = func() time.Time { return w.now }
	w.Server = intercomtest.New(cfg)
	t.Cleanup(w.Close)
	w.connect(w.RoundTripper(), "2.14")
	return w
}

func (w *workspace) connect(transport http.RoundTripper, version string) {
	w.t.Helper()
	var err error
	w.client, err = intercom.New(intercom.Config{
		Token: intercom.StaticToken("t"), BaseURL: "http://fake.test", Transport: transport, Version: version,
	})
	require.NoError(w.t, err)
	w.finder = settle.NewFinder(w.client)
}

// create sends the message and returns its conversation's id.
func (w *workspace) create(m *intercom.Message) string {
	w.t.Helper()
	created, _, err := w.client.CreateMessage(w.t.Context(), m)
	require.NoError(w.t, err)
	return string(created.ConversationID)
}

func (w *workspace) find(m *intercom.Message) []string {
	w.t.Helper()
	found, res, err := w.finder.Find(w.t.Context(), m, since)
	require.NoError(w.t, err)
	require.Equal(w.t, http.StatusOK, res.Status)
	require.NotNil(w.t, res.RateLimit)
	return ids(found)
}

func ids(found []*intercom.Conversation) []string {
	var all []string
	for _, c := range found {
		all = append(all, string(c.ID))
	}
	return all
}

func TestFindTellsTheMessageFromAllOthers(t *testing.T) {
	t.Parallel()
	for _, rounded := range []bool{false, true} {
		t.Run("rounded dates "+strconv.FormatBool(rounded), func(t *testing.T) {
			t.Parallel()
			w := newWorkspace(t, intercomtest.Config{RoundDates: rounded})
			m := message("Your order is <b>here</b> & ready")
			otherText, otherContact, otherAdmin := message("Your order is here"), message(m.Body), message(m.Body)
			otherContact.To, otherAdmin.From = intercom.ToUser("al"), intercom.FromAdmin(8)
			w.now = since.Add(-time.Hour)
			w.create(m)
			w.now = since
			for _, other := range []*intercom.Message{otherText, otherContact, otherAdmin} {
				w.create(other)
			}
			require.Empty(t, w.find(m), "none is the message's")

			first := w.create(m)
			w.now = since.Add(time.Hour)
			second := w.create(m)
			require.Equal(t, []string{first, second}, w.find(m), "the oldest first")
		})
	}
}

func TestFindWithoutSenderTakesAnyAdmin(t *testing.T) {
	t.Parallel()
	w := newWorkspace(t, intercomtest.Config{})
	m := message("Hello")
	id := w.create(m)
	m.From = nil
	require.Equal(t, []string{id}, w.find(m))
}

func TestFindIsBehindByTheIndexLag(t *testing.T) {
	t.Parallel()
	w := newWorkspace(t, intercomtest.Config{IndexLag: time.Minute})
	m := message("Hello")
	id := w.create(m)
	w.now = since.Add(time.Minute - time.Second)
	require.Empty(t, w.find(m))
	w.now = since.Add(time.Minute)
	require.Equal(t, []string{id}, w.find(m))
}

func TestFindFindsAnsweredMessages(t *testing.T) {
	t.Parallel()
	w := newWorkspace(t, intercomtest.Config{})
	m := message("Hello")
	m.CreateConversationWithoutContactReply = false
	w.create(m)
	require.Empty(t, w.find(m))
	info, err := w.Reply(t.Context(), w.Created()[0].ID, "Hi")
	require.NoError(t, err)
	require.Equal(t, []string{info.ConversationID}, w.find(m))
}

func TestFindFindsBackdatedMessages(t *testing.T) {
	t.Parallel()
	w := newWorkspace(t, intercomtest.Config{})
	m := message("Hello")
	m.CreatedAt = since.Add(-90 * 24 * time.Hour).Unix()
	w.now = since.Add(-89 * 24 * time.Hour)
	id := w.create(m)
	w.now = since
	require.Equal(t, []string{id}, w.find(m))
}

func TestFindReadsAllPages(t *testing.T) {
	t.Parallel()
	w := newWorkspace(t, intercomtest.Config{})
	want := w.create(message("The one"))
	for i := range 160 {
		w.create(message("Another " + strconv.Itoa(i)))
	}
	require.Equal(t, []string{want}, w.find(message("The one")), "the newest come first")
	require.Empty(t, w.find(message("None")))
}

// answers is a Searcher that says always the same.
type answers struct {
	page  intercom.ConversationPage
	err   error
	calls int
}

func (a *answers) SearchConversations(context.Context, intercom.SearchRequest) (*intercom.ConversationPage, *intercom.Response, error) {
	a.calls++
	return &a.page, &intercom.Response{Status: http.StatusOK}, a.err
}

func TestFindGivesUpOnEndlessPages(t *testing.T) {
	t.Parallel()
	s := &answers{page: intercom.ConversationPage{
		NextCursor: "again", Conversations: []intercom.Conversation{*conversation("Hello")},
	}}
	found, res, err := settle.NewFinder(s).Find(t.Context(), message("Hello"), since)
	require.ErrorIs(t, err, settle.ErrTooMany)
	require.Empty(t, found)
	require.NotNil(t, res)
	require.Equal(t, 20, s.calls)
}

func TestFindReturnsAConversationOnce(t *testing.T) {
	t.Parallel()
	c := *conversation("Hello")
	s := &answers{page: intercom.ConversationPage{Conversations: []intercom.Conversation{c, c}}}
	found, _, err := settle.NewFinder(s).Find(t.Context(), message("Hello"), since)
	require.NoError(t, err)
	require.Equal(t, []string{"1"}, ids(found))
}

func TestFindDoesNotDecideWhatCannotBeCompared(t *testing.T) {
	t.Parallel()
	noTime, noContacts := conversation("Hello"), conversation("Hello")
	noTime.CreatedAt, noContacts.Contacts.Contacts = 0, nil
	for name, tt := range map[string]struct {
		ours   string
		theirs *intercom.Conversation
		want   error
	}{
		"picture elsewhere":             {`<img src="a.png">`, conversation(`<img src="b.png">`), settle.ErrUndecided},
		"no body":                       {"Hello", conversation(""), settle.ErrUndecided},
		"nothing but placeholder":       {"{{text}}", conversation("<p>x</p>"), settle.ErrUndecided},
		"no time":                       {"Hello", noTime, settle.ErrUndecided},
		"no contacts":                   {"Hello", noContacts, settle.ErrUndecided},
		"no contacts, but another text": {"Bye", noContacts, nil},
		"another text":                  {"Bye", conversation("Hello"), nil},
		"picture for text":              {"Hello", conversation(`<img src="b.png">`), nil},
	} {
		s := &answers{page: intercom.ConversationPage{Conversations: []intercom.Conversation{*tt.theirs}}}
		found, _, err := settle.NewFinder(s).Find(t.Context(), message(tt.ours), since)
		require.ErrorIs(t, err, tt.want, name)
		require.Empty(t, found, name)
		s.page.Conversations = append(s.page.Conversations, *conversation(tt.ours))
		if tt.ours == "Hello" {
			found, _, err = settle.NewFinder(s).Find(t.Context(), message(tt.ours), since)
			require.NoError(t, err, name)
			require.Len(t, found, 1, name)
		}
	}
	whatsApp := message("")
	whatsApp.MessageType = intercom.WhatsApp
	s := new(answers)
	_, _, err := settle.NewFinder(s).Find(t.Context(), whatsApp, since)
	require.ErrorIs(t, err, settle.ErrNotComparable)
	require.Zero(t, s.calls)
}

func TestFindReportsEveryFailure(t *testing.T) {
	t.Parallel()
	for _, status := range []int{http.StatusTooManyRequests, http.StatusInternalServerError, http.StatusUnauthorized} {
		w := newWorkspace(t, intercomtest.Config{})
		m := message("Hello")
		w.create(m)
		w.InjectFault(intercomtest.Fault{Path: "/conversations/search", Status: status, Times: 1})
		found, res, err := w.finder.Find(t.Context(), m, since)
		failure, ok := errors.AsType[*intercom.APIError](err)
		require.True(t, ok, err)
		require.Equal(t, status, failure.Response.Status)
		require.Equal(t, status, res.Status)
		require.Nil(t, found)
		require.Len(t, w.find(m), 1)
	}
}

// TestFindReportsAFailureOfALaterPage breaks the second page, where the
// conversation is on the first.
func TestFindReportsAFailureOfALaterPage(t *testing.T) {
	t.Parallel()
	w := newWorkspace(t, intercomtest.Config{})
	for range 151 {
		w.create(message("Hello"))
	}
	w.InjectFault(intercomtest.Fault{Path: "/conversations/search", Nth: 2, Status: http.StatusBadGateway})
	found, _, err := w.finder.Find(t.Context(), message("Hello"), since)
	require.Error(t, err)
	require.Nil(t, found)
	require.Len(t, w.find(message("Hello")), 151)
}

func TestFindEndsWithItsContext(t *testing.T) {
	t.Parallel()
	w := newWorkspace(t, intercomtest.Config{})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, _, err := w.finder.Find(ctx, message("Hello"), since)
	require.ErrorIs(t, err, context.Canceled)
}

func TestSearchIsAsIntercomDescribesIt(t *testing.T) {
	t.Parallel()
	for _, version := range []string{"2.14", "2.16"} {
		w := newWorkspace(t, intercomtest.Config{})
		w.connect(intercomtest.HandlerTransport(openapitest.Load(t, version).Middleware(t, w.Server)), version)
		id := w.create(message("Hello"))
		require.Equal(t, []string{id}, w.find(message("Hello")))
	}
}
