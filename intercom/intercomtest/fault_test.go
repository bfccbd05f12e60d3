package intercomtest_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/intercom-dispatch/intercom-dispatch/intercom/intercomtest"
)

// overSockets sends the fake's requests through a real server.
func (f *fake) overSockets() {
	server := httptest.NewServer(f.Server)
	f.tb.Cleanup(server.Close)
	dialer := new(net.Dialer)
	transport := &http.Transport{DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return dialer.DialContext(ctx, network, server.Listener.Addr().String())
	}}
	f.tb.Cleanup(transport.CloseIdleConnections)
	f.client = &http.Client{Transport: transport}
}

func onBothTransports(t *testing.T, test func(*testing.T, *fake)) {
	t.Helper()
	t.Run("in process", func(t *testing.T) {
		t.Parallel()
		test(t, newFake(t, intercomtest.Config{}))
	})
	t.Run("over sockets", func(t *testing.T) {
		t.Parallel()
		f := newFake(t, intercomtest.Config{})
		f.overSockets()
		test(t, f)
	})
}

func TestFaultsStrikeBeforeOrAfterTheMessageIsCreated(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		fault   intercomtest.Fault
		status  int // What the client sees, 0 for a cut connection.
		logged  int
		created int
	}{
		"cut before":           {intercomtest.Fault{Cut: intercomtest.CutBeforeCreate}, 0, 0, 0},
		"cut after":            {intercomtest.Fault{Cut: intercomtest.CutAfterCreate}, 0, 0, 1},
		"status before":        {intercomtest.Fault{Status: 503}, 503, 503, 0},
		"status after":         {intercomtest.Fault{Status: 500, AfterCreate: true}, 500, 500, 1},
		"slow":                 {intercomtest.Fault{Latency: time.Millisecond}, 200, 200, 1},
		"slow answer":          {intercomtest.Fault{Latency: time.Millisecond, AfterCreate: true}, 200, 200, 1},
		"unusable answer":      {intercomtest.Fault{Status: 200, Body: "<html>", AfterCreate: true}, 200, 200, 1},
		"nothing is the fault": {intercomtest.Fault{}, 200, 200, 1},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			onBothTransports(t, func(t *testing.T, f *fake) {
				f.InjectFault(tt.fault)
				resp, err := f.client.Do(f.request(http.MethodPost, "/messages", inapp))
				if tt.status == 0 {
					requireCut(t, err)
				} else {
					require.NoError(t, err)
					require.NoError(t, resp.Body.Close())
					require.Equal(t, tt.status, resp.StatusCode)
				}
				require.Len(t, f.Created(), tt.created)
				request := f.Requests()[0]
				require.Equal(t, tt.logged, request.Status)
				require.Equal(t, "fault-1", request.FaultName)
				require.Equal(t, tt.created == 1, request.CreatedMessageID != "")
			})
		})
	}
}

func requireCut(t *testing.T, err error) {
	t.Helper()
	require.Error(t, err)
	require.True(t, errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, syscall.ECONNRESET), "%v", err)
}

func TestFaultCutsInTheMiddleOfTheBody(t *testing.T) {
	t.Parallel()
	onBothTransports(t, func(t *testing.T, f *fake) {
		f.InjectFault(intercomtest.Fault{Cut: intercomtest.CutInBody})
		resp, err := f.client.Do(f.request(http.MethodPost, "/messages", inapp))
		require.NoError(t, err)
		defer func() { _ = resp.Body.Close() }()
		require.Equal(t, http.StatusOK, resp.StatusCode)
		half, err := io.ReadAll(resp.Body)
		require.ErrorIs(t, err, io.ErrUnexpectedEOF)
		require.Len(t, half, int(resp.ContentLength)/2)
		require.NotEmpty(t, half)
		require.Len(t, f.Created(), 1)
		require.Equal(t, http.StatusOK, f.Requests()[0].Status)
	})
}

func TestClientThatGivesUpDuringLatencyCreatesNothingUnlessAfterCreate(t *testing.T) {
	t.Parallel()
	for name, after := range map[string]bool{"before": false, "after": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			onBothTransports(t, func(t *testing.T, f *fake) { giveUp(t, f, after) })
		})
	}
}

// giveUp cancels a request that waits for its latency, before or after its
// message is created.
func giveUp(t *testing.T, f *fake, after bool) {
	t.Helper()
	f.InjectFault(intercomtest.Fault{Latency: time.Hour, AfterCreate: after})
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		defer cancel()
		_ = f.WaitFor(ctx, func(l intercomtest.Log) bool {
			return l.Arrived == 1 && (!after || len(l.Created) == 1)
		})
	}()
	resp, err := f.client.Do(f.request(http.MethodPost, "/messages", inapp).WithContext(ctx))
	if err == nil {
		_ = resp.Body.Close()
	}
	require.ErrorIs(t, err, context.Canceled)
	require.NoError(t, f.WaitFor(t.Context(), func(l intercomtest.Log) bool { return len(l.Requests) == 1 }))
	require.Zero(t, f.Requests()[0].Status)
	require.Equal(t, after, len(f.Created()) == 1)
}

