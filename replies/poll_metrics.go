package replies

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"
)

type pollMetrics struct {
	requests, replies *prometheus.CounterVec
	messages, late    prometheus.Gauge
}

// The labels of requests.
const (
	requestSearch       = "search"
	requestConversation = "conversation"
)

func newPollMetrics(r prometheus.Registerer) (*pollMetrics, error) {
	m := &pollMetrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "dispatch_poll_requests_total", Help: "Requests to look for replies, by what they were for and how they ended.",
		}, []string{"request", "outcome"}),
		replies: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "dispatch_poll_replies_total", Help: "What was found in conversations that had something new.",
		}, []string{"outcome"}),
		messages: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "dispatch_poll_messages", Help: "Messages of the workspace whose replies are looked for.",
		}),
		late: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "dispatch_poll_late_seconds", Help: "How late the most overdue look was, as this process last saw.",
		}),
	}
	if r == nil {
		return m, nil
	}
	return m, errors.Join(r.Register(m.requests), r.Register(m.replies), r.Register(m.messages), r.Register(m.late))
}
