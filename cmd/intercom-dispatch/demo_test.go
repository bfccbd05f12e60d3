package main

import (
	"encoding/json"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestTheDemoTellsOfEachKindOfMessage(t *testing.T) {
	t.Parallel()
	began := time.Now()
	r := finish(t, call{args: []string{"demo"}})
	require.Equal(t, 0, r.status)
	require.Less(t, time.Since(began), 20*time.Second)
	require.Empty(t, r.stderr)
	for _, tells := range []string{
		`(?m)"welcome" is delivered at once: Intercom created message \d+`,
		`(?m)"receipt" is delivered at once`,
		`(?s)"newcomer" has to wait: 404 .*"newcomer" is delivered on attempt \d`,
		`(?m)"newsletter" is refused by Intercom for good: 403 .*unsubscribed`,
		`(?s)Contact ada answers "question".*The reply is matched to "question": conversation \d+, our own order=1042`,
		`(?m)^question +replied +1 +\d+ +\d+ +"Yes, please ship it!"$`,
		`(?m)^newsletter +failed +1 `, `(?m)^newcomer +sent +\d+ `, `(?m)^welcome +sent `, `(?m)^receipt +sent `,
	} {
		require.Regexp(t, tells, r.stdout)
	}
	require.NotContains(t, r.stdout, "Welcome aboard", "the text of messages is nobody's business")
}

func TestTheDemoTellsAFileOfOwnMessages(t *testing.T) {
	t.Parallel()
	lines := []string{
		inApp("mine", "appears-in-1s-jo", private), "{not JSON", "",
		strings.Replace(inApp("k", "ada", private), `"key":"k",`, "", 1),
		inApp("no body", "ada", ""),
	}
	r := finish(t, call{args: []string{"demo", "--file", writeFile(t, strings.Join(lines, "\r\n"))}})
	require.Equal(t, 1, r.status, "lines were refused")
	require.Regexp(t, `^line 2: not a JSON object.*\nintercom-dispatch: 1 of 3 messages were refused at once\n$`, r.stderr)
	require.Contains(t, r.stdout, `"no body" is refused at once: message.body is required`)
	require.Contains(t, r.stdout, `"mine" has to wait`)
	require.Regexp(t, `(?m)^mine +sent `, r.stdout)
	require.Regexp(t, `(?m)^line-4 +replied +1 .*"Thank you!"`, r.stdout)
	require.NotContains(t, r.stdout+r.stderr, private)

	r = finish(t, call{args: []string{"demo", "--file", writeFile(t, inApp("mine", "ada", private)+"\n")}})
	require.Equal(t, 0, r.status, r.stderr)
	r = finish(t, call{args: []string{"demo", "--file", writeFile(t, "[]\n")}})
	require.Equal(t, 1, r.status)
	require.Contains(t, r.stderr, "holds no message that can be sent")
}

func TestTheDemoStaysUntilItIsInterrupted(t *testing.T) {
	t.Parallel()
	lines := writeFile(t, inApp("mine", "ada", private)+"\n")
	p := start(t, call{args: []string{"demo", "--file", lines, "--stay", "--admin-addr", "127.0.0.1:0"}})
	url := awaitURL(t, p.stdout, `web UI is at (http://\S+)`)
	status, page := fetch(t, http.MethodGet, url, "")
	require.Equal(t, http.StatusOK, status)
	require.Contains(t, page, "<html")
	p.interrupt()
	require.Empty(t, p.stderr.String())
}

// awaitURL waits for a line and returns the URL in it.
func awaitURL(t *testing.T, o *output, pattern string) string {
	t.Helper()
	re := regexp.MustCompile(pattern)
	return re.FindStringSubmatch(o.await(t, pattern, re.MatchString))[1]
}

func TestDevRunsAllThatAServiceNeeds(t *testing.T) {
	t.Parallel()
	p := start(t, call{args: []string{
		"dev", "--redis-addr", "127.0.0.1:0", "--fake-addr", "127.0.0.1:0",
		"--webhook-addr", "127.0.0.1:0", "--admin-addr", "127.0.0.1:0",
	}})
	redisURL := awaitURL(t, p.stdout, `export REDIS_URL=(redis://\S+)`)
	fakeURL := awaitURL(t, p.stdout, `export INTERCOM_BASE_URL=(http://\S+)`)
	p.stdout.await(t, "the token", func(l string) bool { return strings.Contains(l, "export INTERCOM_ACCESS_TOKEN=dev_token") })
	p.stdout.await(t, "the secret", func(l string) bool { return strings.Contains(l, "export INTERCOM_CLIENT_SECRET=dev_secret") })
	webUI := awaitURL(t, p.stdout, `web UI +(http://\S+)`)

	env := []string{"REDIS_URL=" + redisURL}
	r := finish(t, call{args: []string{"enqueue"}, env: env, stdin: strings.NewReader(inApp("hello", "ada", "Hello Ada"))})
	require.Equal(t, 0, r.status, r.stderr)
	_, log := fetch(t, http.MethodGet, fakeURL+"/_fake/log?created=1&timeout=10s", "")
	var created struct {
		Created []struct {
			ID   string `json:"id"`
			Body string `json:"body"`
		} `json:"created"`
	}
	require.NoError(t, json.Unmarshal([]byte(log), &created))
	require.Len(t, created.Created, 1)
	require.Equal(t, "Hello Ada", created.Created[0].Body)

	// Its contacts answer, and the reply comes back.
	tail := start(t, call{args: []string{"replies", "tail", "--from-start"}, env: env})
	status, _ := fetch(t, http.MethodPost, fakeURL+"/_fake/replies", `{"message_id":"`+created.Created[0].ID+`","text":"Hi!"}`)
	require.Equal(t, http.StatusCreated, status)
	tail.stdout.await(t, "the reply", func(line string) bool {
		return decodeLines[replyEvent](t, line)[0].Text == "Hi!"
	})
	for path, says := range map[string]string{"/": "<html", "/healthz": "ok", "/readyz": `"redis"`, "/metrics": "dispatch_attempts_total"} {
		status, body := fetch(t, http.MethodGet, strings.TrimSuffix(webUI, "/")+path, "")
		require.Equal(t, http.StatusOK, status, path)
		require.Contains(t, body, says, path)
	}
	tail.interrupt()
	p.interrupt()
}

func TestTheFakeIntercomServesOtherLanguages(t *testing.T) {
	t.Parallel()
	p := start(t, call{args: []string{"fake-intercom", "--addr", "127.0.0.1:0", "--token", "t"}})
	url := awaitURL(t, p.stderr, `fake Intercom: (http://[^,\s]+)`)
	message := `{"message_type":"in_app","body":"Hello","from":{"type":"admin","id":1},"to":{"type":"user","id":"ada"}}`
	headers := []string{"Accept", "application/json", "Content-Type", "application/json", "Authorization"}

	status, answer := fetch(t, http.MethodPost, url+"/messages", message, headers[:4]...)
	require.Equal(t, http.StatusUnauthorized, status)
	require.Contains(t, answer, "error.list")
	status, _ = fetch(t, http.MethodPost, url+"/messages", message, append(headers, "Bearer x")...)
	require.Equal(t, http.StatusUnauthorized, status)
	status, answer = fetch(t, http.MethodPost, url+"/messages", message, append(headers, "Bearer t")...)
	require.Equal(t, http.StatusOK, status, answer)
	var created struct {
		ID string `json:"id"`
	}
	require.NoError(t, json.Unmarshal([]byte(answer), &created))
	_, log := fetch(t, http.MethodGet, url+"/_fake/log", "")
	require.Contains(t, log, `"id":"`+created.ID+`"`)
	p.interrupt()
}

func TestVersionIsOneLine(t *testing.T) {
	t.Parallel()
	r := finish(t, call{args: []string{"version"}})
	require.Equal(t, 0, r.status)
	require.Regexp(t, `^intercom-dispatch \S+\n$`, r.stdout)
	require.Empty(t, r.stderr)
}
