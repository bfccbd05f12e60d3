package intercom

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
)

// answering returns a client of a server that gives one answer to everything.
func answering(t *testing.T, status int, headers map[string]string, body string) *Client {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		for k, v := range headers {
			w.Header().Set(k, v)
		}
		w.WriteHeader(status)
		_, _ = w.Write([]byte(body))
	}))
	t.Cleanup(s.Close)
	return clientFor(t, s.URL)
}

func requireAPIError(t *testing.T, err error) *APIError {
	t.Helper()
	e, ok := errors.AsType[*APIError](err)
	require.True(t, ok, "%T %v", err, err)
	requireNoSecrets(t, err)
	return e
}

func TestErrorDocumentsAreRead(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		status    int
		body      string
		listed    bool
		errors    []ErrorDetail
		requestID string
	}{
		"error list": {
			404, `{"type":"error.list","request_id":"body-id","errors":[{"code":"not_found","message":"User Not Found"},{"code":"x","message":null,"field":"to"}]}`,
			true,
			[]ErrorDetail{{Code: "not_found", Message: "User Not Found"}, {Code: "x", Field: "to"}},
			"body-id",
		},
		"no request id": {
			503, `{"type":"error.list","request_id":null,"errors":[{"code":"service_unavailable","field":null}]}`,
			true,
			[]ErrorDetail{{Code: "service_unavailable"}},
			"header-id",
		},
		"no errors":     {422, `{"type":"error.list","errors":[]}`, true, []ErrorDetail{}, "header-id"},
		"newer error":   {400, `{"type":"error","request_id":"body-id","message":"Nope"}`, true, []ErrorDetail{{Message: "Nope"}}, "body-id"},
		"HTML":          {502, `<html>Bad Gateway</html>`, false, nil, "header-id"},
		"empty":         {500, ``, false, nil, "header-id"},
		"other JSON":    {404, `{"error":"no route"}`, false, nil, "header-id"},
		"other list":    {404, `{"type":"error.list","errors":"s3cret"}`, false, nil, "header-id"},
		"null":          {404, `null`, false, nil, "header-id"},
		"far too long":  {500, `{"type":"error.list","x":"` + strings.Repeat("x", shortAnswer) + `"}`, false, nil, "header-id"},
		"not a failure": {304, ``, false, nil, "header-id"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			client := answering(t, c.status, map[string]string{"X-Request-Id": "header-id"}, c.body)
			created, res, err := client.CreateMessage(t.Context(), hello())
			require.Nil(t, created)
			e := requireAPIError(t, err)
			require.Equal(t, c.status, res.Status)
			require.Equal(t, *res, e.Response)
			require.Equal(t, "header-id", res.RequestID)
			require.Equal(t, c.listed, e.Listed)
			require.Equal(t, c.errors, e.Errors)
			require.Equal(t, c.requestID, e.RequestID)
		})
	}
}

func TestTextsOfErrorsAreCutAndCleaned(t *testing.T) {
	t.Parallel()
	body := fmt.Sprintf(`{"type":"error.list","request_id":%q,"errors":[{"code":%q,"message":"\u001b[2J a\nb %s","field":%q}]}`,
		strings.Repeat("r", 500), strings.Repeat("c", 500), strings.Repeat("ä", 500), strings.Repeat("f", 500))
	_, _, err := answering(t, 400, nil, body).CreateMessage(t.Context(), hello())
	e := requireAPIError(t, err)
	require.LessOrEqual(t, len(e.Message()), 200)
	require.Greater(t, len(e.Message()), 190)
	require.True(t, utf8.ValidString(e.Message()))
	require.NotContains(t, err.Error(), "\n")
	require.NotContains(t, err.Error(), "\x1b")
	require.LessOrEqual(t, len(err.Error()), 500)
	require.LessOrEqual(t, len(e.Errors[0].Field), 100)
}

func TestATokenThatTheServerQuotesIsCutOut(t *testing.T) {
	t.Parallel()
	body := fmt.Sprintf(`{"type":"error.list","request_id":%[1]q,"errors":[{"code":%[1]q,"message":"bad header: Bearer %[1]s","field":%[1]q}]}`, testToken)
	_, _, err := answering(t, 401, nil, body).CreateMessage(t.Context(), hello())
	require.Contains(t, requireAPIError(t, err).Message(), "Bearer [token]")
}

