package intercomtest_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/intercom-dispatch/intercom-dispatch/intercom/intercomtest"
)

const (
	token   = "secret-token"
	inapp   = `{"message_type":"in_app","body":"Hello","from":{"type":"admin","id":1},"to":{"type":"user","id":"jo"}}`
	opened  = `{"message_type":"in_app","body":"Hello","from":{"type":"admin","id":1},"to":{"type":"user","id":"jo"},"create_conversation_without_contact_reply":true}`
	email   = `{"message_type":"email","subject":"News","body":"Hello","template":"plain","from":{"type":"admin","id":1},"to":{"type":"user","id":"jo"}}`
	whats   = `{"message_type":"whatsapp","template":"keep","components":[],"from":{"type":"admin","id":1},"to":{"phone":5547999998888,"name":"Jo"}}`
	baseURL = "http://fake.test"
)

// fake is a Server with its in-process transport.
type fake struct {
	*intercomtest.Server
	t      testing.TB
	client *http.Client
	header http.Header
}

// reply is what a request got.
type reply struct {
	status int
	header http.Header
	body   []byte
}

func newFake(t testing.TB, cfg intercomtest.Config) *fake {
	t.Helper()
	if cfg.Token == "" {
		cfg.Token = token
	}
	s := intercomtest.New(cfg)
	t.Cleanup(s.Close)
	s.AddContact(intercomtest.Contact{ID: "jo", Name: "Jo", Email: "jo@example.com", ExternalID: "70"})
	return &fake{
		Server: s, t: t, client: &http.Client{Transport: s.RoundTripper()},
		header: http.Header{
			"Authorization": {"Bearer " + token}, "Accept": {"application/json"}, "Content-Type": {"application/json"},
		},
	}
}

// request returns a request as a good client would make it.
func (f *fake) request(method, path, body string) *http.Request {
	f.t.Helper()
	req, err := http.NewRequestWithContext(f.t.Context(), method, baseURL+path, bytes.NewReader([]byte(body)))
	require.NoError(f.t, err)
	req.Header = f.header.Clone()
	return req
}

func (f *fake) send(req *http.Request) reply {
	f.t.Helper()
	resp, err := f.client.Do(req)
	require.NoError(f.t, err)
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	require.NoError(f.t, err)
	return reply{resp.StatusCode, resp.Header, body}
}

func (f *fake) do(method, path, body string) reply {
	f.t.Helper()
	return f.send(f.request(method, path, body))
}

func (f *fake) post(path, body string) reply { f.t.Helper(); return f.do(http.MethodPost, path, body) }
func (f *fake) get(path string) reply        { f.t.Helper(); return f.do(http.MethodGet, path, "") }

// create sends a message that must be created, and returns its id.
func (f *fake) create(body string) string {
	f.t.Helper()
	r := f.post("/messages", body)
	require.Equal(f.t, http.StatusOK, r.status, "%s", r.body)
	return r.json(f.t)["id"].(string)
}

func (r reply) json(t testing.TB) map[string]any {
	t.Helper()
	var doc map[string]any
	require.NoError(t, json.Unmarshal(r.body, &doc), "%s", r.body)
	return doc
}

// error returns the code, message and field of the error list.
func (r reply) error(t testing.TB) (code, message, field string) {
	t.Helper()
	var doc struct {
		Type   string
		Errors []struct{ Code, Message, Field string }
	}
	require.NoError(t, json.Unmarshal(r.body, &doc), "%s", r.body)
	require.Equal(t, "error.list", doc.Type)
	require.Len(t, doc.Errors, 1)
	return doc.Errors[0].Code, doc.Errors[0].Message, doc.Errors[0].Field
}

// clock is a time that a test moves.
type clock struct{ at time.Time }

func (c *clock) now() time.Time { return c.at }

func (c *clock) advance(d time.Duration) { c.at = c.at.Add(d) }

func newClock() *clock { return &clock{time.Date(2026, 11, 22, 15, 0, 0, 0, time.UTC)} }
