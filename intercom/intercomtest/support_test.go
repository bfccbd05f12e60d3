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
	tb     testing.TB
	client *http.Client
	header http.Header
}

// reply is what a request got.
type reply struct {
	status int
	header http.Header
	body   []byte
}

func newFake(tb testing.TB, cfg intercomtest.Config) *fake {
	tb.Helper()
	if cfg.Token == "" {
		cfg.Token = token
	}
	s := intercomtest.New(cfg)
	tb.Cleanup(s.Close)
	s.AddContact(intercomtest.Contact{ID: "jo", Name: "Jo", Email: "jo@example.com", ExternalID: "70"})
	return &fake{
		Server: s, tb: tb, client: &http.Client{Transport: s.RoundTripper()},
		header: http.Header{
			"Authorization": {"Bearer " + token}, "Accept": {"application/json"}, "Content-Type": {"application/json"},
		},
	}
}

// request returns a request as a good client would make it.
func (f *fake) request(method, path, body string) *http.Request {
	f.tb.Helper()
	req, err := http.NewRequestWithContext(f.tb.Context(), method, baseURL+path, bytes.NewReader([]byte(body)))
	require.NoError(f.tb, err)
	req.Header = f.header.Clone()
	return req
}

func (f *fake) send(req *http.Request) reply {
	f.tb.Helper()
	resp, err := f.client.Do(req)
	require.NoError(f.tb, err)
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	require.NoError(f.tb, err)
	return reply{resp.StatusCode, resp.Header, body}
}

func (f *fake) do(method, path, body string) reply {
	f.tb.Helper()
	return f.send(f.request(method, path, body))
}

func (f *fake) post(path, body string) reply {
	f.tb.Helper()
	return f.do(http.MethodPost, path, body)
}

func (f *fake) get(path string) reply {
	f.tb.Helper()
	return f.do(http.MethodGet, path, "")
}

// create sends a message that must be created, and returns its id.
func (f *fake) create(body string) string {
	f.tb.Helper()
	r := f.post("/messages", body)
	require.Equal(f.tb, http.StatusOK, r.status, "%s", r.body)
	return r.json(f.tb)["id"].(string)
}

func (r reply) json(tb testing.TB) map[string]any {
	tb.Helper()
	var doc map[string]any
	require.NoError(tb, json.Unmarshal(r.body, &doc), "%s", r.body)
	return doc
}

// error returns the code, message and field of the error list.
func (r reply) error(tb testing.TB) (code, message, field string) {
	tb.Helper()
	var doc struct {
		Type   string `json:"type"`
		Errors []struct {
			Code    string `json:"code"`
			Message string `json:"message"`
			Field   string `json:"field"`
		} `json:"errors"`
	}
	require.NoError(tb, json.Unmarshal(r.body, &doc), "%s", r.body)
	require.Equal(tb, "error.list", doc.Type)
	require.Len(tb, doc.Errors, 1)
	return doc.Errors[0].Code, doc.Errors[0].Message, doc.Errors[0].Field
}

// clock is a time that a test moves.
type clock struct{ at time.Time }

func (c *clock) now() time.Time { return c.at }

func (c *clock) advance(d time.Duration) { c.at = c.at.Add(d) }

func newClock() *clock { return &clock{time.Date(2026, 11, 22, 15, 0, 0, 0, time.UTC)} }
