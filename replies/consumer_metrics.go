package replies

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
)

// consumeMetrics are those of one group.
type consumeMetrics struct {
	handled, failed, dead, trimmed prometheus.Counter
	waiting                        prometheus.Gauge
	delay                          prometheus.Observer
}

// newConsumeMetrics registers the metrics, or takes those that another call of
// Consume has registered.
func newConsumeMetrics(r prometheus.Registerer, group string) (consumeMetrics, error) {
	events, err := register(r, prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "dispatch_reply_events_total", Help: "Deliveries of reply events to a group, by what came of them.",
	}, []string{"group", "outcome"}))
	if err != nil {
		return consumeMetrics{}, err
	}
	waiting, err := register(r, prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "dispatch_reply_events_waiting", Help: "Reply events that failed before, and are not done with.",
	}, []string{"group"}))
	if err != nil {
		return consumeMetrics{}, err
	}
	delay, err := register(r, prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "dispatch_reply_event_delay_seconds", Help: "Time from the publication of a reply event until it was handled.",
		Buckets: []float64{.01, .1, 1, 10, 60, 600, 3600, 86400},
	}, []string{"group"}))
	if err != nil {
		return consumeMetrics{}, err
	}
	events = events.MustCurryWith(prometheus.Labels{"group": group})
	return consumeMetrics{
		handled: events.WithLabelValues("handled"), failed: events.WithLabelValues("failed"),
		dead: events.WithLabelValues("dead"), trimmed: events.WithLabelValues("trimmed"),
		waiting: waiting.WithLabelValues(group), delay: delay.WithLabelValues(group),
	}, nil
}

func register[C prometheus.Collector](r prometheus.Registerer, c C) (C, error) {
	if r == nil {
		return c, nil
	}
	err := r.Register(c)
	if err == nil {
		return c, nil
	}
	if e, ok := err.(prometheus.AlreadyRegisteredError); ok { //nolint:errorlint // It is never wrapped.
		if there, ok := e.ExistingCollector.(C); ok {
			return there, nil
		}
	}
	return c, fmt.Errorf("replies: register metrics: %w", err)
}
