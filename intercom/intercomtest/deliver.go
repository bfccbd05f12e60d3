package intercomtest

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
)

// deliver sends a notification once and records what came of it. A receiver
// that answers 410 has ended its subscription.
func (w *webhooks) deliver(ctx context.Context, n *notification, secret string) Delivery {
	d := Delivery{NotificationID: n.id, Topic: n.topic, At: w.now()}
	envelope, url := w.begin(n, &d)
	body, err := json.Marshal(envelope)
	if err == nil {
		d.Body, d.Signature = body, sign(secret, body)
		d.Status, err = w.post(ctx, url, d)
	}
	if err != nil {
		d.Err = err.Error()
	}
	if d.Status == http.StatusGone {
		w.setURL("")
	}
	w.record(d)
	return d
}

// begin counts the attempt.
func (w *webhooks) begin(n *notification, d *Delivery) (envelopeDoc, string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	n.attempts++
	if n.attempts == 1 {
		n.firstSent = d.At
	}
	d.Attempt = n.attempts
	return n.envelope(), w.url
}

func (w *webhooks) post(ctx context.Context, url string, d Delivery) (int, error) {
	if url == "" {
		return 0, errNoWebhook
	}
	header := http.Header{"Content-Type": {"application/json"}, "X-Hub-Signature": {d.Signature}}
	return w.do(ctx, http.MethodPost, url, header, d.Body)
}

func (w *webhooks) do(ctx context.Context, method, url string, header http.Header, body []byte) (int, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, webhookTimeout, errSlowReceiver)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, url, bytes.NewReader(body))
	if err != nil {
		return 0, fmt.Errorf("webhook URL: %w", err)
	}
	maps.Copy(req.Header, header)
	resp, err := w.client.Do(req)
	if err != nil {
		return 0, err
	}
	defer func() { _ = resp.Body.Close() }()
	// Read to the end, so that the connection is used again.
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, maxBody))
	return resp.StatusCode, nil
}

// Subscribe sets where notifications go the way that Intercom does: the URL
// must answer a HEAD request with a success, and gets a ping. If it does not,
// nothing is changed.
func (s *Server) Subscribe(ctx context.Context, url string) error {
	status, err := s.webhooks.do(ctx, http.MethodHead, url, nil, nil)
	if err == nil && (status < 200 || status > 299) {
		err = fmt.Errorf("answered HEAD with %d", status)
	}
	if err != nil {
		return fmt.Errorf("intercomtest: webhook URL refused: %w", err)
	}
	s.SetWebhookURL(url)
	_, err = s.Ping(ctx)
	return err
}

// Ping delivers a ping, the notification without an id, and returns what came
// of it. The error is about the Server; a receiver's answer is in the Delivery.
func (s *Server) Ping(ctx context.Context) (Delivery, error) {
	if !s.webhooks.wanted() {
		return Delivery{}, errNoWebhook
	}
	n := &notification{
		topic: topicPing, appID: s.cfg.AppID, createdAt: s.cfg.Now(),
		item: pingDoc{Type: "ping", Message: "something something interzen"},
	}
	return s.webhooks.deliver(ctx, n, s.cfg.ClientSecret), nil
}

// Redeliver delivers a notification once more, as Intercom may at any time, and
// returns what came of it. It returns ErrNotFound for an unknown id.
func (s *Server) Redeliver(ctx context.Context, notificationID string) (Delivery, error) {
	return s.redeliver(ctx, notificationID, s.cfg.ClientSecret)
}

// RedeliverForged is Redeliver with a signature made with another secret, which
// a receiver must refuse.
func (s *Server) RedeliverForged(ctx context.Context, notificationID string) (Delivery, error) {
	return s.redeliver(ctx, notificationID, "not "+s.cfg.ClientSecret)
}

func (s *Server) redeliver(ctx context.Context, id, secret string) (Delivery, error) {
	n, ok := s.webhooks.find(id)
	if !ok {
		return Delivery{}, fmt.Errorf("%w: notification %q", ErrNotFound, id)
	}
	return s.webhooks.deliver(ctx, n, secret), nil
}

func (w *webhooks) find(id string) (*notification, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	n, ok := w.sent[id]
	return n, ok
}
