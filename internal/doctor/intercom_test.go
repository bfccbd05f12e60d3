package doctor_test

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/intercom-dispatch/intercom-dispatch/intercom/intercomtest"
	"github.com/intercom-dispatch/intercom-dispatch/internal/doctor"
	"github.com/intercom-dispatch/intercom-dispatch/internal/redistest"
)

const token = "token-of-the-test"

// newFake returns the URL of a fake Intercom in the EU.
func newFake(t *testing.T, faults ...intercomtest.Fault) string {
	t.Helper()
	fake := intercomtest.New(intercomtest.Config{Token: token, Region: "EU", AppID: "abc123"})
	t.Cleanup(fake.Close)
	for _, f := range faults {
		f.Path = "/me"
		fake.InjectFault(f)
	}
	return serve(t, fake)
}

func TestIntercom(t *testing.T) {
	t.Parallel()
	gone := httptest.NewServer(http.NotFoundHandler())
	gone.Close()
	html := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte("<html>Welcome!</html>"))
	})
	tests := []struct {
		name   string
		url    string
		token  string
		region string
		status doctor.Status
		says   []string
	}{
		{"all is well", newFake(t), token, "eu", doctor.OK, []string{`"Fake workspace"`, "abc123", "admin id 1", `region "EU"`, "of 1667 requests are left"}},
		{"any region", newFake(t), token, "", doctor.OK, []string{`region "EU"`}},
		{"another region", newFake(t), token, "us", doctor.Fail, []string{`region "EU", but --intercom-region is us`, "Set --intercom-region"}},
		{"a wrong token", newFake(t), "wrong-token", "eu", doctor.Fail, []string{"401", "revoked", "--intercom-region"}},
		{"a token of two lines", newFake(t), "two\nlines", "eu", doctor.Fail, []string{"line break", "--intercom-token"}},
		{"forbidden", newFake(t, intercomtest.Fault{Status: 403}), token, "eu", doctor.Fail, []string{"403", "permission"}},
		{"throttled", newFake(t, intercomtest.Fault{Status: 429}), token, "eu", doctor.Warn, []string{"429", "rate limit"}},
		{"in trouble", newFake(t, intercomtest.Fault{Status: 503}), token, "eu", doctor.Fail, []string{"503", "status page"}},
		{"another server", serve(t, http.NotFoundHandler()), token, "", doctor.Fail, []string{"404", "not an answer of Intercom's", "--intercom-base-url"}},
		{"a web site", serve(t, html), token, "", doctor.Fail, []string{"not an answer of Intercom's", "--intercom-base-url"}},
		{"nobody there", gone.URL, token, "", doctor.Fail, []string{"cannot be reached", "refused", "firewall"}},
		{"hung up", newFake(t, intercomtest.Fault{Cut: intercomtest.CutBeforeCreate}), token, "", doctor.Fail, []string{"cannot be reached"}},
	}
	redis := parse(t, redistest.Mini(t).URL())
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			all := examine(t, doctor.Config{Redis: redis, Intercom: client(t, tt.url, tt.token), Region: tt.region})
			r := all["intercom"]
			requireResult(t, r, tt.status, tt.says...)
			require.NotContains(t, r.Found+r.Advice, tt.token)
			// Who answers tells the time, also with a refusal.
			if tt.name == "a wrong token" {
				requireResult(t, all["clock"], doctor.OK, "Intercom's clock")
			}
		})
	}
}
