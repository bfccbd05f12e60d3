package intercom_test

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/intercom-dispatch/intercom-dispatch/intercom"
)

// server keeps the requests that it got and answers all of them alike.
type server struct {
	*httptest.Server
	mu       sync.Mutex
	requests []*http.Request
	bodies   []string
}

func serve(t *testing.T, answer string) *server {
	t.Helper()
	s := &server{}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		s.mu.Lock()
		s.requests, s.bodies = append(s.requests, r), append(s.bodies, string(body))
		s.mu.Unlock()
		_, _ = io.WriteString(w, answer)
	}))
	t.Cleanup(s.Close)
	return s
}

func (s *server) client(t *testing.T, changes ...func(*intercom.Config)) *intercom.Client {
	t.Helper()
	cfg := intercom.Config{Token: intercom.StaticToken("tok"), BaseURL: s.URL}
	for _, change := range changes {
		change(&cfg)
	}
	c, err := intercom.New(cfg)
	require.NoError(t, err)
	t.Cleanup(c.Close)
	return c
}

func setVersion(v string) func(*intercom.Config) {
	return func(c *intercom.Config) { c.Version = v }
}

func TestCreateMessageSendsWhatIntercomNeeds(t *testing.T) {
	t.Parallel()
	s := serve(t, `{"type":"admin_message","id":19,"created_at":1734537786,"subject":null,"body":"heyy","message_type":"inapp","conversation_id":"613","owner":{}}`)
	created, res, err := s.client(t).CreateMessage(t.Context(), inApp())
	require.NoError(t, err)
	require.Equal(t, 200, res.Status)
	require.False(t, res.Date.IsZero())
	require.Equal(t, &intercom.CreatedMessage{
		Type: "admin_message", ID: "19", CreatedAt: 1734537786, Body: "heyy", MessageType: "inapp", ConversationID: "613",
	}, created)

	require.Len(t, s.requests, 1)
	r := s.requests[0]
	require.Equal(t, "POST /messages", r.Method+" "+r.URL.Path)
	require.Equal(t, "Bearer tok", r.Header.Get("Authorization"))
	require.Equal(t, "application/json", r.Header.Get("Accept"))
	require.Equal(t, "application/json", r.Header.Get("Content-Type"))
	require.Equal(t, "2.14", r.Header.Get("Intercom-Version"))
	require.Equal(t, "intercom-dispatch", r.Header.Get("User-Agent"))
	require.NotContains(t, r.Header, "Idempotency-Key")
	require.NotContains(t, r.Header, "X-Idempotency-Key")
	require.JSONEq(t, `{"message_type":"in_app","body":"Your order is ready","from":{"type":"admin","id":394051},
		"to":{"type":"user","id":"536e564f316c83104c000020"}}`, s.bodies[0])
	require.EqualValues(t, len(s.bodies[0]), r.ContentLength)
}

func TestMessagesGoOutWithAVersionThatKnowsThem(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		configured string
		m          *intercom.Message
		sent       string
	}{
		{"", inApp(), "2.14"},
		{"2.9", inApp(), "2.9"},
		{"2.14", whatsApp(), "2.16"},
		{"2.9", whatsApp(), "2.16"}, // as a number, 2.9 is older than 2.16
		{"2.17", whatsApp(), "2.17"},
		{"3.0", whatsApp(), "3.0"},
		{"Preview", whatsApp(), "Preview"},
		{"Unstable", inApp(), "Unstable"},
	} {
		s := serve(t, `{"id":"1"}`)
		_, _, err := s.client(t, setVersion(c.configured)).CreateMessage(t.Context(), c.m)
		require.NoError(t, err)
		require.Equal(t, c.sent, s.requests[0].Header.Get("Intercom-Version"), c.configured)
	}
}

