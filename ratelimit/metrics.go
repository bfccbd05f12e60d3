package ratelimit

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"
)

type metrics struct {
	limit, left, waiting prometheus.Gauge
	throttled            prometheus.Counter
}

func newMetrics(r prometheus.Registerer) (*metrics, error) {
	gauge := func(name, help string) prometheus.Gauge {
		return prometheus.NewGauge(prometheus.GaugeOpts{Name: name, Help: help})
	}
	m := &metrics{
		limit:   gauge("dispatch_rate_limit", "Requests that Intercom allows in a window, 0 while unknown."),
		left:    gauge("dispatch_rate_left", "Requests that may still be made in the window, as this process last heard."),
		waiting: gauge("dispatch_rate_waiting", "Requests that wait for a permit in this process."),
		throttled: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "dispatch_throttled_total", Help: "Answers of 429.",
		}),
	}
	if r == nil {
		return m, nil
	}
	return m, errors.Join(r.Register(m.limit), r.Register(m.left), r.Register(m.waiting), r.Register(m.throttled))
}

func (m *metrics) see(g *grant) {
	if g.limit > 0 {
		m.limit.Set(float64(g.limit))
		m.left.Set(float64(g.left))
	}
}
