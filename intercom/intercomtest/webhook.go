package intercomtest

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"time"
)

// Delivery is one attempt to deliver a notification.
type Delivery struct {
	// NotificationID is the notification's id, empty for a ping.
	NotificationID string `json:"notification_id,omitempty"`
	Topic          string `json:"topic"`
	// At is when the attempt began by the Server's clock.
	At time.Time `json:"at"`
	// Attempt counts the notification's deliveries from 1.
	Attempt int `json:"attempt"`
	// Status is what the receiver answered, 0 if it did not.
	Status int `json:"status"`
	// Err is why there was no answer.
	Err string `json:"err,omitempty"`
	// Signature is the X-Hub-Signature header, and Body what it was made of.
	Signature string `json:"signature,omitempty"`
	Body      []byte `json:"-"`
}

// OK tells whether the receiver took the notification.
func (d Delivery) OK() bool { return d.Status >= 200 && d.Status < 300 }

var (
	errClosed       = errors.New("the server is closed")
	errNoWebhook    = errors.New("intercomtest: no webhook URL is set")
	errSlowReceiver = errors.New("no answer within 5 s")
)

// webhooks delivers notifications. Its goroutines, as many for what is new as for
// second tries, start with the first notification, so that a Server without
// notifications needs no Close.
type webhooks struct {
	secret      string
	retryAfter  time.Duration
	concurrency int
	client      *http.Client
	ownClient   bool
	now         func() time.Time
	record      func(Delivery)

	// ctx is the life of the goroutines, not of a call.
	ctx    context.Context
	cancel context.CancelFunc
	wg     sync.WaitGroup
	queue  chan *notification
	again  chan secondTry

	mu      sync.Mutex
	url     string
	started bool
	// sent are all notifications by their ids, also those that are held.
	sent    map[string]*notification
	holding bool
	held    []*notification
}

// secondTry is a notification whose first delivery failed.
type secondTry struct {
	*notification
	due time.Time
}

func newWebhooks(cfg Config, record func(Delivery)) *webhooks {
	w := &webhooks{
		secret: cfg.ClientSecret, retryAfter: cfg.WebhookRetryAfter, client: cfg.HTTPClient,
		now: cfg.Now, record: record, url: cfg.WebhookURL, concurrency: cfg.WebhookConcurrency,
		holding: cfg.HoldNotifications,
		queue:   make(chan *notification, defaultWebhookQueue),
		again:   make(chan secondTry, defaultWebhookQueue),
		sent:    make(map[string]*notification),
	}
	if w.client == nil {
		w.ownClient = true
		transport := &http.Transport{MaxIdleConnsPerHost: 2 * cfg.WebhookConcurrency}
		w.client = &http.Client{Transport: transport, CheckRedirect: lastResponse}
	}
	w.ctx, w.cancel = context.WithCancel(context.Background())
	return w
}

// lastResponse keeps a client from following a redirect, which Intercom counts
// as a failed delivery.
func lastResponse(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

func (w *webhooks) setURL(url string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.url = url
}

func (w *webhooks) target() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.url
}

// wanted tells whether anybody receives notifications.
func (w *webhooks) wanted() bool { return w.target() != "" }

// enqueue hands a notification to the goroutines that deliver, or holds it. It
// waits while the queue is full.
func (w *webhooks) enqueue(ctx context.Context, n *notification) error {
	held, err := w.accept(n)
	if held || err != nil {
		return err
	}
	return w.push(ctx, n)
}

func (w *webhooks) push(ctx context.Context, n *notification) error {
	// First, as select has no order: where there is room, an ended context loses
	// nothing.
	select {
	case w.queue <- n:
		return nil
	default:
	}
	select {
	case w.queue <- n:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-w.ctx.Done():
		return errClosed
	}
}

// accept registers a notification, and tells whether it is held.
func (w *webhooks) accept(n *notification) (held bool, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.ctx.Err() != nil {
		return false, errClosed
	}
	w.sent[n.id] = n
	if !w.started {
		w.started = true
		for range w.concurrency {
			w.wg.Go(w.deliverNew)
			w.wg.Go(w.deliverAgain)
		}
	}
	if w.holding {
		w.held = append(w.held, n)
	}
	return w.holding, nil
}

func (w *webhooks) close() {
	w.mu.Lock()
	w.cancel()
	w.mu.Unlock()
	w.wg.Wait()
	if w.ownClient {
		w.client.CloseIdleConnections()
	}
}

func (w *webhooks) deliverNew() {
	for {
		select {
		case <-w.ctx.Done():
			return
		case n := <-w.queue:
			// Both may be ready, and select has no order.
			if w.ctx.Err() != nil {
				return
			}
			if d := w.deliver(w.ctx, n, w.secret); !d.OK() {
				w.tryAgain(n)
			}
		}
	}
}

// tryAgain gives the notification its one more try. Where too many wait for
// theirs, it is lost, as it would be after that try.
func (w *webhooks) tryAgain(n *notification) {
	select {
	case w.again <- secondTry{n, time.Now().Add(w.retryAfter)}:
	default:
	}
}

// deliverAgain makes the second tries. All wait equally long, so that they come
// due in the order of the channel.
func (w *webhooks) deliverAgain() {
	for {
		select {
		case <-w.ctx.Done():
			return
		case n := <-w.again:
			if sleep(w.ctx, time.Until(n.due)) && w.ctx.Err() == nil {
				w.deliver(w.ctx, n.notification, w.secret)
			}
		}
	}
}