func TestMessagesThatTheVersionDoesNotKnowAreNotSent(t *testing.T) {
	t.Parallel()
	several, cc, bcc, backdated := email(), email(), email(), email()
	several.To = append(several.To, intercom.ToLead("b")...)
	cc.CC, bcc.BCC, backdated.CreatedAt = intercom.ToUser("a"), intercom.ToUser("a"), 1590000000
	for _, c := range []struct {
		version string
		m       *intercom.Message
		field   string
	}{
		{"2.13", several, "to"},
		{"2.9", cc, "cc"},
		{"2.13", bcc, "bcc"},
		{"2.10", backdated, "created_at"},
		{"2.2", backdated, "created_at"},
	} {
		s := serve(t, `{"id":"1"}`)
		_, res, err := s.client(t, setVersion(c.version)).CreateMessage(t.Context(), c.m)
		invalid, ok := errors.AsType[*intercom.ValidationError](err)
		require.True(t, ok, "%v", err)
		require.Equal(t, c.field, invalid.Field)
		require.Contains(t, invalid.Reason, "the client is set to "+c.version)
		require.Nil(t, res)
		require.Empty(t, s.requests)
	}
	for _, version := range []string{"2.14", "2.20", "3.0", "Preview"} {
		s := serve(t, `{"id":"1"}`)
		_, _, err := s.client(t, setVersion(version)).CreateMessage(t.Context(), several)
		require.NoError(t, err, version)
	}
}

func TestInvalidMessagesAreNotSent(t *testing.T) {
	t.Parallel()
	s := serve(t, `{"id":"1"}`)
	m := inApp()
	m.Body = ""
	_, res, err := s.client(t).CreateMessage(t.Context(), m)
	require.ErrorContains(t, err, "body is required")
	require.Nil(t, res)
	require.Empty(t, s.requests)
}

func TestTheTokenIsAskedForEachRequest(t *testing.T) {
	t.Parallel()
	s := serve(t, `{"id":"1"}`)
	tokens := []string{"first", "second\n"} // as a file has it
	c := s.client(t, func(c *intercom.Config) {
		c.Token = func() (string, error) {
			token := tokens[0]
			tokens = tokens[1:]
			return token, nil
		}
	})
	for range 2 {
		_, _, err := c.Me(t.Context())
		require.NoError(t, err)
	}
	require.Equal(t, "Bearer first", s.requests[0].Header.Get("Authorization"))
	require.Equal(t, "Bearer second", s.requests[1].Header.Get("Authorization"))
}

func TestARequestWithoutAUsableTokenIsNotSent(t *testing.T) {
	t.Parallel()
	unreadable := errors.New("permission denied")
	for name, c := range map[string]struct {
		token func() (string, error)
		want  string
	}{
		"error":    {func() (string, error) { return "", unreadable }, "token: permission denied"},
		"empty":    {intercom.StaticToken(" \n"), "token: it is empty"},
		"two":      {intercom.StaticToken("s3cret\ns3cret"), "token: it holds characters"},
		"non-text": {intercom.StaticToken("s3cret\x7f"), "token: it holds characters"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := serve(t, `{"id":"1"}`)
			_, res, err := s.client(t, func(cfg *intercom.Config) { cfg.Token = c.token }).CreateMessage(t.Context(), inApp())
			failed, ok := errors.AsType[*intercom.TransportError](err)
			require.True(t, ok)
			require.False(t, failed.MaybeSent)
			require.ErrorContains(t, err, c.want)
			require.NotContains(t, err.Error(), "s3cret")
			require.Nil(t, res)
			require.Empty(t, s.requests)
			if name == "error" {
				require.ErrorIs(t, err, unreadable)
			}
		})
	}
}

func TestMeTellsTheAdminAndTheWorkspace(t *testing.T) {
	t.Parallel()
	s := serve(t, `{"type":"admin","id":"1295","name":"Joe","email":"joe@example.com","app":{"type":"app","id_code":"xyz789","name":"ACME","region":"US","timezone":"America/Los_Angeles"}}`)
	me, _, err := s.client(t).Me(t.Context())
	require.NoError(t, err)
	require.Equal(t, &intercom.Me{
		Type: "admin", ID: "1295", Name: "Joe", Email: "joe@example.com",
		App: intercom.App{IDCode: "xyz789", Name: "ACME", Region: "US", Timezone: "America/Los_Angeles"},
	}, me)
	require.Equal(t, "GET /me", s.requests[0].Method+" "+s.requests[0].URL.Path)
	require.NotContains(t, s.requests[0].Header, "Content-Type")

	_, _, err = serve(t, `{"app":null}`).client(t).Me(t.Context())
	_, ok := errors.AsType[*intercom.BodyError](err)
	require.True(t, ok)
}

