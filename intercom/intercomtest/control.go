package intercomtest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"
)

const controlPrefix = "/_fake/"

// control is the API under /_fake/, which has no token and no rate limit.
type control struct{ s *Server }

func newControl(s *Server) http.Handler {
	c := control{s}
	mux := http.NewServeMux()
	for pattern, handle := range map[string]func(*http.Request) (int, any, error){
		"GET /_fake/log":                           c.log,
		"POST /_fake/contacts":                     c.contacts,
		"POST /_fake/contacts/{id}/merge":          c.mergeContact,
		"POST /_fake/contacts/{id}/archive":        c.archiveContact,
		"POST /_fake/contacts/{id}/unarchive":      c.unarchiveContact,
		"DELETE /_fake/contacts/{id}":              c.deleteContact,
		"POST /_fake/replies":                      c.replies,
		"POST /_fake/parts":                        c.parts,
		"POST /_fake/notifications":                c.notify,
		"POST /_fake/notifications/hold":           c.hold,
		"GET /_fake/notifications/held":            c.held,
		"POST /_fake/notifications/release":        c.release,
		"POST /_fake/notifications/{id}/redeliver": c.redeliver,
		"POST /_fake/faults":                       c.faults,
		"DELETE /_fake/faults":                     c.clearFaults,
		"POST /_fake/token":                        c.token,
		"POST /_fake/webhook":                      c.webhook,
	} {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			r.Body = http.MaxBytesReader(w, r.Body, maxBody)
			status, doc, err := handle(r)
			if err != nil {
				status, doc = statusOf(err), map[string]string{"error": err.Error()}
			}
			a := answer{status: status}
			if doc != nil {
				a = document(status, doc)
			}
			a.write(w, nil, NoCut)
		})
	}
	return mux
}

func statusOf(err error) int {
	if errors.Is(err, ErrNotFound) {
		return http.StatusNotFound
	}
	return http.StatusBadRequest
}

type logDoc struct {
	Arrived    int64            `json:"arrived"`
	Created    []CreatedMessage `json:"created"`
	Requests   []requestDoc     `json:"requests"`
	Replies    []ReplyInfo      `json:"replies"`
	Deliveries []Delivery       `json:"deliveries"`
}

type requestDoc struct {
	Request
	DurationMS float64 `json:"duration_ms"`
}

// log answers with the log, once it has ?created=N messages or ?timeout= is
// over.
func (c control) log(r *http.Request) (int, any, error) {
	if err := c.await(r); err != nil {
		return 0, nil, err
	}
	l := c.s.Log()
	doc := logDoc{
		Arrived: l.Arrived, Created: orEmpty(l.Created), Replies: orEmpty(l.Replies),
		Deliveries: orEmpty(l.Deliveries), Requests: make([]requestDoc, 0, len(l.Requests)),
	}
	for _, q := range l.Requests {
		doc.Requests = append(doc.Requests, requestDoc{q, float64(q.Duration) / float64(time.Millisecond)})
	}
	return http.StatusOK, doc, nil
}

const defaultLogTimeout = 10 * time.Second

func (c control) await(r *http.Request) error {
	q := r.URL.Query()
	if !q.Has("created") {
		return nil
	}
	n, err := strconv.Atoi(q.Get("created"))
	if err != nil {
		return fmt.Errorf("created must be a number of messages: %w", err)
	}
	timeout := defaultLogTimeout
	if q.Has("timeout") {
		if timeout, err = time.ParseDuration(q.Get("timeout")); err != nil {
			return fmt.Errorf("timeout must be a duration such as 10s: %w", err)
		}
	}
	ctx, cancel := context.WithTimeout(r.Context(), timeout)
	defer cancel()
	// Whether there are enough is for the reader of the log to see.
	_ = c.s.WaitCreated(ctx, n)
	return nil
}

func orEmpty[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}

func (c control) replies(r *http.Request) (int, any, error) {
	req, err := decodeControl[struct {
		MessageID string `json:"message_id"`
		ContactID string `json:"contact_id"`
		Text      string `json:"text"`
	}](r)
	if err != nil {
		return 0, nil, err
	}
	info, err := c.s.ReplyAs(r.Context(), req.MessageID, req.ContactID, req.Text)
	return http.StatusCreated, info, err
}

func (c control) token(r *http.Request) (int, any, error) {
	req, err := decodeControl[struct {
		Token string `json:"token"`
	}](r)
	if err == nil {
		c.s.SetToken(req.Token)
	}
	return http.StatusNoContent, nil, err
}

func (c control) webhook(r *http.Request) (int, any, error) {
	req, err := decodeControl[struct {
		URL string `json:"url"`
	}](r)
	if err == nil {
		c.s.SetWebhookURL(req.URL)
	}
	return http.StatusNoContent, nil, err
}

// decodeControl reads a request's JSON. A misspelt field is an error: it would
// otherwise be a fault that never happens.
func decodeControl[T any](r *http.Request) (T, error) {
	var v T
	d := json.NewDecoder(r.Body)
	d.DisallowUnknownFields()
	if err := d.Decode(&v); err != nil {
		return v, fmt.Errorf("request body: %w", err)
	}
	return v, nil
}

// duration is written as a string such as "500ms".
type duration time.Duration

func (d *duration) UnmarshalText(b []byte) error {
	v, err := time.ParseDuration(string(b))
	*d = duration(v)
	return err
}
