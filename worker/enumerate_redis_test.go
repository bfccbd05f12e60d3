package worker_test

import (
	"flag"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/intercom-dispatch/intercom-dispatch/intercom/intercomtest"
)

// firstAnswers are what becomes of the first request.
var firstAnswers = map[string]struct {
	fault intercomtest.Fault
	// unknown tells that the answer does not say whether the message exists.
	// It does, then.
	unknown, refused bool
}{
	"200":       {},
	"404":       {fault: intercomtest.Fault{Status: 404, Times: 1}},
	"422":       {fault: intercomtest.Fault{Status: 422}, refused: true},
	"429":       {fault: intercomtest.Fault{Status: 429, Times: 1}},
	"500-after": {fault: intercomtest.Fault{Status: 500, AfterCreate: true, Times: 1}, unknown: true},
	"cut-after": {fault: intercomtest.Fault{Cut: intercomtest.CutAfterCreate, Times: 1}, unknown: true},
}

// redisCase is a message of a kind whose first request is answered in a way,
// and a fault at the n-th command.
type redisCase struct {
	kind, answer string
	fault        redisFault
	at           int
	command      string
}

func (c redisCase) String() string {
	if c.fault == noFault {
		return words(c.kind, c.answer)
	}
	return words(c.kind, c.answer, fmt.Sprintf("%02d", c.at), c.command, c.fault)
}

// allFaults has TestAFaultAtEveryRedisCommand leave nothing out, which takes
// about two minutes.
var allFaults = flag.Bool("enumerate.all", false, "play every fault at every Redis command of every kind of delivery")

func redisFaults() []redisFault {
	return []redisFault{notSent, answerLost, sentTwice, redisAway, crashBefore, crashAfter}
}

// sameCommandsAs are the answers after which a worker does to Redis what it
// does after another one.
var sameCommandsAs = map[string]string{"cut-after": "500-after"}

// leftOut tells whether a case is like another one: the same commands after
// another answer, or a worker that lives on and never asks for the policy.
func (c redisCase) leftOut() bool {
	if sameCommandsAs[c.answer] != "" {
		return true
	}
	crash := c.fault == crashBefore || c.fault == crashAfter
	return !crash && c.kind != resends && (c.answer == "404" || c.answer == "422" || c.answer == "429")
}

// TestAFaultAtEveryRedisCommand delivers a message once to learn which commands
// that takes, and then again for each of them and each fault. Run with -v, it
// tells the commands.
//
//nolint:paralleltest // It keeps the machine busy: tests that know times run after it.
func TestAFaultAtEveryRedisCommand(t *testing.T) {
	s := newStand(t)
	var recordings, cases []redisCase
	for _, kind := range kindsOfMessages() {
		for answer := range firstAnswers {
			recordings = append(recordings, redisCase{kind: kind, answer: answer, fault: noFault})
		}
	}
	var mu sync.Mutex
	recorded := map[string][]string{}
	each(t, s, recordings, func(t *testing.T, c redisCase) {
		commands := s.play(t, c)
		t.Log(strings.Join(commands, ", "))
		mu.Lock()
		defer mu.Unlock()
		recorded[c.String()] = commands
	})
	for _, c := range recordings {
		commands := recorded[c.String()]
		require.NotEmpty(t, commands)
		require.NotContains(t, strings.Join(commands, " "), "script of", "a script is not known by its name")
		if answer, same := sameCommandsAs[c.answer]; same {
			require.Equal(t, recorded[redisCase{kind: c.kind, answer: answer, fault: noFault}.String()], commands)
		}
		for i, command := range commands {
			for _, fault := range redisFaults() {
				c := redisCase{kind: c.kind, answer: c.answer, fault: fault, at: i + 1, command: command}
				if *allFaults || !c.leftOut() {
					cases = append(cases, c)
				}
			}
		}
	}
	t.Logf("%d cases", len(cases))
	each(t, s, cases, func(t *testing.T, c redisCase) { s.play(t, c) })
}

// play delivers a message and checks what became of it. It returns the
// commands that this took.
func (s *stand) play(t *testing.T, rc redisCase) []string {
	t.Helper()
	c := s.single(t, rc.kind)
	answer := firstAnswers[rc.answer]
	if f := answer.fault; f.Status != 0 || f.Cut != 0 {
		f.Contact = c.key
		s.InjectFault(f)
	}
	tapped := newTap(s.rdb, c.key, rc.fault, rc.at)
	rdb := s.redis.Client(t)
	rdb.AddHook(tapped)
	c.enqueue()
	c.run(rdb, c.client(s.url), enumRequestTimeout)
	t.Cleanup(func() { close(tapped.ended) })

	is := truth{unknown: answer.unknown, refused: answer.refused}
	if answer.unknown {
		is.copies = 1
	}
	if rc.fault == crashBefore || rc.fault == crashAfter {
		c.succeed(tapped, &is)
	}
	r := c.atRest()
	commands := tapped.made()
	t.Log(commands)
	require.GreaterOrEqual(t, len(commands), rc.at, "the command at which the fault was to happen was not made")
	if rc.at > 0 {
		require.Equal(t, rc.command, commands[rc.at-1])
	}
	c.check(r, is)
	return commands
}

// succeed has another worker take over from one that crashes. What that one
// was doing is unknown to all if it had begun an attempt and not recorded what
// came of it.
func (c *single) succeed(crashed *tap, is *truth) {
	c.t.Helper()
	select {
	case <-crashed.died:
	case <-c.t.Context().Done():
		return
	}
	begun, open := crashed.attempts()
	if open {
		is.unknown = true
		requests := c.requests()
		if len(requests) == begun {
			if last := requests[begun-1]; last.CreatedMessageID != "" && last.Status == http.StatusOK {
				is.copies++
			}
		}
		if c.kind == holds && len(requests) == 0 {
			is.copies = 0 // No request is made any more that could meet the fault.
		}
	}
	c.run(c.rdb, c.client(c.url), enumRequestTimeout)
}