func TestRedirectsAreRefused(t *testing.T) {
	t.Parallel()
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		t.Error("the redirect was followed")
	}))
	t.Cleanup(other.Close)
	for _, status := range []int{301, 302, 303, 307, 308} {
		client := answering(t, status, map[string]string{"Location": other.URL}, "")
		_, res, err := client.CreateMessage(t.Context(), hello())
		require.False(t, requireAPIError(t, err).Listed)
		require.Equal(t, status, res.Status)
	}
}

func TestASuccessWithoutAUsableBodyIsABodyError(t *testing.T) {
	t.Parallel()
	const head = "HTTP/1.1 200 OK\r\nX-Request-Id: r1\r\n"
	whole := func(body string) string {
		return fmt.Sprintf("%sContent-Length: %d\r\n\r\n%s", head, len(body), body)
	}
	for name, c := range map[string]struct {
		answer  string
		hang    bool
		is      error
		problem string
	}{
		"cut":      {answer: head + "Content-Length: 100\r\n\r\n{\"id\":\"1", problem: "unexpected EOF"},
		"timeout":  {answer: head + "Content-Length: 100\r\n\r\n{\"id\":\"1", hang: true, is: context.DeadlineExceeded, problem: "no answer within"},
		"no id":    {answer: whole(`{"body":"very private text"}`), problem: "no id"},
		"null id":  {answer: whole(`{"id":null}`), problem: "no id"},
		"other id": {answer: whole(`{"id":["very private text"]}`), problem: "not the JSON"},
		"empty":    {answer: whole(``), problem: "not valid JSON"},
		"HTML":     {answer: whole(`<html>`), problem: "not valid JSON: see byte 1"},
		"an array": {answer: whole(`[]`), problem: "not the JSON"},
		"subject":  {answer: whole(`{"id":"1","subject":true}`), problem: "subject has another type"},
		"too long": {answer: head + "\r\n" + strings.Repeat(" ", shortAnswer+1), problem: "longer than 1048576 bytes"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			serve, timeout := writing(c.answer), time.Duration(0)
			if c.hang {
				serve, timeout = hanging(c.answer), 300*time.Millisecond
			}
			s := newRawServer(t, serve)
			created, res, err := clientFor(t, s.url(), withTimeout(timeout)).CreateMessage(t.Context(), hello())
			require.Nil(t, created)
			require.Equal(t, "r1", res.RequestID)
			unusable, ok := errors.AsType[*BodyError](err)
			require.True(t, ok, "%T %v", err, err)
			require.Equal(t, 200, unusable.Response.Status)
			require.ErrorContains(t, err, c.problem)
			if c.is != nil {
				require.ErrorIs(t, err, c.is)
			}
			requireNoSecrets(t, err)
		})
	}
}

func TestAFailureWithACutBodyIsNotListed(t *testing.T) {
	t.Parallel()
	s := newRawServer(t, writing("HTTP/1.1 500 Oops\r\nContent-Length: 500\r\n\r\n"+
		`{"type":"error.list","errors":[{"code":"server_error"}]}`))
	_, res, err := clientFor(t, s.url()).CreateMessage(t.Context(), hello())
	require.False(t, requireAPIError(t, err).Listed)
	require.Equal(t, 500, res.Status)
}

