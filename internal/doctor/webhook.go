package doctor

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/intercom-dispatch/intercom-dispatch/intercom"
)

// slowWebhook is Intercom's own limit for answers that get priority.
const slowWebhook = 500 * time.Millisecond

// ping is a notification that a receiver answers and drops, also one that
// would look at no signature.
const ping = `{"type":"notification_event","topic":"ping","id":null,"data":{"type":"notification_event_data","item":{"type":"ping","message":"intercom-dispatch doctor"}}}`

func (e *examination) webhook(ctx context.Context) []finding {
	if e.WebhookURL == "" {
		return []finding{skipped("no --webhook-url is given", "Give the receiver's public address with --webhook-url to have it tried.")}
	}
	p := newProbe(e.WebhookURL)
	defer p.client.CloseIdleConnections()
	all := []finding{p.head(ctx)}
	if p.unreachable {
		return all
	}
	all = append(all, p.wrongSignature(ctx))
	for i, secret := range e.Secrets {
		all = append(all, p.rightSignature(ctx, i+1, secret))
	}
	if p.slowest > slowWebhook {
		return append(all, warn(fmt.Sprintf("it took %s to answer", p.slowest.Round(time.Millisecond)),
			"Intercom prefers receivers that answer within 500 ms, and drops notifications after 5 s: look at the receiver and at its way to Redis."))
	}
	return append(all, ok("it answers within %s", max(p.slowest.Round(time.Millisecond), time.Millisecond)))
}

// probe makes the requests that Intercom makes.
type probe struct {
	client      *http.Client
	url         string
	unreachable bool
	// slowest is the slowest answer to a POST.
	slowest time.Duration
}

func newProbe(url string) *probe {
	return &probe{url: url, client: &http.Client{
		Transport: &http.Transport{},
		// Intercom wants the answer from the address that it was given.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// head is what Intercom asks when the URL is saved.
func (p *probe) head(ctx context.Context) finding {
	status, err := p.ask(ctx, http.MethodHead, "", "")
	switch {
	case err != nil:
		p.unreachable = true
		return fail("it cannot be reached: "+reason(ctx, err), "Is the receiver running, and is --webhook-url its address as seen from outside?")
	case !succeeded(status):
		return fail(fmt.Sprintf("HEAD is answered with %d", status),
			"Intercom does not save a URL that does not answer HEAD with success: check the path, which is /webhooks/intercom, and what stands before the receiver.")
	}
	return ok("HEAD is answered with %d", status)
}

func (p *probe) wrongSignature(ctx context.Context) finding {
	status, err := p.ask(ctx, http.MethodPost, ping, intercom.Sign(rand.Text(), []byte(ping)))
	found := fmt.Sprintf("a wrong signature is answered with %d", status)
	switch {
	case err != nil:
		return fail("POST is not answered: "+reason(ctx, err), "Look at the receiver's log.")
	case status == http.StatusUnauthorized:
		return ok("%s", found)
	case succeeded(status):
		return fail(found, "The receiver does not check signatures, so anybody can forge replies: use intercom-dispatch webhook, or check that --webhook-url is its address.")
	case status == http.StatusGone:
		return fail(found, "Intercom ends the subscription for good at a 410: this is not the receiver.")
	}
	return fail(found, "It must be 401: check the path, which is /webhooks/intercom, and what stands before the receiver.")
}

// rightSignature sends a ping as Intercom does: it tells whether the receiver
// has the same secret.
func (p *probe) rightSignature(ctx context.Context, nth int, secret string) finding {
	status, err := p.ask(ctx, http.MethodPost, ping, intercom.Sign(secret, []byte(ping)))
	switch {
	case err != nil:
		return fail("a signed ping is not answered: "+reason(ctx, err), "Look at the receiver's log.")
	case succeeded(status):
		return ok("a ping signed with client secret %d is answered with %d", nth, status)
	case status == http.StatusUnauthorized:
		return fail(fmt.Sprintf("client secret %d is refused", nth),
			"The receiver has another client secret than this command: compare both with the one in Intercom's Developer Hub.")
	}
	return fail(fmt.Sprintf("a signed ping is answered with %d", status), "Look at the receiver's log.")
}

func succeeded(status int) bool { return status >= 200 && status <= 299 }

// ask returns the answer's status. Its errors do not hold the URL, which may
// have a password.
func (p *probe) ask(ctx context.Context, method, body, signature string) (int, error) {
	req, err := http.NewRequestWithContext(ctx, method, p.url, bytes.NewBufferString(body))
	if err != nil {
		return 0, withoutURL(err)
	}
	if signature != "" {
		req.Header.Set("Content-Type", "application/json")
		req.Header.Set(intercom.SignatureHeader, signature)
	}
	began := time.Now()
	resp, err := p.client.Do(req)
	if err != nil {
		return 0, withoutURL(err)
	}
	defer func() { _ = resp.Body.Close() }()
	if method == http.MethodPost {
		p.slowest = max(p.slowest, time.Since(began))
	}
	return resp.StatusCode, nil
}

func withoutURL(err error) error {
	if e, ok := errors.AsType[*url.Error](err); ok {
		return e.Err
	}
	return err
}
