package main

import (
	"encoding/json"
	"errors"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/intercom-dispatch/intercom-dispatch/intercom"
)

func TestPercentiles(t *testing.T) {
	t.Parallel()
	values := []float64{30, 10, 20}
	require.InDelta(t, 20, median(values), 1e-9)
	require.InDelta(t, 25, percentile(values, 75), 1e-9)
	require.InDelta(t, 30, percentile(values, 100), 1e-9)
	require.InDelta(t, 15, median([]float64{20, 10}), 1e-9)
	require.True(t, math.IsNaN(median(nil)))
	require.Equal(t, []float64{30, 10, 20}, values, "it does not sort the caller's")
}

func TestARatioThatSaysNothingIsNone(t *testing.T) {
	t.Parallel()
	require.InDelta(t, 1.5, ratio(3, 2), 1e-9)
	for _, pair := range [][2]float64{{1, 0}, {1, -1}, {math.NaN(), 1}, {1, math.NaN()}} {
		require.True(t, math.IsNaN(ratio(pair[0], pair[1])), pair)
	}
}

func TestNumbersAreReadable(t *testing.T) {
	t.Parallel()
	for want, got := range map[string]string{
		"-":            number(math.NaN(), 1),
		"0":            number(0.4, 0),
		"999":          number(999, 0),
		"1,000":        number(999.6, 0),
		"1,234,567.50": number(1234567.5, 2),
		"-1,000":       number(-1000, 0),
	} {
		require.Equal(t, want, got)
	}
}

func TestTheReportHasMediansAndRatios(t *testing.T) {
	t.Parallel()
	r := &report{about: "About.", results: []result{
		{line{name: "rate"}, map[string][]float64{sideOurs: {1, 3, 2}, sidePlain: {1, 1, 1}}},
		{line{name: "late", signed: true}, map[string][]float64{sideOurs: {5}, sidePlain: {1}}},
	}}
	var text strings.Builder
	require.NoError(t, r.write(&text))
	require.Equal(t, `About.

|      | ours | plain asynq | ratio |
|------|-----:|------------:|------:|
| rate |    2 |           1 |  2.00 |
| late |    5 |           1 |     - |
`, text.String())

	text.Reset()
	require.NoError(t, r.writeJSON(&text))
	var doc struct {
		Lines []struct {
			Ours   *float64             `json:"ours"`
			Ratio  *float64             `json:"ratio"`
			Rounds map[string][]float64 `json:"rounds"`
		} `json:"lines"`
	}
	require.NoError(t, json.Unmarshal([]byte(text.String()), &doc))
	require.InDelta(t, 2, *doc.Lines[0].Ours, 1e-9)
	require.Nil(t, doc.Lines[1].Ratio)
	require.Equal(t, []float64{1, 3, 2}, doc.Lines[0].Rounds[sideOurs])
}

func TestAMessageHasItsLengthAndItsNumber(t *testing.T) {
	t.Parallel()
	items, err := newItems(41, 2)
	require.NoError(t, err)
	require.NotEqual(t, items[0].key, items[1].key)
	text, err := json.Marshal(items[1].message)
	require.NoError(t, err)
	require.Len(t, text, messageBytes)
	require.NoError(t, items[1].message.Validate())
	number, body, ok := numberOf(text)
	require.True(t, ok)
	require.Equal(t, 42, number)
	require.Equal(t, items[1].message.Body, string(body))
	for _, other := range []string{"", `{"body":"#1`, `{"body":"#0000001x "}`, `{"body":"hello world"}`} {
		_, _, ok := numberOf([]byte(other))
		require.False(t, ok, other)
	}
}

func TestTheFakeCountsWhatArrivesTwice(t *testing.T) {
	t.Parallel()
	f := &fake{arrivedAt: make([]int64, 2)}
	post := func(number int) *httptest.ResponseRecorder {
		m, err := newMessage(number)
		require.NoError(t, err)
		text, err := json.Marshal(m)
		require.NoError(t, err)
		w := httptest.NewRecorder()
		f.create(w, httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/messages", strings.NewReader(string(text))))
		return w
	}
	answer := post(1)
	var created struct {
		ID   string `json:"id"`
		Body string `json:"body"`
	}
	require.NoError(t, json.NewDecoder(answer.Body).Decode(&created))
	require.Equal(t, "403918001", created.ID)
	require.Contains(t, created.Body, "#00000001 ")
	require.NotEmpty(t, answer.Header().Get("X-RateLimit-Remaining"))
	require.Equal(t, http.StatusOK, post(1).Code)
	require.Equal(t, http.StatusOK, post(0).Code)
	require.Equal(t, http.StatusBadRequest, post(2).Code)

	w := httptest.NewRecorder()
	f.created(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/bench/created?n=2", http.NoBody))
	var c creation
	require.NoError(t, json.NewDecoder(w.Body).Decode(&c))
	require.Equal(t, 2, c.Created)
	require.Equal(t, 1, c.Duplicates)
	require.Equal(t, f.order[1], c.At)
}

// standing answers all at once, but nothing for a second at first.
type standing struct{ goes <-chan time.Time }

func (s *standing) RoundTrip(r *http.Request) (*http.Response, error) {
	<-s.goes
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	status := http.StatusOK
	if !intercom.VerifySignature(body, r.Header.Get(intercom.SignatureHeader), webhookSecret) {
		status = http.StatusUnauthorized
	}
	return &http.Response{StatusCode: status, Body: http.NoBody, Request: r}, nil
}

func TestAnswersCountFromWhenTheirNotificationsWereDue(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		all := newNotifications(7, 20)
		all[19].signature = "sha1="
		goes := make(chan time.Time)
		time.AfterFunc(time.Second, func() { close(goes) })
		answers := post(t.Context(), &standing{goes}, "http://receiver.invalid", all, 10)
		require.Len(t, answers, 20)
		for n, a := range answers {
			require.Equal(t, max(0, time.Second-time.Duration(n)*time.Second/10), a.took, n)
		}
		require.Equal(t, http.StatusOK, answers[18].status)
		require.Equal(t, http.StatusUnauthorized, answers[19].status)
	})
}

func TestFlags(t *testing.T) {
	t.Parallel()
	o, err := parseOptions([]string{"-short", "-only", "idle"}, io.Discard)
	require.NoError(t, err)
	require.Equal(t, 1, o.rounds)
	require.True(t, o.only.MatchString("idle: p50"))
	for _, args := range [][]string{{"x"}, {"-rounds", "0"}, {"-only", "("}, {"-messages", "1"}, {"-what"}} {
		_, err := parseOptions(args, io.Discard)
		require.Error(t, err, args)
	}
	_, err = parseOptions([]string{"-h"}, io.Discard)
	require.NoError(t, flagError(err))
	require.Error(t, flagError(errors.New("another")))
}