func TestRateLimitHeadersAreReadTolerantly(t *testing.T) {
	t.Parallel()
	headers := func(limit, remaining, reset string) map[string]string {
		return map[string]string{
			"X-RateLimit-Limit": limit, "X-RateLimit-Remaining": remaining, "X-RateLimit-Reset": reset,
			"Date": "Sun, 22 Nov 2026 15:00:00 GMT",
		}
	}
	whole := &RateLimit{Limit: 167, Remaining: 3, Reset: time.Unix(1590000000, 0).UTC()}
	for name, c := range map[string]struct {
		headers map[string]string
		want    *RateLimit
	}{
		"whole":              {headers("167", "3", "1590000000"), whole},
		"spaces":             {headers(" 167", "3 ", "1590000000"), whole},
		"overdrawn":          {headers("167", "-2", "1590000000"), &RateLimit{Limit: 167, Reset: whole.Reset}},
		"no limit":           {headers("", "3", "1590000000"), nil},
		"no remaining":       {headers("167", "", "1590000000"), nil},
		"no reset":           {headers("167", "3", ""), nil},
		"garbage":            {headers("many", "3", "1590000000"), nil},
		"a limit of nothing": {headers("0", "0", "1590000000"), nil},
		"a negative reset":   {headers("167", "3", "-1"), nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, status := range []int{200, 429} {
				_, res, _ := answering(t, status, c.headers, `{"id":"1"}`).CreateMessage(t.Context(), hello())
				require.Equal(t, c.want, res.RateLimit)
				require.Equal(t, time.Date(2026, 11, 22, 15, 0, 0, 0, time.UTC), res.Date)
			}
		})
	}
}

func TestACanonicalLinkNamesTheContactThatAnotherWasMergedInto(t *testing.T) {
	t.Parallel()
	for link, want := range map[string]string{
		`</contacts/6762f0d0>; rel="canonical"`:                                   "6762f0d0",
		`<https://api.eu.intercom.io/contacts/6762f0d0>; rel="canonical"`:         "6762f0d0",
		`<contacts/6762f0d0>;rel=canonical`:                                       "6762f0d0",
		`</proxy/contacts/a_b-C> ; Rel = "Canonical"; title="x"`:                  "a_b-C",
		`</contacts?page=2>; rel="next", </contacts/6762f0d0>; rel="canonical"`:   "6762f0d0",
		`</contacts/next>; rel="next"`:                                            "",
		`</contacts/6762f0d0>; rel="canonicals"`:                                  "",
		`</contacts/6762f0d0>`:                                                    "",
		`</contacts/>; rel="canonical"`:                                           "",
		`</contacts/a b>; rel="canonical"`:                                        "",
		`</contacts/a%2Fb>; rel="canonical"`:                                      "",
		`</conversations/1>; rel="canonical"`:                                     "",
		`</contacts/a/notes>; rel="canonical"`:                                    "",
		`</contacts/` + strings.Repeat("x", maxLabelLen+1) + `>; rel="canonical"`: "",
		`garbage`: "",
		``:        "",
	} {
		client := answering(t, http.StatusGone, map[string]string{"Link": link},
			`{"type":"error.list","request_id":"r","errors":[{"code":"contact_merged","message":"This contact has been merged."}]}`)
		contact, res, err := client.Contact(t.Context(), "5ba6")
		require.Nil(t, contact)
		require.Equal(t, "contact_merged", requireAPIError(t, err).Code())
		require.Equal(t, http.StatusGone, res.Status)
		require.Equal(t, want, res.Canonical, link)
	}
}

func TestACanonicalLinkMayStandInAHeaderOfItsOwn(t *testing.T) {
	t.Parallel()
	res := newResponse(&http.Response{StatusCode: http.StatusGone, Header: http.Header{
		"Link": {`</contacts?page=2>; rel="next"`, `</contacts/6762f0d0>; rel="canonical"`},
	}})
	require.Equal(t, "6762f0d0", res.Canonical)
	require.Empty(t, newResponse(&http.Response{Header: http.Header{}}).Canonical)
}

func TestAnEndlessAnswerIsNotReadToItsEnd(t *testing.T) {
	t.Parallel()
	for _, status := range []string{"200 OK", "500 Oops"} {
		s := newRawServer(t, reading(func(c *net.TCPConn, _ <-chan struct{}) {
			_, err := io.WriteString(c, "HTTP/1.1 "+status+"\r\n\r\n")
			for err == nil {
				_, err = c.Write(make([]byte, 64<<10))
			}
		}))
		_, res, err := clientFor(t, s.url(), withTimeout(10*time.Second)).CreateMessage(t.Context(), hello())
		require.Error(t, err)
		require.NotErrorIs(t, err, context.DeadlineExceeded)
		require.Equal(t, status[:3], strconv.Itoa(res.Status))
		if res.Status != http.StatusOK {
			require.False(t, requireAPIError(t, err).Listed)
		}
	}
}