func TestFaultMatchesRequests(t *testing.T) {
	t.Parallel()
	const n = 12
	tests := map[string]struct {
		fault intercomtest.Fault
		want  []int // The numbers of the requests that meet it.
	}{
		"first":           {intercomtest.Fault{Nth: 1}, []int{1}},
		"fifth":           {intercomtest.Fault{Nth: 5}, []int{5}},
		"every fourth":    {intercomtest.Fault{Every: 4}, []int{4, 8, 12}},
		"twice":           {intercomtest.Fault{Times: 2}, []int{1, 2}},
		"every, once":     {intercomtest.Fault{Every: 3, Times: 1}, []int{3}},
		"other method":    {intercomtest.Fault{Method: "GET"}, nil},
		"this method":     {intercomtest.Fault{Method: "post", Nth: 2}, []int{2}},
		"other path":      {intercomtest.Fault{Path: "/me"}, nil},
		"pattern":         {intercomtest.Fault{Path: "/mess*", Nth: 3}, []int{3}},
		"any path":        {intercomtest.Fault{Path: "*", Nth: 3}, []int{3}},
		"one contact":     {intercomtest.Fault{Contact: "al", Nth: 2}, []int{4}},
		"unknown contact": {intercomtest.Fault{Contact: "bo"}, nil},
		"certain":         {intercomtest.Fault{Chance: 1, Times: 1}, []int{1}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFake(t, intercomtest.Config{})
			f.AddContact(intercomtest.Contact{ID: "al"})
			tt.fault.Status = http.StatusTeapot
			f.InjectFault(tt.fault)
			var met []int
			for i := 1; i <= n; i++ {
				if f.post("/messages", to([]string{"al", "jo"}[i%2])).status == http.StatusTeapot {
					met = append(met, i)
				}
			}
			require.Equal(t, tt.want, met)
			require.Len(t, f.Created(), n-len(met))
		})
	}
}

func TestFaultsByChanceRepeatWithTheirSeed(t *testing.T) {
	t.Parallel()
	run := func(seed uint64) (met []bool) {
		f := newFake(t, intercomtest.Config{Seed: seed})
		f.InjectFault(intercomtest.Fault{Status: 500, Chance: 0.5})
		for range 64 {
			met = append(met, f.post("/messages", inapp).status == 500)
		}
		return met
	}
	one := run(1)
	require.Contains(t, one, true)
	require.Contains(t, one, false)
	require.Equal(t, one, run(1))
	require.NotEqual(t, one, run(2))
}

func TestEveryFaultCountsEveryRequest(t *testing.T) {
	t.Parallel()
	f := newFake(t, intercomtest.Config{})
	f.InjectFault(intercomtest.Fault{Name: "a", Nth: 2, Status: 500})
	f.InjectFault(intercomtest.Fault{Name: "b", Nth: 2, Status: 501})
	f.InjectFault(intercomtest.Fault{Name: "c", Nth: 3, Status: 502})
	for _, want := range []int{200, 500, 502, 200} {
		require.Equal(t, want, f.post("/messages", inapp).status)
	}
	require.Equal(t, "a", f.Requests()[1].FaultName)
	f.InjectFault(intercomtest.Fault{Status: 500})
	f.ClearFaults()
	require.Equal(t, http.StatusOK, f.post("/messages", inapp).status)
}

func TestRefusedRequestsMeetNoFault(t *testing.T) {
	t.Parallel()
	f := newFake(t, intercomtest.Config{RateLimit: 1})
	f.InjectFault(intercomtest.Fault{Nth: 1, Status: 500})
	req := f.request(http.MethodPost, "/messages", inapp)
	req.Header.Del("Authorization")
	require.Equal(t, http.StatusUnauthorized, f.send(req).status)
	require.Equal(t, http.StatusInternalServerError, f.post("/messages", inapp).status)
}

func TestFaultDecidesTheAnswer(t *testing.T) {
	t.Parallel()
	f := newFake(t, intercomtest.Config{})
	answer := func(fault intercomtest.Fault) reply {
		f.ClearFaults()
		f.InjectFault(fault)
		return f.post("/messages", inapp)
	}
	for status, want := range map[int]string{
		408: "request_timeout", 429: "rate_limit_exceeded", 503: "service_unavailable", 500: "server_error", 418: "client_error",
	} {
		code, _, _ := answer(intercomtest.Fault{Status: status}).error(t)
		require.Equal(t, want, code)
	}
	r := answer(intercomtest.Fault{Status: 502, Body: "<html>", NoRateHeaders: true, Header: http.Header{"retry-after": {"3"}}})
	require.Equal(t, "<html>", string(r.body))
	require.Contains(t, r.header.Get("Content-Type"), "text/html")
	require.Empty(t, r.header.Get("X-RateLimit-Limit"))
	require.Equal(t, "3", r.header.Get("Retry-After"))
	r = answer(intercomtest.Fault{Status: 200, Body: `{"type":"x"}`, Header: http.Header{"Content-Type": {"text/plain"}}})
	require.Equal(t, "text/plain", r.header.Get("Content-Type"))
	require.NotEmpty(t, r.header.Get("X-RateLimit-Limit"))
	require.Empty(t, answer(intercomtest.Fault{Status: 503, NoBody: true}).body)
}

func TestLatencyIsWaitedOutInABubble(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t, intercomtest.Config{})
		f.InjectFault(intercomtest.Fault{Latency: 20 * time.Second, Nth: 1})
		start := time.Now()
		f.create(inapp)
		require.Equal(t, 20*time.Second, time.Since(start))
		require.Equal(t, 20*time.Second, f.Requests()[0].Duration)
	})
}
