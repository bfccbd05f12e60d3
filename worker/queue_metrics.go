package worker

import (
	"slices"

	"github.com/hibiken/asynq"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9"

	"github.com/intercom-dispatch/intercom-dispatch/internal/task"
)

// QueueMetrics is a prometheus.Collector of a workspace's queues. It asks
// Redis whenever it is collected, so one process of a workspace is enough to
// collect it from. It is safe for concurrent use.
type QueueMetrics struct {
	inspector *asynq.Inspector
	workspace string
	tasks     *prometheus.Desc
	latency   *prometheus.Desc
	paused    *prometheus.Desc
	up        *prometheus.Desc
}

// NewQueueMetrics returns a collector. The connection stays the caller's.
func NewQueueMetrics(rdb redis.UniversalClient, workspace string) *QueueMetrics {
	labels := prometheus.Labels{"workspace": workspace}
	desc := func(name, help string, variable ...string) *prometheus.Desc {
		return prometheus.NewDesc(name, help, variable, labels)
	}
	return &QueueMetrics{
		inspector: asynq.NewInspectorFromRedisClient(rdb), workspace: workspace,
		tasks:   desc("dispatch_queue_tasks", "Tasks in a queue, by asynq's state of them.", "queue", "state"),
		latency: desc("dispatch_queue_latency_seconds", "Age of the oldest task that could be worked on.", "queue"),
		paused:  desc("dispatch_queue_paused", "1 if the queue is paused.", "queue"),
		up:      desc("dispatch_redis_up", "1 if Redis answered when the queues were asked for."),
	}
}

// Describe implements prometheus.Collector.
func (q *QueueMetrics) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{q.tasks, q.latency, q.paused, q.up} {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (q *QueueMetrics) Collect(ch chan<- prometheus.Metric) {
	up := 1.0
	if err := q.collectQueues(ch); err != nil {
		up = 0
	}
	ch <- prometheus.MustNewConstMetric(q.up, prometheus.GaugeValue, up)
}

func (q *QueueMetrics) collectQueues(ch chan<- prometheus.Metric) error {
	// A queue is there from its first task on.
	known, err := q.inspector.Queues()
	if err != nil {
		return err
	}
	for _, name := range append(task.Priorities(), "notifications") {
		queue := task.Queue(q.workspace, name)
		if !slices.Contains(known, queue) {
			continue
		}
		info, err := q.inspector.GetQueueInfo(queue)
		if err != nil {
			return err
		}
		q.collectQueue(ch, name, info)
	}
	return nil
}

func (q *QueueMetrics) collectQueue(ch chan<- prometheus.Metric, name string, info *asynq.QueueInfo) {
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, append([]string{name}, labels...)...)
	}
	for state, n := range map[string]int{
		"pending": info.Pending, "active": info.Active, "scheduled": info.Scheduled,
		"retry": info.Retry, "archived": info.Archived,
	} {
		gauge(q.tasks, float64(n), state)
	}
	gauge(q.latency, info.Latency.Seconds())
	paused := 0.0
	if info.Paused {
		paused = 1
	}
	gauge(q.paused, paused)
}
