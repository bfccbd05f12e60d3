package replies

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/intercom-dispatch/intercom-dispatch/intercom"
)

// WebhookPath is where Intercom's notifications are received.
const WebhookPath = "/webhooks/intercom"

// Defaults of [ReceiverConfig].
const (
	// DefaultQueueTimeout leaves room within the 500 ms in which Intercom wants
	// an answer.
	DefaultQueueTimeout = 350 * time.Millisecond
	// DefaultBodyTimeout is Intercom's own limit for a whole request.
	DefaultBodyTimeout = 5 * time.Second
	DefaultMaxBody     = 5 << 20
	DefaultMaxMemory   = 64 << 20
	DefaultMaxWaiting  = 256
)

// Queue keeps a notification safe for later work. It returns nil only once the
// notification would survive this process, and [ErrOtherApp] for one that
// nobody here has a use for. A notification may come again: its id is the same
// then. Raw is the body as Intercom sent it, and is kept until the call
// returns, also where that takes longer than its context. It is called from
// many goroutines at once.
type Queue interface {
	QueueNotification(ctx context.Context, n *intercom.Notification, raw []byte) error
}

// ReceiverConfig configures a [Receiver]. Secrets and Queue are required.
type ReceiverConfig struct {
	// Secrets are the client secrets of the Intercom app; several while one
	// is being replaced. None may be empty.
	Secrets []string
	Queue   Queue
	// Log gets one line a request, but of requests that anybody can make no
	// more than 10 a second of each level. Nil: none.
	Log *zap.Logger
	// Metrics registers the receiver's metrics, if not nil.
	Metrics prometheus.Registerer
	// Timeout bounds the wait for the queue. Default 350 ms.
	Timeout time.Duration
	// BodyTimeout bounds how long a body may take to arrive. It needs a server
	// that has http.ResponseController set read deadlines, as net/http's does.
	// Default 5 s.
	BodyTimeout time.Duration
	// MaxBody is how long a notification may be, in bytes. Default 5 MiB.
	MaxBody int64
	// MaxMemory bounds the bytes of all bodies that are held at a time: whose
	// they are is known only when they are read. At least twice MaxBody.
	// Default 64 MiB.
	MaxMemory int64
	// MaxWaiting bounds how many notifications wait for the queue at a time.
	// Default 256.
	MaxWaiting int
}

// Receiver is the http.Handler of Intercom's webhook. It is safe for
// concurrent use.
//
// It answers 200 once a notification is queued or needs no work, 503 if the
// queue failed or too much is in hand, so that Intercom tries again, and 4xx
// for what is not Intercom's. It never answers 410, which would end the
// subscription.
type Receiver struct {
	cfg     ReceiverConfig
	log     *zap.Logger
	sampled *zap.Logger
	metrics *receiverMetrics
	memory  memory
	// waiting has an element for each notification that the queue was given.
	waiting chan struct{}
}

// NewReceiver returns an error that names the field which cannot be used.
// Close the receiver after the server that uses it.
func NewReceiver(cfg ReceiverConfig) (*Receiver, error) {
	if err := cfg.check(); err != nil {
		return nil, err
	}
	cfg.Secrets = slices.Clone(cfg.Secrets)
	cfg.Timeout = cmp.Or(cfg.Timeout, DefaultQueueTimeout)
	cfg.BodyTimeout = cmp.Or(cfg.BodyTimeout, DefaultBodyTimeout)
	cfg.MaxBody = cmp.Or(cfg.MaxBody, DefaultMaxBody)
	cfg.MaxMemory = cmp.Or(cfg.MaxMemory, max(DefaultMaxMemory, 2*cfg.MaxBody))
	if cfg.MaxMemory < 2*cfg.MaxBody {
		return nil, errors.New("replies: MaxMemory must be at least twice MaxBody, or the longest notifications could not be read")
	}
	metrics, err := newReceiverMetrics(cfg.Metrics)
	if err != nil {
		return nil, fmt.Errorf("replies: register metrics: %w", err)
	}
	r := &Receiver{cfg: cfg, metrics: metrics, waiting: make(chan struct{}, cmp.Or(cfg.MaxWaiting, DefaultMaxWaiting))}
	r.memory.left.Store(cfg.MaxMemory)
	r.log, r.sampled = receiverLogs(cfg.Log)
	return r, nil
}

