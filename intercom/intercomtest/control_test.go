package intercomtest_test

import (
	"encoding/json"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/intercom-dispatch/intercom-dispatch/intercom/intercomtest"
)

// plainly sends a request without any header.
func (f *fake) plainly(method, path, body string) reply {
	f.tb.Helper()
	req := f.request(method, path, body)
	req.Header = http.Header{}
	return f.send(req)
}

func TestControlAPITellsTheLog(t *testing.T) {
	t.Parallel()
	f := newFake(t, intercomtest.Config{Now: newClock().now})
	id := f.create(inapp)
	r := f.plainly("GET", "/_fake/log", "")
	require.Equal(t, http.StatusOK, r.status)
	require.JSONEq(t, `{
		"arrived": 1,
		"created": [{"id": "`+id+`", "at": "2026-11-22T15:00:00Z", "message_type": "inapp", "body": "Hello", "admin_id": "1",
			"recipients": {"to": ["jo"]}, "request_number": 1, "created_at": 1795359600}],
		"requests": [{"number": 1, "at": "2026-11-22T15:00:00Z", "method": "POST", "path": "/messages", "status": 200,
			"token_ok": true, "duration_ms": 0, "created_message_id": "`+id+`", "contact_ids": ["jo"]}],
		"replies": [], "deliveries": []
	}`, string(r.body))
	require.Len(t, f.Requests(), 1, "control is not logged")
}

func TestControlAPIWaitsForMessages(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t, intercomtest.Config{})
		go func() {
			time.Sleep(time.Second)
			f.create(inapp)
		}()
		start := time.Now()
		require.Len(t, f.plainly("GET", "/_fake/log?created=1", "").json(t)["created"], 1)
		require.Equal(t, time.Second, time.Since(start))
		require.Len(t, f.plainly("GET", "/_fake/log?created=2&timeout=3s", "").json(t)["created"], 1)
		require.Equal(t, 4*time.Second, time.Since(start))
	})
}

func TestControlAPIDoesWhatTheMethodsDo(t *testing.T) {
	t.Parallel()
	clock := newClock()
	f := newFake(t, intercomtest.Config{Now: clock.now, RateLimit: 4})

	r := f.plainly("POST", "/_fake/contacts", `{"id":"al","role":"lead","messageable_in":"5s"}`)
	require.Equal(t, http.StatusCreated, r.status)
	require.JSONEq(t, `{"id":"al"}`, string(r.body))
	lead := `{"message_type":"inapp","body":"x","to":{"type":"lead","id":"al"}}`
	require.Equal(t, http.StatusNotFound, f.post("/messages", lead).status)
	clock.advance(5 * time.Second)
	id := f.create(lead)

	var info intercomtest.ReplyInfo
	r = f.plainly("POST", "/_fake/replies", `{"message_id":"`+id+`","text":"Hi"}`)
	require.Equal(t, http.StatusCreated, r.status)
	require.NoError(t, json.Unmarshal(r.body, &info))
	require.Equal(t, f.Log().Replies[0], info)

	require.Equal(t, http.StatusCreated, f.plainly("POST", "/_fake/faults", `{"name":"f","path":"/me","status":503,"latency":"1ms","header":{"X-A":"b"}}`).status)
	r = f.get("/me")
	require.Equal(t, http.StatusServiceUnavailable, r.status)
	require.Equal(t, "b", r.header.Get("X-A"))
	require.Equal(t, http.StatusNoContent, f.plainly("DELETE", "/_fake/faults", "").status)
	require.Equal(t, http.StatusOK, f.get("/me").status)

	require.Equal(t, http.StatusNoContent, f.plainly("POST", "/_fake/token", `{"token":"new"}`).status)
	require.Equal(t, http.StatusUnauthorized, f.get("/me").status)
}

func TestControlAPICutsConnections(t *testing.T) {
	t.Parallel()
	for cut, created := range map[string]int{"before_create": 0, "after_create": 1} {
		f := newFake(t, intercomtest.Config{})
		require.Equal(t, http.StatusCreated, f.plainly("POST", "/_fake/faults", `{"cut":"`+cut+`"}`).status)
		resp, err := f.client.Do(f.request(http.MethodPost, "/messages", inapp))
		if err == nil {
			_ = resp.Body.Close()
		}
		requireCut(t, err)
		require.Len(t, f.Created(), created)
	}
}

func TestControlAPISaysWhatIsWrong(t *testing.T) {
	t.Parallel()
	f := newFake(t, intercomtest.Config{})
	for _, tt := range []struct {
		path, body string
		status     int
		want       string
	}{
		{"faults", `{"latencey":"1s"}`, 400, "latencey"},
		{"faults", `{"latency":"soon"}`, 400, "soon"},
		{"faults", `{"cut":"somewhere"}`, 400, "somewhere"},
		{"faults", `{"status":99}`, 400, "99"},
		{"faults", `{"chance":2}`, 400, "chance"},
		{"faults", `{"path":"["}`, 400, "path"},
		{"faults", `{`, 400, "request body"},
		{"contacts", `{"role":"boss"}`, 400, "boss"},
		{"replies", `{"message_id":"1"}`, 404, `message "1"`},
	} {
		r := f.plainly("POST", "/_fake/"+tt.path, tt.body)
		require.Equal(t, tt.status, r.status, tt.body)
		require.Contains(t, r.json(t)["error"], tt.want)
	}
	require.Equal(t, http.StatusOK, f.post("/messages", inapp).status, "no fault was added")
	require.Equal(t, http.StatusNotFound, f.plainly("GET", "/_fake/nothing", "").status)
	require.Equal(t, http.StatusBadRequest, f.plainly("GET", "/_fake/log?created=x", "").status)
}
