package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/intercom-dispatch/intercom-dispatch/intercom/intercomtest"
	"github.com/intercom-dispatch/intercom-dispatch/internal/redistest"
	"github.com/intercom-dispatch/intercom-dispatch/ledger"
)

func TestByteOrderMarkIsNoPartOfTheFirstLine(t *testing.T) {
	t.Parallel()
	var texts []string
	var numbers []int
	require.NoError(t, readLines(strings.NewReader("\ufeff{\"key\":\"a\"}\r\n\n\ufeffb"), func(l inputLine) bool {
		texts, numbers = append(texts, strings.TrimSpace(string(l.text))), append(numbers, l.number)
		return true
	}))
	require.Equal(t, []string{`{"key":"a"}`, "\ufeffb"}, texts)
	require.Equal(t, []int{1, 3}, numbers)
}

// counting counts what was read.
type counting struct {
	io.Reader

	read int
}

func (c *counting) Read(b []byte) (int, error) {
	n, err := c.Reader.Read(b)
	c.read += n
	return n, err
}

func TestLittleIsReadAheadHoweverLongTheLinesAre(t *testing.T) {
	t.Parallel()
	const ahead, longest = 256 << 10, 2 << 20
	for _, length := range []int{100, 900 << 10, 10 << 20} {
		line := strings.Repeat("x", length-1) + "\n"
		in := &counting{Reader: strings.NewReader(strings.Repeat(line, max(5, 2<<20/length)))}
		given := 0
		require.NoError(t, readBatches(in, func(b *batch) bool {
			given += b.read
			require.LessOrEqual(t, in.read-given, ahead)
			require.LessOrEqual(t, b.read, ahead+length)
			kept := 0
			for _, l := range b.lines {
				kept += len(l.text)
			}
			require.LessOrEqual(t, kept, ahead+longest)
			return true
		}))
		require.Equal(t, in.read, given)
	}
}

func TestALineDoesNotWaitForTheRestOfTheNext(t *testing.T) {
	t.Parallel()
	in, out := io.Pipe()
	batches := make(chan *batch, 10)
	go func() {
		defer close(batches)
		_ = readBatches(in, func(b *batch) bool {
			batches <- b
			return true
		})
	}()
	next := func() []string {
		select {
		case b := <-batches:
			var texts []string
			for _, l := range b.lines {
				texts = append(texts, string(bytes.TrimSpace(l.text)))
			}
			return texts
		case <-time.After(patience):
			require.FailNow(t, "no line comes")
			return nil
		}
	}
	for _, step := range []struct {
		write string
		gives []string
	}{{"a\nb\n\nc", []string{"a", "b"}}, {"c\n", []string{"cc"}}, {"d\n", []string{"d"}}} {
		_, err := io.WriteString(out, step.write)
		require.NoError(t, err)
		require.Equal(t, step.gives, next())
	}
	require.NoError(t, out.Close())
	_, more := <-batches
	require.False(t, more)
}

// TestALongFileKeepsItsOrder has more lines than are read, parsed and sent at
// once, with lines among them that are refused, and others that are in one of
// several orders. Enqueueing it again changes nothing.
func TestALongFileKeepsItsOrder(t *testing.T) {
	t.Parallel()
	redistest.Each(t, enqueueLongFile)
}

func enqueueLongFile(t *testing.T, server *redistest.Server) {
	t.Helper()
	lines := 5000
	if !server.Real() {
		lines = 400 // miniredis takes milliseconds for a script
	}
	s := newSiteOn(t, server, intercomtest.Config{})
	var file strings.Builder
	var keys []string
	orders := map[string][]string{}
	for i := range lines {
		if i%7 == 0 {
			file.WriteString("{}\n")
			continue
		}
		key, order := fmt.Sprintf("k%d", i+1), ""
		keys = append(keys, key)
		if n := i % 5; n > 0 {
			orderKey := fmt.Sprintf("contact-%d", n)
			orders[orderKey] = append(orders[orderKey], key)
			order = fmt.Sprintf(`,"order_key":%q`, orderKey)
		}
		file.WriteString(inApp(key, "ada", strings.Repeat("text ", 40), order) + "\n")
	}
	path := writeFile(t, file.String())
	for _, status := range []string{lineEnqueued, lineDuplicate} {
		r := s.finish("enqueue", path, "--json")
		require.Equal(t, 1, r.status)
		results := decodeLines[lineResult](t, r.stdout)
		require.Len(t, results, lines)
		for i, l := range results {
			require.Equal(t, i+1, l.Line)
			if i%7 == 0 {
				require.Equal(t, lineInvalid, l.Status)
				continue
			}
			require.Equal(t, lineResult{Line: i + 1, Key: fmt.Sprintf("k%d", i+1), Status: status}, l)
		}
		for orderKey, want := range orders {
			got, err := s.redis.Client(t).ZRange(t.Context(), ledger.OrderKey("main", orderKey), 0, -1).Result()
			require.NoError(t, err)
			require.Equal(t, want, got)
		}
	}
	queued, err := s.redis.Client(t).LRange(t.Context(), "asynq:{intercom-main-normal}:pending", 0, -1).Result()
	require.NoError(t, err)
	require.Len(t, queued, len(keys))
	for i, key := range keys {
		require.Equal(t, key, queued[len(queued)-1-i])
	}
}

func TestProgressShowsMessagesRateAndTimeLeft(t *testing.T) {
	t.Parallel()
	var terminal, out bytes.Buffer
	r := &resultPrinter{out: &out, errOut: &terminal, buffered: bufio.NewWriter(&out), bar: newBar(&terminal, 4<<20)}
	r.progress(1<<20, 3000)
	time.Sleep(2 * barInterval) // It is drawn by the clock.
	r.progress(1<<20, 6000)
	require.Regexp(t, `6000 messages, \d+/s +\d+% .*\[\ds:\ds\]`, terminal.String())
}
