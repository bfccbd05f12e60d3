package replies

import (
	"cmp"
	"context"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"go.uber.org/zap"

	"github.com/intercom-dispatch/intercom-dispatch/intercom"
)

// Defaults of [ReceiverConfig].
const (
	// DefaultQueueTimeout leaves room within the 5 s in which Intercom wants
	// an answer.
	DefaultQueueTimeout = 2 * time.Second
	DefaultMaxBody      = 5 << 20
)

// Queue keeps a notification safe for later work. It returns nil only once the
// notification would survive this process. A notification may come again: its
// id is the same then. Raw is the body as Intercom sent it. It is called from
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
	// Log gets one line a request. Nil: none.
	Log *zap.Logger
	// Timeout bounds queueing. Default 2 s.
	Timeout time.Duration
	// MaxBody is how long a notification may be, in bytes. Default 5 MiB.
	MaxBody int64
}

// Receiver is the http.Handler of Intercom's webhook. It is safe for
// concurrent use.
//
// It answers 200 once a notification is queued or needs no work, 503 if the
// queue failed, so that Intercom tries again, and 4xx for what is not
// Intercom's. It never answers 410, which would end the subscription.
type Receiver struct {
	secrets []string
	queue   Queue
	log     *zap.Logger
	timeout time.Duration
	maxBody int64
}

// NewReceiver returns an error that names the field which cannot be used.
func NewReceiver(cfg ReceiverConfig) (*Receiver, error) {
	switch {
	case len(cfg.Secrets) == 0:
		return nil, errors.New("replies: Secrets are required: the Intercom app's client secret, without which anybody could post notifications")
	case slices.ContainsFunc(cfg.Secrets, func(s string) bool { return strings.TrimSpace(s) == "" }):
		return nil, errors.New("replies: Secrets holds an empty secret: give the Intercom app's client secret")
	case cfg.Queue == nil:
		return nil, errors.New("replies: Queue is required")
	case cfg.Timeout < 0:
		return nil, errors.New("replies: Timeout must not be negative: zero means 2 s")
	case cfg.MaxBody < 0:
		return nil, errors.New("replies: MaxBody must not be negative: zero means 5 MiB")
	}
	r := &Receiver{
		secrets: slices.Clone(cfg.Secrets),
		queue:   cfg.Queue,
		log:     cfg.Log,
		timeout: cmp.Or(cfg.Timeout, DefaultQueueTimeout),
		maxBody: cmp.Or(cfg.MaxBody, DefaultMaxBody),
	}
	if r.log == nil {
		r.log = zap.NewNop()
	}
	return r, nil
}

// ServeHTTP answers one request.
func (r *Receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	began := time.Now()
	v := r.receive(w, req)
	if v.status == http.StatusMethodNotAllowed {
		w.Header().Set("Allow", "HEAD, POST")
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(v.status)
	if v.text != "" && req.Method != http.MethodHead {
		_, _ = io.WriteString(w, v.text+"\n") // a sender that has gone needs no text
	}
	r.record(v, time.Since(began))
}

// receive decides about the request. Nothing of the body is looked at before
// its signature is known to be right.
func (r *Receiver) receive(w http.ResponseWriter, req *http.Request) verdict {
	switch req.Method {
	case http.MethodHead:
		return verdictProbed // Intercom does so when the URL is saved
	case http.MethodPost:
	default:
		return verdictWrongMethod
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, req.Body, r.maxBody))
	if err != nil {
		if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
			return verdictTooLarge
		}
		return verdictCutShort.because(err)
	}
	signature := req.Header.Get(intercom.SignatureHeader)
	if signature == "" {
		return verdictUnsigned
	}
	if !intercom.VerifySignature(body, signature, r.secrets...) {
		return verdictWrongSignature
	}
	n, err := intercom.ParseNotification(body)
	if err != nil {
		return verdictUnreadable.because(err)
	}
	return r.take(req.Context(), n, body)
}

func (r *Receiver) take(ctx context.Context, n *intercom.Notification, body []byte) verdict {
	switch {
	case n.Topic == intercom.TopicPing:
		return verdictPinged.about(n)
	case !strings.HasPrefix(n.Topic, "conversation.") && !strings.HasPrefix(n.Topic, "contact."):
		return verdictIgnored.about(n)
	}
	// A notification that is here is worth keeping, also if its sender has
	// hung up meanwhile: it may not come again.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), r.timeout)
	defer cancel()
	if err := r.queue.QueueNotification(ctx, n, body); err != nil {
		return verdictQueueFailed.about(n).because(err)
	}
	return verdictQueued.about(n)
}
