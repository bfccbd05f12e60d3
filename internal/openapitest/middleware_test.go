package openapitest

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// watched is a test that keeps what it is failed for.
type watched struct {
	testing.TB
	failures []string
	ended    string
}

func (w *watched) Errorf(format string, args ...any) {
	w.failures = append(w.failures, fmt.Sprintf(format, args...))
}

func (w *watched) Fatalf(format string, args ...any) { w.end("failed: "+format, args...) }
func (w *watched) Skipf(format string, args ...any)  { w.end("skipped: "+format, args...) }

func (w *watched) end(format string, args ...any) {
	w.ended = fmt.Sprintf(format, args...)
	panic(w)
}

const (
	goodRequest = `{"message_type":"in_app","body":"x","from":{"type":"admin","id":1},"to":{"type":"user","id":"a"}}`
	goodAnswer  = `{"type":"admin_message","id":"1","created_at":1,"body":"x","message_type":"inapp"}`
)

func TestMiddlewareFailsTheTestForWhatTheDescriptionForbids(t *testing.T) {
	t.Parallel()
	d := Load(t, "2.14")
	tests := map[string]struct {
		path, request string
		status        int
		answer        string
		requests, all int // How many failures each middleware reports.
	}{
		"good":            {"/messages", goodRequest, 200, goodAnswer, 0, 0},
		"bad request":     {"/messages", strings.Replace(goodRequest, `"user"`, `"person"`, 1), 200, goodAnswer, 1, 1},
		"bad answer":      {"/messages", goodRequest, 200, strings.Replace(goodAnswer, `"1"`, `1`, 1), 0, 1},
		"both bad":        {"/messages", `{}`, 200, `{}`, 1, 2},
		"good error":      {"/messages", goodRequest, 404, `{"type":"error.list","request_id":null,"errors":[{"code":"not_found"}]}`, 0, 0},
		"bad error":       {"/messages", goodRequest, 404, `{"error":"x"}`, 0, 1},
		"unknown path":    {"/message", goodRequest, 404, `{"type":"error.list","errors":[]}`, 1, 2},
		"fake's own path": {"/_fake/log", "", 200, "", 0, 0},
		"an admin":        {"/admins/1", "", 200, "{}", 0, 0},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			next := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", "application/json")
				w.WriteHeader(tt.status)
				_, _ = w.Write([]byte(tt.answer))
			})
			requests, all := &watched{TB: t}, &watched{TB: t}
			for _, h := range []http.Handler{d.RequestMiddleware(requests, next), d.Middleware(all, next)} {
				answer := httptest.NewRecorder()
				h.ServeHTTP(answer, request(t, tt.path, tt.request))
				require.Equal(t, tt.answer, answer.Body.String(), "the answer passes unchanged")
			}
			require.Len(t, requests.failures, tt.requests)
			require.Len(t, all.failures, tt.all)
		})
	}
}

func request(t *testing.T, path, body string) *http.Request {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, path, strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	return r
}

func TestDeviationsAreNeeded(t *testing.T) {
	t.Parallel()
	d := Load(t, "2.16")
	samples := map[string]string{
		"message_type inapp":             strings.Replace(goodRequest, "in_app", "inapp", 1),
		"message_type conversation":      strings.Replace(goodRequest, "in_app", "conversation", 1),
		"from.id as a string":            strings.Replace(goodRequest, `"id":1`, `"id":"1"`, 1),
		"recipient by phone":             `{"message_type":"whatsapp","template":"x","components":[],"from":{"type":"admin","id":1},"to":{"phone":1}}`,
		"answer's message_type whatsapp": strings.Replace(goodAnswer, "inapp", "whatsapp", 1),
	}
	for _, dev := range Deviations() {
		sample, ok := samples[dev.Name]
		require.True(t, ok, dev.Name)
		require.NotEmpty(t, dev.Reason)
		r := request(t, "/messages", "")
		if dev.in == requests {
			require.NoError(t, d.CheckRequest(r, []byte(sample)), dev.Name)
			require.Error(t, d.schemaError("create_message_request", []byte(sample)), dev.Name)
			continue
		}
		header := http.Header{"Content-Type": {"application/json"}}
		require.NoError(t, d.CheckResponse(r, http.StatusOK, header, []byte(sample)), dev.Name)
		require.Error(t, d.schemaError("message", []byte(sample)), dev.Name)
	}
}

func TestRewriteLeavesOtherDocumentsAlone(t *testing.T) {
	t.Parallel()
	for _, body := range []string{``, `{`, `[1]`, `{"query":{"from":{"id":"1"}}}`} {
		require.Equal(t, body, string(rewrite([]byte(body), requests)))
	}
	require.True(t, json.Valid(rewrite([]byte(goodRequest), requests)))
}

func TestLoadSkipsWithoutADescriptionUnlessItIsRequired(t *testing.T) {
	t.Chdir(t.TempDir())
	t.Setenv("OPENAPI_DIR", "")
	for value, want := range map[string]string{"": "skipped: no intercom-9.9.yaml", "1": "failed: no intercom-9.9.yaml"} {
		t.Setenv("DISPATCH_REQUIRE_OPENAPI", value)
		w := &watched{TB: t}
		require.PanicsWithValue(t, w, func() { Load(w, "9.9") })
		require.Contains(t, w.ended, want)
	}
}
