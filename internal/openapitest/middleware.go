package openapitest

import (
	"bufio"
	"bytes"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
)

// undescribed are the beginnings of paths that are not held against the
// description: the fake's own, and GET /admins/{id}, which Intercom has, but which is
// not among the parts of the descriptions that this module's tests were given.
var undescribed = []string{"/_fake/", "/admins/"}

// Middleware checks every request to next and every answer of it, and fails
// the test where the description says otherwise. Requests under /_fake/ are not
// Intercom's and pass, and so do those under /admins/. Connections that next cuts
// are not held against it.
func (d *Description) Middleware(tb testing.TB, next http.Handler) http.Handler {
	tb.Helper()
	return d.middleware(tb, next, true)
}

// RequestMiddleware is Middleware without the check of answers, for tests in
// which they are broken on purpose.
func (d *Description) RequestMiddleware(tb testing.TB, next http.Handler) http.Handler {
	tb.Helper()
	return d.middleware(tb, next, false)
}

func (d *Description) middleware(tb testing.TB, next http.Handler, answers bool) http.Handler {
	tb.Helper()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if slices.ContainsFunc(undescribed, func(prefix string) bool { return strings.HasPrefix(r.URL.Path, prefix) }) {
			next.ServeHTTP(w, r)
			return
		}
		body, err := io.ReadAll(r.Body)
		if err != nil {
			// The client has gone.
			panic(http.ErrAbortHandler)
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		if err := d.CheckRequest(r, body); err != nil {
			tb.Errorf("%v", err)
		}
		copied := &recorder{ResponseWriter: w, status: http.StatusOK}
		next.ServeHTTP(copied, r)
		if !answers || copied.hijacked {
			return
		}
		if err := d.CheckResponse(r, copied.status, w.Header(), copied.body.Bytes()); err != nil {
			tb.Errorf("%v", err)
		}
	})
}

// recorder keeps a copy of what it passes on.
type recorder struct {
	http.ResponseWriter
	status   int
	body     bytes.Buffer
	hijacked bool
}

func (w *recorder) WriteHeader(status int) {
	w.status = status
	w.ResponseWriter.WriteHeader(status)
}

func (w *recorder) Write(b []byte) (int, error) {
	w.body.Write(b)
	return w.ResponseWriter.Write(b)
}

// Hijack lets a handler cut the connection.
func (w *recorder) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, rw, err := http.NewResponseController(w.ResponseWriter).Hijack()
	w.hijacked = err == nil
	return conn, rw, err
}

// Unwrap gives [http.ResponseController] what else the writer can do.
func (w *recorder) Unwrap() http.ResponseWriter { return w.ResponseWriter }
