package replies

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

type receiverMetrics struct {
	requests *prometheus.CounterVec
	seconds  prometheus.Histogram
}

// newReceiverMetrics registers with r, if it is not nil.
func newReceiverMetrics(r prometheus.Registerer) (*receiverMetrics, error) {
	m := &receiverMetrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "dispatch_webhook_requests_total", Help: "Requests to the webhook receiver, by what became of them.",
		}, []string{"outcome"}),
		seconds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "dispatch_webhook_seconds", Help: "Time to the answer to a signed notification, from its headers on.",
			Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5},
		}),
	}
	if r == nil {
		return m, nil
	}
	for _, c := range []prometheus.Collector{m.requests, m.seconds} {
		if err := r.Register(c); err != nil {
			return nil, err
		}
	}
	return m, nil
}

// observe leaves the times of other requests out: they would hide those of
// Intercom's.
func (m *receiverMetrics) observe(v verdict, took time.Duration) {
	m.requests.WithLabelValues(v.outcome).Inc()
	if v.n != nil {
		m.seconds.Observe(took.Seconds())
	}
}
