package main

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/intercom-dispatch/intercom-dispatch/intercom/intercomtest"
)

// private is in the text of every message here, and must be in no output.
const private = "PRIVATETEXT"

// badLine is a line that must be refused.
type badLine struct {
	line   string
	key    string // as far as it can be read
	status string // "invalid" if empty
	says   []string
}

func badLines() map[string]badLine {
	good := inApp("k", "ada", private)
	with := func(field string) string { return strings.TrimSuffix(good, "}") + "," + field + "}" }
	in := func(old, new string) string { return strings.Replace(good, old, new, 1) }
	past := time.Now().Add(-time.Hour).Format(time.RFC3339)
	long := strings.Repeat("k", 5000)
	return map[string]badLine{
		"not JSON":      {line: private + " is not JSON", says: []string{"not a JSON object"}},
		"cut short":     {line: good[:len(good)-20], says: []string{"not a JSON object", "ends too early"}},
		"an array":      {line: "[" + good + "]", says: []string{"not a JSON object", "a JSON array"}},
		"null":          {line: "null", says: []string{"not one JSON object"}},
		"unknown field": {line: with(`"prio":"high"`), key: "k", says: []string{"prio", "is not a field", "priority"}},
		"unknown message field": {
			line: in(`"body"`, `"colour":"red","body"`), key: "k", says: []string{"message.colour", "is not a field", "body"},
		},
		"no body":               {line: in(`"body":"`+private+`",`, ""), key: "k", says: []string{"message.body", "is required"}},
		"no message":            {line: `{"key":"k"}`, key: "k", says: []string{"message", "is required"}},
		"unknown message type":  {line: in("in_app", "carrier_pigeon"), key: "k", says: []string{"message.message_type", "in_app"}},
		"long key":              {line: in(`"k"`, `"`+long+`"`), key: long, says: []string{"key", "5000 bytes", "255"}},
		"huge body":             {line: in(private, strings.Repeat(private, 20<<20/len(private))), says: []string{"bytes", "1048576"}},
		"large body":            {line: in(private, strings.Repeat(private, 1100<<10/len(private))), key: "k", says: []string{"message is", "1048576", "shorten"}},
		"expired":               {line: with(`"expires_at":"` + past + `"`), key: "k", says: []string{"expires_at", "in the past"}},
		"unknown priority":      {line: with(`"priority":"urgent"`), key: "k", says: []string{"priority", "high, normal or bulk"}},
		"unknown policy":        {line: with(`"if_uncertain":"shrug"`), key: "k", says: []string{"if_uncertain", "resend or hold"}},
		"key is a number":       {line: in(`"k"`, `1042`), says: []string{"key", "must be a string"}},
		"at is a number":        {line: with(`"at":1782000000`), key: "k", says: []string{"at", "must be a string such as"}},
		"at is no time":         {line: with(`"at":"tomorrow"`), key: "k", says: []string{"at", "is not a time such as"}},
		"metadata is a list":    {line: with(`"metadata":["a"]`), key: "k", says: []string{"metadata", "must be an object"}},
		"metadata of numbers":   {line: with(`"metadata":{"a":1}`), key: "k", says: []string{"metadata", "strings"}},
		"message is a string":   {line: `{"key":"k","message":"` + private + `"}`, key: "k", says: []string{"message must be a JSON object"}},
		"body is a number":      {line: in(`"`+private+`"`, "5"), key: "k", says: []string{"message.body", "must be a string"}},
		"contact_wait":          {line: with(`"contact_wait":600`), key: "k", says: []string{"contact_wait", "must be a string such as"}},
		"contact_wait's unit":   {line: with(`"contact_wait":"10 minutes"`), key: "k", says: []string{"contact_wait", "10m"}},
		"two objects":           {line: good + " " + good, says: []string{"not one JSON object", "one message"}},
		"something behind":      {line: good + "}", says: []string{"not one JSON object", "one message"}},
		"invalid UTF-8":         {line: in(private, private+"\xff"), says: []string{"not valid UTF-8"}},
		"key in invalid UTF-8":  {line: in(`"k"`, "\"k\xff\""), says: []string{"not valid UTF-8"}},
		"order_key is a number": {line: with(`"order_key":7`), key: "k", says: []string{"order_key", "must be a string"}},
		"if_held, no order":     {line: with(`"if_held":"pass"`), key: "k", says: []string{"if_held", "order_key"}},
		"unknown if_held":       {line: with(`"order_key":"o","if_held":"wait"`), key: "k", says: []string{"if_held", "block or pass"}},
	}
}

func TestEnqueueRefusesBadLinesAndDeliversTheOthers(t *testing.T) {
	t.Parallel()
	s := newSite(t, everybody())
	s.worker()
	bad := badLines()
	var text strings.Builder
	names, wanted := map[int]string{}, []string{}
	number := 0
	for name, b := range bad {
		number++
		names[number] = name
		text.WriteString(b.line + "\n")
		number++
		key := fmt.Sprintf("good-%d", number)
		wanted = append(wanted, key)
		// Blank lines count as lines, and a CR is part of the line's end.
		text.WriteString(inApp(key, "ada", private+key) + "\r\n\n \t \r\n")
		number += 2
	}
	number++
	text.WriteString(inApp("last", "ada", private+"last"))
	wanted = append(wanted, "last")

	r := s.finish("enqueue", writeFile(t, text.String()), "--json")
	require.Equal(t, 1, r.status)
	results := decodeLines[lineResult](t, r.stdout)
	require.Len(t, results, len(names)+len(wanted))
	line, keys := 0, []string{}
	for _, got := range results {
		require.Greater(t, got.Line, line, "in order")
		line = got.Line
		if name, isBad := names[got.Line]; isBad {
			checkRefused(t, name, bad[name], got)
		} else {
			require.Equal(t, lineResult{Line: got.Line, Key: got.Key, Status: "enqueued"}, got)
			keys = append(keys, got.Key)
		}
	}
	require.Equal(t, number, line, "the last line has no line end")
	require.Equal(t, wanted, keys)
	require.NotContains(t, r.stdout+r.stderr, private)
	require.Contains(t, r.stderr, fmt.Sprintf("%d enqueued", len(wanted)))
	require.Len(t, s.awaitCreated(len(wanted), patience), len(wanted))
}

