package intercomtest_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/intercom-dispatch/intercom-dispatch/intercom/intercomtest"
)

func TestEveryAuthenticatedAnswerTellsTheBudgetAndItsRequest(t *testing.T) {
	t.Parallel()
	clock := newClock()
	f := newFake(t, intercomtest.Config{Now: clock.now})
	for _, r := range []reply{
		f.get("/me"), f.get("/nowhere"), f.post("/messages", inapp), f.post("/messages", "{"), f.get("/conversations/1"),
	} {
		for _, name := range []string{"X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset", "X-Request-Id"} {
			require.NotEmpty(t, r.header.Get(name), name)
		}
		require.Equal(t, clock.at.Format(http.TimeFormat), r.header.Get("Date"))
	}
	r := f.get("/nowhere")
	require.Equal(t, r.header.Get("X-Request-Id"), r.json(t)["request_id"])
}

func TestWrongTokenIsRefusedWithoutTellingTheBudget(t *testing.T) {
	t.Parallel()
	for name, value := range map[string]string{
		"none": "", "other": "Bearer other", "empty": "Bearer ", "other scheme": "Basic " + token, "bare": token,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFake(t, intercomtest.Config{})
			f.header.Set("Authorization", value)
			r := f.post("/messages", inapp)
			code, message, _ := r.error(t)
			require.Equal(t, http.StatusUnauthorized, r.status)
			require.Equal(t, "unauthorized", code)
			require.Equal(t, "Access Token Invalid", message)
			require.Empty(t, r.header.Get("X-RateLimit-Limit"))
			require.False(t, f.Requests()[0].TokenOK)
			require.Empty(t, f.Created())
		})
	}
}

func TestTokenCanBeRevokedAndRestored(t *testing.T) {
	t.Parallel()
	f := newFake(t, intercomtest.Config{})
	f.SetToken("another")
	require.Equal(t, http.StatusUnauthorized, f.get("/me").status)
	f.SetToken(token)
	require.Equal(t, http.StatusOK, f.get("/me").status)
	f.SetToken("")
	f.header.Set("Authorization", "Bearer any")
	require.Equal(t, http.StatusOK, f.get("/me").status)
}

func TestHeadersDecideWhetherARequestIsRead(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		header, value string
		status        int
		code          string
	}{
		"no Accept":      {"Accept", "", 406, "client_error"},
		"Accept of HTML": {"Accept", "text/html", 406, "client_error"},
		"Accept of all":  {"Accept", "*/*", 200, ""},
		"Accept list":    {"Accept", "text/plain, application/json; q=0.5", 200, ""},
		"form":           {"Content-Type", "application/x-www-form-urlencoded", 400, "bad_request"},
		"charset":        {"Content-Type", "application/json; charset=utf-8", 200, ""},
		"old version":    {"Intercom-Version", "1.0", 200, ""},
		"new version":    {"Intercom-Version", "2.17", 200, ""},
		"no such minor":  {"Intercom-Version", "2.99", 400, "intercom_version_invalid"},
		"no such major":  {"Intercom-Version", "3.0", 400, "intercom_version_invalid"},
		"spelling":       {"Intercom-Version", "2.014", 400, "intercom_version_invalid"},
		"text":           {"Intercom-Version", "latest", 400, "intercom_version_invalid"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFake(t, intercomtest.Config{})
			f.header.Set(tt.header, tt.value)
			r := f.post("/messages", inapp)
			require.Equal(t, tt.status, r.status)
			if tt.code != "" {
				code, _, _ := r.error(t)
				require.Equal(t, tt.code, code)
				require.Empty(t, f.Created())
			}
		})
	}
}

func TestWrongMethodAndUnknownPathAreNotFound(t *testing.T) {
	t.Parallel()
	f := newFake(t, intercomtest.Config{})
	for _, at := range [][2]string{
		{"GET", "/messages"},
		{"PUT", "/messages"},
		{"POST", "/me"},
		{"GET", "/conversations/search/x"},
		{"DELETE", "/contacts/jo"},
		{"POST", "/messages/"},
		{"GET", "/"},
	} {
		r := f.do(at[0], at[1], inapp)
		code, _, _ := r.error(t)
		require.Equal(t, http.StatusNotFound, r.status, at)
		require.Equal(t, "not_found", code, at)
	}
	require.Empty(t, f.Created())
}

func TestMeTellsTheWorkspace(t *testing.T) {
	t.Parallel()
	f := newFake(t, intercomtest.Config{AppID: "abc", Region: "EU"})
	me := f.get("/me").json(t)
	require.Equal(t, "admin", me["type"])
	require.Equal(t, "1", me["id"])
	require.Equal(t, "abc", me["app"].(map[string]any)["id_code"])
	require.Equal(t, "EU", me["app"].(map[string]any)["region"])
}

func TestRateLimitHoldsInWindowsOfUnixTime(t *testing.T) {
	t.Parallel()
	clock := newClock() // On a whole ten seconds.
	f := newFake(t, intercomtest.Config{Now: clock.now, RateLimit: 2})
	clock.advance(9 * time.Second)
	r := f.get("/me")
	require.Equal(t, "2", r.header.Get("X-RateLimit-Limit"))
	require.Equal(t, "1", r.header.Get("X-RateLimit-Remaining"))
	require.Equal(t, "1795359610", r.header.Get("X-RateLimit-Reset"))
	require.Equal(t, http.StatusOK, f.post("/messages", inapp).status)

	r = f.post("/messages", inapp)
	code, message, _ := r.error(t)
	require.Equal(t, http.StatusTooManyRequests, r.status)
	require.Equal(t, "rate_limit_exceeded", code)
	require.Equal(t, "Exceeded rate limit of 2 in 10_seconds", message)
	require.Equal(t, "0", r.header.Get("X-RateLimit-Remaining"))
	require.Len(t, f.Created(), 1)

	clock.advance(time.Second)
	r = f.get("/me")
	require.Equal(t, http.StatusOK, r.status)
	require.Equal(t, "1", r.header.Get("X-RateLimit-Remaining"))
	require.Equal(t, "1795359620", r.header.Get("X-RateLimit-Reset"))
}

func TestRateLimitIsSharedWithOtherApps(t *testing.T) {
	t.Parallel()
	clock := newClock()
	f := newFake(t, intercomtest.Config{Now: clock.now, RateLimit: 10})
	f.SpendOther(9)
	require.Equal(t, "0", f.get("/me").header.Get("X-RateLimit-Remaining"))
	require.Equal(t, http.StatusTooManyRequests, f.get("/me").status)
	f.SetRateLimit(12)
	require.Equal(t, "1", f.get("/me").header.Get("X-RateLimit-Remaining"))
	clock.advance(10 * time.Second)
	require.Equal(t, "11", f.get("/me").header.Get("X-RateLimit-Remaining"))
}

func TestRefusedTokensSpendNothing(t *testing.T) {
	t.Parallel()
	f := newFake(t, intercomtest.Config{Now: newClock().now, RateLimit: 1})
	good := f.header.Get("Authorization")
	f.header.Set("Authorization", "Bearer wrong")
	f.get("/me")
	f.header.Set("Authorization", good)
	require.Equal(t, http.StatusOK, f.get("/me").status)
}
