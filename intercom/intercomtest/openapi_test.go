package intercomtest_test

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/intercom-dispatch/intercom-dispatch/intercom/intercomtest"
	"github.com/intercom-dispatch/intercom-dispatch/internal/openapitest"
)

var describedVersions = []string{"2.14", "2.16"}

// described is a fake whose every answer is held against a description.
func described(t *testing.T, version string) (*fake, *openapitest.Description) {
	t.Helper()
	d := openapitest.Load(t, version)
	f := newFake(t, intercomtest.Config{})
	f.client = &http.Client{Transport: intercomtest.HandlerTransport(d.Middleware(t, f.Server))}
	f.header.Set("Intercom-Version", version)
	return f, d
}

func TestEverySuccessfulAnswerIsAsDescribed(t *testing.T) {
	t.Parallel()
	for _, version := range describedVersions {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			f, _ := described(t, version)
			silent := f.create(inapp)
			f.create(opened)
			f.create(email)
			if version == "2.16" {
				f.create(whats)
			}
			info, err := f.Reply(t.Context(), silent, "Hi <there>")
			require.NoError(t, err)
			for _, p := range []intercomtest.Part{{Text: "Hi"}, {AuthorType: "bot", Text: "Hi"}, {AuthorType: "team", Type: "assignment"}} {
				_, err := f.AddPart(t.Context(), silent, p)
				require.NoError(t, err)
			}
			require.Equal(t, http.StatusOK, f.get("/admins/1").status, "not described, but let through")
			created := f.post("/contacts", `{"role":"lead","name":"Lee"}`).json(t)
			for _, path := range []string{
				"/me", "/conversations/" + info.ConversationID, "/contacts/jo", "/contacts/" + created["id"].(string),
			} {
				require.Equal(t, http.StatusOK, f.get(path).status, path)
			}
			for _, query := range []string{
				`{"query":{"field":"source.id","operator":"=","value":"` + silent + `"}}`,
				`{"query":{"operator":"AND","value":[{"field":"source.id","operator":"IN","value":["` + silent + `","0"]}]},"pagination":{"per_page":150,"starting_after":null}}`,
				`{"query":{"operator":"AND","value":[{"operator":"OR","value":[{"field":"created_at","operator":">","value":0}]}]},"pagination":{"per_page":1}}`,
			} {
				require.Equal(t, http.StatusOK, f.post("/conversations/search", query).status)
			}
		})
	}
}

func TestEveryErrorIsAsDescribed(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		method, path, body string
		change             func(*fake, http.Header)
		status             int
	}{
		"unauthorized":        {"POST", "/messages", inapp, func(_ *fake, h http.Header) { h.Del("Authorization") }, 401},
		"unauthorized search": {"POST", "/conversations/search", `{}`, func(_ *fake, h http.Header) { h.Del("Authorization") }, 401},
		"rate limit":          {"POST", "/messages", inapp, func(f *fake, _ http.Header) { f.SetRateLimit(0) }, 429},
		"no body":             {"POST", "/messages", `{"message_type":"inapp","to":{"type":"user","id":"jo"},"body":null}`, nil, 400},
		"no subject":          {"POST", "/messages", `{"message_type":"email","to":{"type":"user","id":"jo"},"body":"x"}`, nil, 422},
		"no contact":          {"POST", "/messages", `{"message_type":"inapp","to":{"type":"user","id":"x"},"body":"x"}`, nil, 404},
		"no JSON":             {"POST", "/messages", `{`, nil, 400},
		"no Accept":           {"GET", "/me", ``, func(_ *fake, h http.Header) { h.Del("Accept") }, 406},
		"no conversation":     {"GET", "/conversations/1", ``, nil, 404},
		"no such field":       {"POST", "/conversations/search", `{"query":{"field":"x","operator":"=","value":"1"}}`, nil, 400},
		"no such contact":     {"GET", "/contacts/x", ``, nil, 404},
		"deleted contact": {"GET", "/contacts/jo", ``, func(f *fake, _ http.Header) {
			require.NoError(f.tb, f.DeleteContact(f.tb.Context(), "jo"))
		}, 404},
		"merged contact": {"GET", "/contacts/jo", ``, func(f *fake, h http.Header) {
			h.Set("Intercom-Version", "2.16")
			require.NoError(f.tb, f.MergeContact(f.tb.Context(), "jo", f.AddContact(intercomtest.Contact{})))
		}, 410},
		"plan": {"POST", "/messages", inapp, func(f *fake, _ http.Header) {
			f.InjectFault(intercomtest.Fault{Status: http.StatusForbidden})
		}, 403},
	}
	for _, version := range describedVersions {
		d := openapitest.Load(t, version)
		for name, tt := range tests {
			t.Run(version+" "+name, func(t *testing.T) {
				t.Parallel()
				f := newFake(t, intercomtest.Config{})
				req := f.request(tt.method, tt.path, tt.body)
				if tt.change != nil {
					tt.change(f, req.Header)
				}
				r := f.send(req)
				require.Equal(t, tt.status, r.status)
				require.NoError(t, d.CheckResponse(req, r.status, r.header, r.body))
			})
		}
	}
}

// TestDocumentedRequestExamplesAreAnsweredAsDocumented sends every example of
// Intercom's description. Those that break its own schema in a way that
// openapitest.Deviations does not name are expected to be refused.
func TestDocumentedRequestExamplesAreAnsweredAsDocumented(t *testing.T) {
	t.Parallel()
	want := map[string]struct {
		status    int
		violation bool
	}{
		"admin_message_created":                 {status: 200},
		"admin_whatsapp_message_created":        {status: 200},
		"no_body_supplied_for_message":          {status: 400, violation: true},
		"no_body_supplied_for_email_message":    {status: 400, violation: true},
		"no_subject_supplied_for_email_message": {status: 422, violation: true},
		// A contact's own message, from before the request was limited to admins.
		"user_message_created": {status: 400, violation: true},
		"lead_message_created": {status: 400, violation: true},
	}
	for _, version := range describedVersions {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			d := openapitest.Load(t, version)
			f := newFake(t, intercomtest.Config{
				UnknownContacts: intercomtest.UnknownMessageable,
				Admins: []intercomtest.Admin{
					{ID: "991267816", Name: "Ciaran", Email: "c@example.com"},
					{ID: "991267817"},
					{ID: "991267818"},
					{ID: "991267819"},
					{ID: "991267820"},
				},
			})
			f.header.Set("Intercom-Version", version)
			for name, body := range d.RequestExamples(t, http.MethodPost, "/messages") {
				expected, known := want[name]
				require.True(t, known, "unknown example %s", name)
				req := f.request(http.MethodPost, "/messages", string(body))
				require.Equal(t, expected.violation, d.CheckRequest(req, body) != nil, name)
				r := f.send(req)
				require.Equal(t, expected.status, r.status, "%s: %s", name, r.body)
				require.NoError(t, d.CheckResponse(req, r.status, r.header, r.body), name)
			}
			for name, body := range d.RequestExamples(t, http.MethodPost, "/conversations/search") {
				require.Equal(t, http.StatusOK, f.post("/conversations/search", string(body)).status, name)
			}
			for name, body := range d.RequestExamples(t, http.MethodPost, "/contacts") {
				require.Equal(t, http.StatusOK, f.post("/contacts", string(body)).status, name)
			}
		})
	}
}
