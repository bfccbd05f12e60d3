package main

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/intercom-dispatch/intercom-dispatch/intercom"
	"github.com/intercom-dispatch/intercom-dispatch/internal/redistest"
)

// notify posts a signed notification of an app and returns the status.
func notify(t *testing.T, url, id, app string) int {
	t.Helper()
	body := fmt.Sprintf(`{"type":"notification_event","app_id":%q,"id":%q,"topic":"contact.archived","data":{"item":{}}}`, app, id)
	status, _ := fetch(t, http.MethodPost, url, body, intercom.SignatureHeader, intercom.Sign(siteSecret, []byte(body)))
	return status
}

// queued returns the ids in a workspace's queue of notifications.
func (s *site) queued(workspace string) []string {
	s.t.Helper()
	ids, err := s.redis.Client(s.t).LRange(s.t.Context(), "asynq:{intercom-"+workspace+"-notifications}:pending", 0, -1).Result()
	require.NoError(s.t, err)
	return ids
}

func TestOneWebhookServesSeveralWorkspaces(t *testing.T) {
	t.Parallel()
	s := newSite(t, everybody())
	hook := start(t, call{args: []string{"webhook"}, env: append(s.env(),
		"INTERCOM_CLIENT_SECRET="+siteSecret, "DISPATCH_APP_WORKSPACES=told_a=third, told_b=fourth,")})
	url := hook.webhookURL()
	require.Equal(t, http.StatusOK, notify(t, url, "before", "whose"))
	require.Equal(t, []string{"before"}, s.queued("main"), "no worker has said that it is not its own")

	// The worker of another workspace knows from GET /me which app it has.
	w := s.worker("--workspace", "second")
	require.Equal(t, "fake_app", w.logged("Intercom workspace")["app_id"])
	w.interrupt()
	require.Eventually(t, func() bool {
		require.Equal(t, http.StatusOK, notify(t, url, "for-second", "fake_app"))
		return slices.Equal(s.queued("second"), []string{"for-second"})
	}, patience, 100*time.Millisecond)
	require.Equal(t, "second", hook.logged("learnt the workspace of an Intercom app")["workspace"])

	require.Equal(t, http.StatusOK, notify(t, url, "for-a", "told_a"))
	require.Equal(t, http.StatusOK, notify(t, url, "for-b", "told_b"))
	require.Equal(t, []string{"for-a"}, s.queued("third"))
	require.Equal(t, []string{"for-b"}, s.queued("fourth"))

	hook.interrupt()
}

func TestTheNotificationsOfAnotherAppAreNotMatched(t *testing.T) {
	t.Parallel()
	s := newSite(t, everybody())
	w := s.worker("--webhook")
	url := w.webhookURL()
	require.Equal(t, http.StatusOK, notify(t, url, "ours", "fake_app"))
	require.Equal(t, http.StatusOK, notify(t, url, "foreign", "another"))
	require.Equal(t, `dispatch_webhook_requests_total{outcome="other_app"} 1`, w.metric(`dispatch_webhook_requests_total{outcome="other_app"}`))
	require.Equal(t, `dispatch_webhook_seconds_count 2`, w.metric("dispatch_webhook_seconds_count"))
	require.Eventually(t, func() bool {
		return w.metric(`dispatch_notifications_total{outcome="ignored"}`) == `dispatch_notifications_total{outcome="ignored"} 1`
	}, patience, 50*time.Millisecond, "ours was not worked off")
	w.interrupt()
	require.Empty(t, s.queued("main"))
}

func TestTwoWorkspacesOfOneAppAreReported(t *testing.T) {
	t.Parallel()
	s := newSite(t, everybody())
	s.worker().interrupt()
	w := s.worker("--workspace", "second")
	line := w.logged("the Intercom app had another workspace: its notifications come to this one from now on. Are there workers for both?")
	require.Equal(t, "main", line["former_workspace"])
	require.Equal(t, "second", line["workspace"])
	require.Equal(t, "fake_app", line["app_id"])
	w.interrupt()
}

func TestAWebhookWhoseRedisIsAwayMakesIntercomTryAgain(t *testing.T) {
	t.Parallel()
	s := newSiteOn(t, redistest.Start(t, redistest.Options{AppendOnly: true}), everybody())
	hook := s.start("webhook")
	url := hook.webhookURL()
	require.Equal(t, http.StatusOK, notify(t, url, "one", ""))
	s.redis.Kill()
	require.Equal(t, http.StatusServiceUnavailable, notify(t, url, "two", ""))
	s.redis.Restart()
	require.Eventually(t, func() bool { return notify(t, url, "two", "") == http.StatusOK }, patience, 50*time.Millisecond)
	require.Contains(t, s.queued("main"), "two")
	hook.interrupt()
}

// metric returns the first line of the metrics that begins so, or "".
func (p *process) metric(begin string) string {
	p.t.Helper()
	_, all := fetch(p.t, http.MethodGet, p.adminURL()+"/metrics", "")
	for line := range strings.Lines(all) {
		if strings.HasPrefix(line, begin) {
			return strings.TrimSpace(line)
		}
	}
	return ""
}