func checkRefused(t *testing.T, name string, b badLine, got lineResult) {
	t.Helper()
	if b.status == "" {
		b.status = "invalid"
	}
	require.Equal(t, b.status, got.Status, name)
	require.Equal(t, b.key, got.Key, name)
	require.NotContains(t, got.Error, "\n", name)
	require.NotContains(t, got.Error, "Go value", name)
	require.Less(t, len(got.Error), 400, name)
	for _, says := range b.says {
		require.Contains(t, got.Error, says, name)
	}
}

func TestEnqueueTellsPeopleWhichLinesWereRefused(t *testing.T) {
	t.Parallel()
	s := newSite(t, everybody())
	r := s.finish("enqueue", s.file(
		inApp("one", "ada", private),
		inApp("two", "ada", private, `,"colour":"red"`),
		private,
		inApp("one", "ada", private),
		inApp("one", "ada", private+" and more"),
	))
	require.Equal(t, 1, r.status)
	require.Equal(t, "1 enqueued, 1 duplicates, 1 conflicts, 2 invalid, 0 errors\n", r.stdout)
	lines := strings.Split(strings.TrimSpace(r.stderr), "\n")
	require.Len(t, lines, 3)
	require.Regexp(t, `^line 2 \(key "two"\): invalid: colour is not a field`, lines[0])
	require.Regexp(t, `^line 3: invalid: not a JSON object`, lines[1])
	require.Regexp(t, `^line 5 \(key "one"\): conflict: .*another message`, lines[2])
	require.NotContains(t, r.stdout+r.stderr, private)
}

func TestEnqueueingAgainSendsNothingAgain(t *testing.T) {
	t.Parallel()
	s := newSite(t, everybody())
	s.worker()
	once := inApp("order-1", "ada", "Your order is on its way", `,"metadata":{"order":"1"}`)
	s.enqueue(once)
	s.awaitState("order-1", "sent")

	r := s.finish("enqueue", s.file(once), "--json")
	require.Equal(t, 0, r.status)
	require.Equal(t, []lineResult{{Line: 1, Key: "order-1", Status: "duplicate"}}, decodeLines[lineResult](t, r.stdout))

	r = s.finish("enqueue", s.file(inApp("order-1", "ada", private)), "--json")
	require.Equal(t, 1, r.status)
	conflict := decodeLines[lineResult](t, r.stdout)[0]
	require.Equal(t, "conflict", conflict.Status)
	require.Contains(t, conflict.Error, `"order-1" belongs to another message, which is sent`)
	require.NotContains(t, r.stdout+r.stderr, private)

	// A message behind them shows that the worker had its chance.
	s.enqueue(inApp("order-2", "ada", "Another"))
	s.awaitState("order-2", "sent")
	require.Len(t, s.fake.Created(), 2)
}

func TestEnqueueTakesLinesAsTheyCome(t *testing.T) {
	t.Parallel()
	s := newSite(t, everybody())
	c := s.call("enqueue", "--json")
	c.pipe = true
	p := start(t, c)
	send := func(key string) {
		_, err := fmt.Fprintln(p.stdin, inApp(key, "ada", key))
		require.NoError(t, err)
	}
	taken := func(key string) {
		p.stdout.await(t, "the result of "+key, func(line string) bool {
			return decodeLines[lineResult](t, line)[0].Key == key
		})
	}
	// The program takes a moment to start.
	send("first")
	taken("first")
	for _, key := range []string{"second", "third"} {
		began := time.Now()
		send(key)
		taken(key)
		require.Less(t, time.Since(began), time.Second)
		require.Equal(t, "queued", s.records(key)[0].State)
	}
	require.NoError(t, p.stdin.Close())
	require.Equal(t, 0, p.status())
}

func TestEnqueueThatIsInterruptedSaysHowToGoOn(t *testing.T) {
	t.Parallel()
	s := newSite(t, intercomtest.Config{})
	c := s.call("enqueue")
	c.pipe = true
	p := start(t, c)
	_, err := fmt.Fprintln(p.stdin, "{}")
	require.NoError(t, err)
	p.stderr.await(t, "the refused line", func(line string) bool { return strings.HasPrefix(line, "line 1") })
	p.signal(os.Interrupt)
	require.Equal(t, 1, p.status())
	require.Contains(t, p.stderr.String(), "interrupted after 1 lines: run it again")
}

func TestEnqueueReadsStandardInputAndEmptyInput(t *testing.T) {
	t.Parallel()
	s := newSite(t, intercomtest.Config{})
	for _, args := range [][]string{{"enqueue"}, {"enqueue", "-"}} {
		c := s.call(args...)
		c.stdin = strings.NewReader("\n\n")
		r := finish(t, c)
		require.Equal(t, result{stdout: "0 enqueued, 0 duplicates, 0 conflicts, 0 invalid, 0 errors\n"}, r)
	}
}
