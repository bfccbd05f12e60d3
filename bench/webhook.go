package main

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/intercom-dispatch/intercom-dispatch/intercom"
	"github.com/intercom-dispatch/intercom-dispatch/replies"
)

const (
	// webhookRate is how many notifications come in a second.
	webhookRate = 1000
	// webhookTimeout is Intercom's own.
	webhookTimeout = 5 * time.Second
	webhookSecret  = "bench"
	// notificationText makes a notification as long as one with a short
	// conversation, some 1.6 kB.
	notificationText = 1000
)

func webhookCase() testCase {
	prefix := fmt.Sprintf("webhook, %s a second: ", number(webhookRate, 0))
	p50 := line{name: prefix + "answer, p50, ms", digits: 1}
	p99 := line{name: prefix + "answer, p99, ms", digits: 1}
	latest := line{name: prefix + "answer, max, ms", digits: 1}
	other := line{name: prefix + "answers but 200"}
	kept := line{name: prefix + "in Redis afterwards"}
	cpu := line{name: prefix + "receiver's CPU, ms per 1,000", digits: 1}
	return testCase{
		lines: []line{p50, p99, latest, other, kept, cpu},
		run: func(ctx context.Context, b *bench, side string, _ int) (values, error) {
			r, err := b.receive(ctx, side)
			if err != nil {
				return nil, err
			}
			return values{
				p50.name: percentile(r.took, 50), p99.name: percentile(r.took, 99), latest.name: slices.Max(r.took),
				other.name: float64(len(r.took) - r.taken), kept.name: float64(r.inRedis),
				cpu.name: milliseconds(r.cpu.Nanoseconds()) / float64(len(r.took)) * 1000,
			}, nil
		},
	}
}

// received is what became of the notifications of a run.
type received struct {
	took    []float64 // ms from when each was due to its answer
	taken   int       // answered with 200
	inRedis int       // of these
	cpu     time.Duration
}

// receive has a receiver get notifications for b.webhook, at webhookRate, after
// a second to warm up.
func (b *bench) receive(ctx context.Context, side string) (r received, err error) {
	receiver, err := start(ctx, b.dir, receiverOf[side], spec{Redis: b.redis.addr})
	if err != nil {
		return r, err
	}
	defer receiver.quit()
	ctx, stop := receiver.running(ctx)
	defer stop()
	transport := &http.Transport{MaxIdleConnsPerHost: webhookRate}
	defer transport.CloseIdleConnections()
	url := "http://" + receiver.addr + replies.WebhookPath
	post(ctx, transport, url, newNotifications(0, webhookRate), webhookRate)
	before, err := receiver.usage()
	if err != nil {
		return r, err
	}
	all := newNotifications(webhookRate, int(b.webhook.Seconds()*webhookRate))
	answers := post(ctx, transport, url, all, webhookRate)
	after, err := receiver.usage()
	if err != nil {
		return r, err
	}
	r.cpu = after.CPU - before.CPU
	kept, err := b.redis.notifications(side)
	if err != nil {
		return r, err
	}
	for n, a := range answers {
		r.took = append(r.took, milliseconds(a.took.Nanoseconds()))
		if a.status != http.StatusOK {
			continue
		}
		r.taken++
		if kept[all[n].id] {
			r.inRedis++
		}
	}
	if r.inRedis < r.taken {
		return r, fmt.Errorf("%d notifications were answered with 200, and %d of them are in Redis", r.taken, r.inRedis)
	}
	return r, nil
}

// notification is one that Intercom has signed.
type notification struct{ id, body, signature string }

// newNotifications returns n notifications with the numbers from first on.
func newNotifications(first, n int) []notification {
	all := make([]notification, n)
	for i := range all {
		id := fmt.Sprintf("notif_%08d", first+i)
		body := fmt.Sprintf(`{"type":"notification_event","app_id":"bench","id":%q,"topic":"conversation.user.replied","created_at":1795368278,"delivery_attempts":1,`+
			`"data":{"type":"notification_event_data","item":{"type":"conversation","id":"%d","source":{"type":"conversation","id":"%d","author":{"type":"admin","id":"1"}},`+
			`"contacts":{"contacts":[{"type":"contact","id":"536e564f316c83104c000020"}]},"conversation_parts":{"conversation_parts":[`+
			`{"id":"%d","part_type":"comment","body":%q,"created_at":1795368278,"author":{"type":"user","id":"536e564f316c83104c000020"}}]}}}}`,
			id, first+i, first+i, first+i, strings.Repeat("x", notificationText))
		all[i] = notification{id, body, intercom.Sign(webhookSecret, []byte(body))}
	}
	return all
}

// answer is one to a notification. Its status is 0 if there was none.
type answer struct {
	status int
	took   time.Duration
}

// post sends notifications at a rate, each at its time whatever became of those
// before, and waits for all answers. What an answer took counts from the time
// at which its notification was due: a receiver that stands still is late for
// all that come meanwhile.
func post(ctx context.Context, transport http.RoundTripper, url string, all []notification, rate int) []answer {
	answers := make([]answer, len(all))
	begin := time.Now()
	var posting sync.WaitGroup
	for n, x := range all {
		due := begin.Add(time.Duration(n) * time.Second / time.Duration(rate))
		if wait := time.Until(due); wait > 0 && !pause(ctx, wait) {
			break
		}
		posting.Go(func() {
			answers[n].status = x.post(ctx, transport, url)
			answers[n].took = time.Since(due)
		})
	}
	posting.Wait()
	return answers
}

func (x notification) post(ctx context.Context, transport http.RoundTripper, url string) (status int) {
	ctx, cancel := context.WithTimeout(ctx, webhookTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, strings.NewReader(x.body))
	if err != nil {
		return 0
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set(intercom.SignatureHeader, x.signature)
	client := &http.Client{Transport: transport}
	res, err := client.Do(req)
	if err != nil {
		return 0
	}
	_ = res.Body.Close() // It has a line of text at most.
	return res.StatusCode
}