func TestBaseURLMayHaveAPathAndASlash(t *testing.T) {
	t.Parallel()
	for _, suffix := range []string{"/proxy/intercom", "/proxy/intercom/", "/proxy/intercom//"} {
		s := serve(t, `{"id":"1"}`)
		_, _, err := s.client(t, func(c *intercom.Config) { c.BaseURL += suffix }).Me(t.Context())
		require.NoError(t, err)
		require.Equal(t, "/proxy/intercom/me", s.requests[0].URL.Path)
	}
}

func TestRegionsHaveTheirHosts(t *testing.T) {
	t.Parallel()
	for region, host := range map[string]string{
		"": "api.intercom.io", "us": "api.intercom.io", "eu": "api.eu.intercom.io", "au": "api.au.intercom.io",
	} {
		var asked string
		c, err := intercom.New(intercom.Config{
			Token: intercom.StaticToken("tok"), Region: region,
			Transport: transport(func(r *http.Request) (*http.Response, error) {
				asked = r.URL.Scheme + "://" + r.URL.Host
				return nil, io.ErrUnexpectedEOF
			}),
		})
		require.NoError(t, err)
		_, _, err = c.Me(t.Context())
		require.ErrorIs(t, err, io.ErrUnexpectedEOF)
		require.Equal(t, "https://"+host, asked)
	}
}

type transport func(*http.Request) (*http.Response, error)

func (f transport) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func TestNewNamesTheFieldThatCannotBeUsed(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change func(*intercom.Config)
		want   string
	}{
		"no token":             {func(c *intercom.Config) { c.Token = nil }, "Token is required"},
		"region":               {func(c *intercom.Config) { c.Region = "mars" }, `Region "mars" must be us, eu or au`},
		"version":              {func(c *intercom.Config) { c.Version = "latest" }, `Version "latest" must be a number`},
		"version with newline": {func(c *intercom.Config) { c.Version = "2.14\n" }, "Version"},
		"timeout":              {func(c *intercom.Config) { c.Timeout = -time.Second }, "Timeout must not be negative"},
		"concurrency":          {func(c *intercom.Config) { c.Concurrency = -1 }, "Concurrency must not be negative"},
		"user agent":           {func(c *intercom.Config) { c.UserAgent = "a\r\nb" }, "UserAgent must be one line"},
		"relative":             {func(c *intercom.Config) { c.BaseURL = "/intercom" }, "BaseURL must begin with http:// or https://"},
		"no scheme":            {func(c *intercom.Config) { c.BaseURL = "localhost:80" }, "BaseURL must begin with http:// or https://"},
		"other scheme":         {func(c *intercom.Config) { c.BaseURL = "ftp://a" }, "BaseURL must begin with http:// or https://"},
		"no host":              {func(c *intercom.Config) { c.BaseURL = "http://:80" }, "BaseURL must begin with http:// or https://"},
		"password":             {func(c *intercom.Config) { c.BaseURL = "http://u:s3cret@a" }, "BaseURL must hold no user"},
		"query":                {func(c *intercom.Config) { c.BaseURL = "http://a?s3cret" }, "BaseURL must have no query"},
		"empty query":          {func(c *intercom.Config) { c.BaseURL = "http://a?" }, "BaseURL must have no query"},
		"fragment":             {func(c *intercom.Config) { c.BaseURL = "http://a#s3cret" }, "BaseURL must have no query and no fragment"},
		"no URL":               {func(c *intercom.Config) { c.BaseURL = "http://u:s3cret@%" }, "BaseURL is not a URL"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cfg := intercom.Config{Token: intercom.StaticToken("s3cret")}
			c.change(&cfg)
			_, err := intercom.New(cfg)
			require.ErrorContains(t, err, c.want)
			require.NotContains(t, err.Error(), "s3cret")
		})
	}
}

func TestConnectionsAreReused(t *testing.T) {
	t.Parallel()
	s := serve(t, `{"id":"1"}`)
	c := s.client(t)
	for range 3 {
		_, _, err := c.CreateMessage(t.Context(), inApp())
		require.NoError(t, err)
	}
	require.Equal(t, s.requests[0].RemoteAddr, s.requests[2].RemoteAddr)
}
