package worker

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"
)

type metrics struct {
	attempts        *prometheus.CounterVec
	messages        *prometheus.CounterVec
	resent          prometheus.Counter
	settled         *prometheus.CounterVec
	breakerOpen     prometheus.Gauge
	ledgerErrors    prometheus.Counter
	inFlight        prometheus.Gauge
	requestSeconds  prometheus.Histogram
	deliverySeconds prometheus.Histogram
	contactSeconds  prometheus.Histogram
	followed        prometheus.Counter
}

func newMetrics(r prometheus.Registerer) (*metrics, error) {
	m := &metrics{
		attempts: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "dispatch_attempts_total", Help: "Requests to create a message, by what they are known to have done.",
		}, []string{"outcome"}),
		messages: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "dispatch_messages_total", Help: "Messages that entered a state in which the worker is done with them.",
		}, []string{"state"}),
		resent: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "dispatch_resent_total", Help: "Attempts after one that may have created the message: possible duplicates.",
		}),
		settled: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "dispatch_settled_total", Help: "Messages that were uncertain, by how it was settled that they exist.",
		}, []string{"by"}),
		breakerOpen: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "dispatch_circuit_open", Help: "1 while Intercom fails and messages wait.",
		}),
		ledgerErrors: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "dispatch_ledger_errors_total", Help: "Reads and writes of the ledger that Redis did not take.",
		}),
		inFlight: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "dispatch_deliveries_in_flight", Help: "Messages that the worker has in hand.",
		}),
		requestSeconds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "dispatch_request_seconds", Help: "Time to Intercom's answer.",
			Buckets: prometheus.ExponentialBuckets(0.005, 2, 13),
		}),
		deliverySeconds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "dispatch_delivery_seconds", Help: "Time from when a message was due to when it was sent.",
			Buckets: prometheus.ExponentialBuckets(0.01, 4, 10),
		}),
		contactSeconds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "dispatch_contact_wait_seconds", Help: "Time from the first answer that a message's contact is missing to when it was sent.",
			Buckets: prometheus.ExponentialBuckets(0.5, 2, 14),
		}),
		followed: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "dispatch_contact_followed_total", Help: "Requests that were not made because another message asks for the missing contact.",
		}),
	}
	if r == nil {
		return m, nil
	}
	return m, errors.Join(
		r.Register(m.attempts), r.Register(m.messages), r.Register(m.resent), r.Register(m.settled), r.Register(m.breakerOpen),
		r.Register(m.ledgerErrors),
		r.Register(m.inFlight), r.Register(m.requestSeconds), r.Register(m.deliverySeconds),
		r.Register(m.contactSeconds), r.Register(m.followed),
	)
}