func (c *ReceiverConfig) check() error {
	switch {
	case len(c.Secrets) == 0:
		return errors.New("replies: Secrets are required: the Intercom app's client secret, without which anybody could post notifications")
	case slices.ContainsFunc(c.Secrets, func(s string) bool { return strings.TrimSpace(s) == "" }):
		return errors.New("replies: Secrets holds an empty secret: give the Intercom app's client secret")
	case c.Queue == nil:
		return errors.New("replies: Queue is required")
	case c.Timeout < 0:
		return errors.New("replies: Timeout must not be negative: zero means 350 ms")
	case c.BodyTimeout < 0:
		return errors.New("replies: BodyTimeout must not be negative: zero means 5 s")
	case c.MaxBody < 0:
		return errors.New("replies: MaxBody must not be negative: zero means 5 MiB")
	case c.MaxMemory < 0:
		return errors.New("replies: MaxMemory must not be negative: zero means 64 MiB")
	case c.MaxWaiting < 0:
		return errors.New("replies: MaxWaiting must not be negative: zero means 256")
	}
	return nil
}

// ServeHTTP answers one request.
func (r *Receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	began := time.Now()
	v := r.receive(w, req)
	if v.status == http.StatusMethodNotAllowed {
		w.Header().Set("Allow", "HEAD, POST")
	}
	if v.unread && req.ContentLength != 0 {
		// The server would wait for the rest of the body before it answers.
		w.Header().Set("Connection", "close")
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(v.status)
	if v.text != "" && req.Method != http.MethodHead {
		_, _ = io.WriteString(w, v.text+"\n") // a sender that has gone needs no text
	}
	r.record(v, time.Since(began))
}

// receive decides about the request. Nothing of the body is read before there
// could be a signature, and nothing of it is looked at before the signature is
// known to be right.
func (r *Receiver) receive(w http.ResponseWriter, req *http.Request) verdict {
	signature := req.Header.Get(intercom.SignatureHeader)
	switch {
	case req.Method == http.MethodHead:
		return verdictProbed // Intercom does so when the URL is saved
	case req.Method != http.MethodPost:
		return verdictWrongMethod
	case signature == "":
		return verdictUnsigned
	case !isSignature(signature):
		return verdictNoSignature
	case req.ContentLength > r.cfg.MaxBody:
		return verdictTooLarge
	}
	// Where it cannot be set, the server's own limits are left.
	_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(r.cfg.BodyTimeout))
	b := &body{memory: &r.memory}
	if err := b.read(http.MaxBytesReader(w, req.Body, r.cfg.MaxBody), r.cfg.MaxBody); err != nil {
		b.release()
		return unreadVerdict(err)
	}
	n, v := r.judge(b.bytes, signature)
	if n == nil {
		b.release()
		return v
	}
	return r.submit(req.Context(), n, b)
}

// judge returns the notification if it is to be queued, and otherwise what
// becomes of the request.
func (r *Receiver) judge(raw []byte, signature string) (*intercom.Notification, verdict) {
	if !intercom.VerifySignature(raw, signature, r.cfg.Secrets...) {
		return nil, verdictWrongSignature
	}
	n, err := intercom.ParseNotification(raw)
	switch {
	case err != nil:
		return nil, verdictUnreadable.because(err)
	case n.Topic == intercom.TopicPing:
		return nil, verdictPinged.about(n)
	case !strings.HasPrefix(n.Topic, "conversation.") && !strings.HasPrefix(n.Topic, "contact."):
		return nil, verdictIgnored.about(n)
	}
	return n, verdict{}
}
