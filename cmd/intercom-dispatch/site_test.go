package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/intercom-dispatch/intercom-dispatch/intercom/intercomtest"
	"github.com/intercom-dispatch/intercom-dispatch/internal/ratelimittest"
	"github.com/intercom-dispatch/intercom-dispatch/internal/redistest"
	"github.com/intercom-dispatch/intercom-dispatch/ledger"
)

const (
	siteToken  = "token-of-the-test"
	siteSecret = "secret-of-the-test"
)

// site is what the program's commands share: a Redis and a fake Intercom.
type site struct {
	t     *testing.T
	redis *redistest.Server
	fake  *intercomtest.Server
	url   string // the fake's
}

// newSite builds a site on a real Redis.
func newSite(t *testing.T, cfg intercomtest.Config) *site {
	t.Helper()
	return newSiteOn(t, redistest.Start(t, redistest.Options{}), cfg)
}

func newSiteOn(t *testing.T, r *redistest.Server, cfg intercomtest.Config) *site {
	t.Helper()
	cfg.Token, cfg.ClientSecret = siteToken, siteSecret
	fake := intercomtest.New(cfg)
	t.Cleanup(fake.Close)
	server := httptest.NewServer(fake)
	t.Cleanup(server.Close)
	ratelimittest.Known(t, r.Client(t), ledger.RateLimitKey(ledger.DefaultWorkspace))
	return &site{t: t, redis: r, fake: fake, url: server.URL}
}

// everybody is a workspace in which every contact exists.
func everybody() intercomtest.Config {
	return intercomtest.Config{UnknownContacts: intercomtest.UnknownMessageable}
}

// env leaves out the token, for tests that give it another way.
func (s *site) env() []string {
	return []string{
		"REDIS_URL=" + s.redis.URL(), "INTERCOM_BASE_URL=" + s.url,
		"DISPATCH_ADMIN_ADDR=127.0.0.1:0", "DISPATCH_WEBHOOK_ADDR=127.0.0.1:0",
	}
}

func (s *site) call(args ...string) call {
	return call{args: args, env: append(s.env(), "INTERCOM_ACCESS_TOKEN="+siteToken, "INTERCOM_CLIENT_SECRET="+siteSecret)}
}

// start starts a command at the site.
func (s *site) start(args ...string) *process {
	s.t.Helper()
	return start(s.t, s.call(args...))
}

// finish runs a command at the site to its end.
func (s *site) finish(args ...string) result {
	s.t.Helper()
	return finish(s.t, s.call(args...))
}

// worker starts a worker and waits until it runs.
func (s *site) worker(args ...string) *process {
	s.t.Helper()
	p := s.start(append([]string{"worker"}, args...)...)
	p.adminURL()
	return p
}

// enqueue enqueues lines, all of which must be taken.
func (s *site) enqueue(lines ...string) []lineResult {
	s.t.Helper()
	r := s.finish("enqueue", s.file(lines...), "--json")
	require.Equal(s.t, 0, r.status, r.stdout+r.stderr)
	return decodeLines[lineResult](s.t, r.stdout)
}

func (s *site) file(lines ...string) string { return writeFile(s.t, strings.Join(lines, "\n")+"\n") }

func writeFile(t *testing.T, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(path, []byte(content), 0o600))
	return path
}

// awaitCreated waits until so many messages exist.
func (s *site) awaitCreated(n int, limit time.Duration) []intercomtest.CreatedMessage {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), limit)
	defer cancel()
	require.NoError(s.t, s.fake.WaitCreated(ctx, n))
	return s.fake.Created()
}

// record is a message as `message get --json` prints it. The fields are
// spelt out here because they are promised to users.
type record struct {
	Key               string            `json:"key"`
	Workspace         string            `json:"workspace"`
	State             string            `json:"state"`
	Attempts          int               `json:"attempts"`
	MessageID         string            `json:"message_id"`
	ConversationID    string            `json:"conversation_id"`
	ContactIDs        []string          `json:"contact_ids"`
	QueuedAt          string            `json:"queued_at"`
	NextAttemptAt     string            `json:"next_attempt_at"`
	SentAt            string            `json:"sent_at"`
	RepliedAt         string            `json:"replied_at"`
	LastError         *recordError      `json:"last_error"`
	Metadata          map[string]string `json:"metadata"`
	PossibleDuplicate bool              `json:"possible_duplicate"`
	OrderKey          string            `json:"order_key"`
}

type recordError struct {
	Code      string `json:"code"`
	Message   string `json:"message"`
	Status    int    `json:"status"`
	RequestID string `json:"request_id"`
}

// records returns what is known of messages that must all be known.
func (s *site) records(keys ...string) []record {
	s.t.Helper()
	r := s.finish(append([]string{"message", "get", "--json"}, keys...)...)
	require.Equal(s.t, 0, r.status, r.stderr)
	return decodeLines[record](s.t, r.stdout)
}

// awaitState asks for a message until it is in a state. The program has no
// way to be told.
func (s *site) awaitState(key, state string) record {
	s.t.Helper()
	var last record
	require.Eventually(s.t, func() bool {
		last = s.records(key)[0]
		return last.State == state
	}, patience, 100*time.Millisecond, "message %s did not become %s", key, state)
	return last
}

// decodeLines reads one JSON object a line and refuses fields that T lacks.
func decodeLines[T any](t *testing.T, text string) []T {
	t.Helper()
	var all []T
	for line := range strings.Lines(text) {
		dec := json.NewDecoder(strings.NewReader(line))
		dec.DisallowUnknownFields()
		var v T
		require.NoError(t, dec.Decode(&v), line)
		all = append(all, v)
	}
	return all
}

// inApp is a line for enqueue with an in-app message.
func inApp(key, contact, body string, more ...string) string {
	return fmt.Sprintf(`{"key":%q,"message":{"message_type":"in_app","body":%q,"from":{"type":"admin","id":1},"to":{"type":"user","id":%q}}%s}`,
		key, body, contact, strings.Join(more, ""))
}

// email is a line for enqueue with an email.
func email(key, contact, body string) string {
	return fmt.Sprintf(`{"key":%q,"message":{"message_type":"email","subject":"About %s","template":"plain","body":%q,"from":{"type":"admin","id":1},"to":{"type":"user","id":%q}}}`,
		key, key, body, contact)
}

// fetch makes a request and returns the status and the body of its answer.
func fetch(t *testing.T, method, url, body string, headers ...string) (int, string) {
	t.Helper()
	status, answer, err := tryFetch(t, method, url, body, headers...)
	require.NoError(t, err)
	return status, answer
}

func tryFetch(t *testing.T, method, url, body string, headers ...string) (int, string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, url, bytes.NewBufferString(body))
	require.NoError(t, err)
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(b), err
}
