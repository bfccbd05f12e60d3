package replies_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"github.com/intercom-dispatch/intercom-dispatch/intercom"
	"github.com/intercom-dispatch/intercom-dispatch/intercom/intercomtest"
	"github.com/intercom-dispatch/intercom-dispatch/internal/redistest"
	"github.com/intercom-dispatch/intercom-dispatch/ledger"
	"github.com/intercom-dispatch/intercom-dispatch/replies"
)

// TestWithoutWebhooksEveryReplyIsFound has Intercom's search lag behind, as it
// does.
func TestWithoutWebhooksEveryReplyIsFound(t *testing.T) {
	t.Parallel()
	redistest.EachAndCluster(t, func(t *testing.T, s *redistest.Server) {
		p := newPolling(t, s, intercomtest.Config{IndexLag: 3 * time.Second})
		const n = 50
		ids := p.many(n)
		p.poll(p.config(), every(500*time.Millisecond))
		p.searched(1)
		given := map[string]intercomtest.ReplyInfo{}
		for key, id := range ids {
			given[key] = p.reply(id, answer+" "+key)
		}
		for range n {
			e := p.event()
			info := given[e.Key]
			require.NotEmpty(t, info.PartID, "the event of %s came twice", e.Key)
			delete(given, e.Key)
			require.WithinDuration(t, info.At, e.Time, time.Second)
			require.Equal(t, "<p>"+answer+" "+e.Key+"</p>", e.HTML)
			key := e.Key
			e.ID, e.Time, e.HTML = "", time.Time{}, ""
			require.Equal(t, replies.Event{
				Version: replies.EventVersion, Workspace: "main", Key: key, Metadata: map[string]string{"order": "1042"},
				MessageID: ids[key], ConversationID: info.ConversationID, PartID: info.PartID,
				ContactID: "ada", AuthorType: "user", Text: answer + " " + key, First: true, MatchedBy: replies.MatchedBySearch,
			}, e)
			r := p.lookup(key)
			require.Equal(t, ledger.Replied, r.State)
			require.Equal(t, info.ConversationID, r.ConversationID)
			require.WithinDuration(t, info.At, r.RepliedAt, time.Second)
		}
		require.Len(t, p.reads(), n, "each conversation is read once")

		later := p.reply(ids["k-7"], "One more thing")
		e := p.event()
		require.Equal(t, later.PartID, e.PartID)
		require.False(t, e.First)
		p.searched(2)
		require.Len(t, p.reads(), n+1)
		require.EqualValues(t, n+1, p.stream())
	})
}

// TestAReplyIsOneEventWhoeverFindsItFirst has webhooks as well.
func TestAReplyIsOneEventWhoeverFindsItFirst(t *testing.T) {
	t.Parallel()
	for name, webhooksFirst := range map[string]bool{"webhook": true, "search": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			redistest.Each(t, func(t *testing.T, s *redistest.Server) {
				p := newPolling(t, s, intercomtest.Config{})
				p.fake.SetWebhookURL(p.webhookURL())
				registry := prometheus.NewRegistry()
				cfg := p.config()
				cfg.Metrics = registry
				const n = 30
				for _, id := range p.many(n) {
					p.reply(id, answer)
				}
				found := func(outcome string) int { return metric(t, registry, "dispatch_poll_replies_total", outcome) }
				if webhooksFirst {
					p.run()
				} else {
					p.poll(cfg, once())
				}
				for range n {
					require.Equal(t, name, p.event().MatchedBy)
				}
				if webhooksFirst {
					p.poll(cfg, once())
					p.eventually(func() bool { return found("repeated") == n }, "the poller does not find them as well")
				} else {
					p.run()
					p.eventually(func() bool { _, repeated := p.outcomes(); return repeated == n }, "the matcher does not find them as well")
				}
				require.EqualValues(t, n, p.stream())
				require.Empty(t, p.events)
			})
		})
	}
}

// TestPollersShareTheWork counts what each message has been searched for.
func TestPollersShareTheWork(t *testing.T) {
	t.Parallel()
	pollOnEach(t, func(t *testing.T, p *polling) {
		t.Helper()
		// More than one page of one search has conversations.
		const n, answered = 320, 160
		ids := p.many(n)
		for i := range answered {
			p.reply(ids[fmt.Sprintf("k-%d", i)], answer)
		}
		taps := &tap{Conversations: p.client}
		cfg := p.config()
		cfg.Intercom = taps
		for range 4 {
			p.poll(cfg, once())
		}
		seen := map[string]bool{}
		for range answered {
			e := p.event()
			require.False(t, seen[e.Key], e.Key)
			seen[e.Key] = true
		}
		p.eventually(func() bool { return len(p.dueNow()) == 0 }, "some are not looked at")
		require.EqualValues(t, answered, p.stream())
		times := map[string]int{}
		for _, r := range taps.searches() {
			require.NoError(t, r.Validate())
			require.Equal(t, intercom.MaxPerPage, r.PerPage)
			for _, id := range askedFor(t, r) {
				if r.StartingAfter == "" {
					times[id]++
				}
			}
		}
		require.Len(t, times, n)
		for id, n := range times {
			require.Equal(t, 1, n, "searches for %s", id)
		}
		require.Len(t, p.reads(), answered)
	})
}

// askedFor reads the message ids of a search.
func askedFor(t *testing.T, r intercom.SearchRequest) (ids []string) {
	t.Helper()
	b, err := json.Marshal(r)
	require.NoError(t, err)
	var doc struct {
		Query struct {
			Operator string `json:"operator"`
			Value    []struct {
				Field    string   `json:"field"`
				Operator string   `json:"operator"`
				Value    []string `json:"value"`
			} `json:"value"`
		} `json:"query"`
	}
	require.NoError(t, json.Unmarshal(b, &doc))
	require.Equal(t, "OR", doc.Query.Operator)
	for _, f := range doc.Query.Value {
		require.Equal(t, "source.id IN", f.Field+" "+f.Operator)
		require.LessOrEqual(t, len(f.Value), 15)
		ids = append(ids, f.Value...)
	}
	return ids
}

// TestAPollerThatIsToldToStopGivesBackWhatItHas ends one in mid-request.
func TestAPollerThatIsToldToStopGivesBackWhatItHas(t *testing.T) {
	t.Parallel()
	for name, path := range map[string]string{"search": "/conversations/search", "read": "/conversations/5*"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			pollOnEach(t, func(t *testing.T, p *polling) {
				t.Helper()
				const n = 20
				for _, id := range p.many(n) {
					p.reply(id, answer)
				}
				p.fake.InjectFault(intercomtest.Fault{Path: path, Nth: 1, Latency: time.Hour})
				ctx, cancel := context.WithCancel(t.Context())
				done := make(chan error, 1)
				go func() { done <- p.poller(p.config(), once()).Run(ctx) }()
				arrived := p.fake.Log().Arrived
				waiting, end := context.WithTimeout(t.Context(), patience)
				defer end()
				require.NoError(t, p.fake.WaitFor(waiting, func(l intercomtest.Log) bool {
					return l.Arrived > arrived && int64(len(l.Requests)) < l.Arrived
				}))
				p.eventually(func() bool { l := p.fake.Log(); return l.Arrived > int64(len(l.Requests)) }, "no request hangs")
				time.Sleep(50 * time.Millisecond)
				cancel()
				require.NoError(t, <-done)
				p.fake.ClearFaults()
				require.NotEmpty(t, p.dueNow())
				p.poll(p.config(), once())
				for range n {
					p.event()
				}
				p.eventually(func() bool { return len(p.dueNow()) == 0 }, "some are not looked at")
				require.EqualValues(t, n, p.stream())
			})
		})
	}
}

// dueNow are the messages that somebody should look at.
func (p *polling) dueNow() []string {
	p.t.Helper()
	now, err := p.rdb.Time(p.t.Context()).Result()
	require.NoError(p.t, err)
	return p.inSet(strconv.FormatInt(now.UnixMilli(), 10))
}

func TestADeadPollersMessagesAreLookedAtByAnother(t *testing.T) {
	t.Parallel()
	pollOnEach(t, func(t *testing.T, p *polling) {
		t.Helper()
		id := p.many(1)["k-0"]
		p.reply(id, answer)
		claimed, err := p.ledger.ClaimPolls(t.Context(), ledger.PollClaim{Limit: 10, Lease: 2 * time.Second})
		require.NoError(t, err)
		require.Len(t, claimed.Polls, 1)
		p.poll(p.config(), once())
		require.Equal(t, "k-0", p.event().Key)
	})
}

func TestOnlyWhatAContactWroteIsFound(t *testing.T) {
	t.Parallel()
	pollOnEach(t, func(t *testing.T, p *polling) {
		t.Helper()
		id := p.many(1)["k-0"]
		p.reply(id, answer)
		taps := &tap{Conversations: p.client, conversation: func(c *intercom.Conversation) {
			user := c.ConversationParts.Parts[0]
			var parts []intercom.ConversationPart
			for _, author := range []string{"admin", "bot", "team", "user"} {
				part := user
				part.ID, part.Author.Type = intercom.ID(author), author
				parts = append(parts, part)
			}
			empty := user
			empty.ID, empty.Body = "empty", ""
			c.ConversationParts.Parts = append(parts, empty)
		}}
		cfg := p.config()
		cfg.Intercom = taps
		p.poll(cfg, every(100*time.Millisecond))
		require.Equal(t, "user", p.event().PartID)
		p.searched(3)
		require.EqualValues(t, 1, p.stream())
	})
}

// TestAConversationWithoutAReplyIsNotRead is about messages that open one.
func TestAConversationWithoutAReplyIsNotRead(t *testing.T) {
	t.Parallel()
	pollOnEach(t, func(t *testing.T, p *polling) {
		t.Helper()
		id := p.opened("k")
		p.due()
		p.poll(p.config(), every(100*time.Millisecond))
		p.searched(5)
		require.Empty(t, p.reads())
		p.reply(id, answer)
		require.Equal(t, "k", p.event().Key)
	})
}

// opened is a message that was sent and has opened a conversation.
func (p *polling) opened(key string) (messageID string) {
	p.t.Helper()
	created, _, err := p.client.CreateMessage(p.t.Context(), &intercom.Message{
		MessageType: intercom.InApp, Body: "Is it?", From: intercom.FromAdmin(1), To: intercom.ToUser("ada"),
		CreateConversationWithoutContactReply: true,
	})
	require.NoError(p.t, err)
	require.NotEmpty(p.t, created.ConversationID)
	a, err := p.ledger.Begin(p.t.Context(), ledger.Task{Key: key, Enqueued: "e", Digest: "d"}, ledger.BeginOptions{Lease: time.Minute})
	require.NoError(p.t, err)
	require.NoError(p.t, p.ledger.CommitSent(p.t.Context(), a,
		ledger.SentOutcome{MessageID: string(created.ID), ConversationID: string(created.ConversationID)}))
	return string(created.ID)
}

// TestWhereIntercomKeepsNoStatisticsAnyChangeIsLookedAt and where it does not say
// when anything has changed, everything is.
func TestWhereIntercomKeepsNoStatisticsAnyChangeIsLookedAt(t *testing.T) {
	t.Parallel()
	for name, spoil := range map[string]func(*intercom.Conversation){
		"no statistics": func(c *intercom.Conversation) { c.Statistics = nil },
		"no times":      func(c *intercom.Conversation) { c.Statistics, c.UpdatedAt = nil, 0 },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPolling(t, redistest.Mini(t), intercomtest.Config{IndexLag: 3 * time.Second})
			id := p.opened("k")
			p.due()
			taps := &tap{Conversations: p.client, conversation: spoil, page: func(page *intercom.ConversationPage) {
				for i := range page.Conversations {
					spoil(&page.Conversations[i])
				}
			}}
			cfg := p.config()
			cfg.Intercom = taps
			p.poll(cfg, every(200*time.Millisecond))
			p.eventually(func() bool { return len(p.reads()) > 0 }, "it is not read")
			p.reply(id, answer)
			require.Equal(t, "k", p.event().Key)
			n := len(p.reads())
			p.searched(5)
			if name == "no statistics" {
				require.Equal(t, 2, n)
				require.Len(t, p.reads(), n)
			}
			require.EqualValues(t, 1, p.stream())
		})
	}
}

func TestWhatIsNotOursIsLeftAlone(t *testing.T) {
	t.Parallel()
	pollOnEach(t, func(t *testing.T, p *polling) {
		t.Helper()
		ids := p.many(2)
		require.NoError(t, p.rdb.Del(t.Context(), ledger.RecordKey("main", "k-1")).Err())
		for _, id := range ids {
			p.reply(id, answer)
		}
		taps := &tap{Conversations: p.client, page: func(page *intercom.ConversationPage) {
			foreign := page.Conversations[0]
			foreign.ID, foreign.Source.ID = "1", "no-message-of-ours"
			page.Conversations = append(page.Conversations, foreign, intercom.Conversation{ID: "2"})
		}}
		cfg := p.config()
		cfg.Intercom = taps
		p.poll(cfg, once())
		require.Equal(t, "k-0", p.event().Key)
		p.eventually(func() bool { return len(p.inSet("+inf")) == 1 }, "what has no record is still looked for")
		require.Len(t, p.reads(), 1)
		require.EqualValues(t, 1, p.stream())
	})
}

func TestAMessageIsLetGoInTheEnd(t *testing.T) {
	t.Parallel()
	pollOnEach(t, func(t *testing.T, p *polling) {
		t.Helper()
		p.many(300)
		p.poll(p.config(), func(poller *replies.Poller) {
			poller.SetPollSchedule(func(time.Time, *ledger.Poll) time.Time { return time.Time{} })
		})
		p.eventually(func() bool { return len(p.inSet("+inf")) == 0 }, "they are still looked for")
		require.Len(t, p.searches(), 2)
	})
}

// inSet are the messages whose next look is not after a time.
func (p *polling) inSet(until string) []string {
	p.t.Helper()
	found, err := p.rdb.ZRangeByScore(p.t.Context(), ledger.PollKey("main"), zRange(until)).Result()
	require.NoError(p.t, err)
	return found
}

func TestNewPollerNamesTheField(t *testing.T) {
	t.Parallel()
	rdb := redistest.Mini(t).Client(t)
	good := replies.PollerConfig{Redis: rdb, Intercom: &tap{}, Log: zap.NewNop()}
	_, err := replies.NewPoller(good)
	require.NoError(t, err)
	for field, spoil := range map[string]func(*replies.PollerConfig){
		"Redis":     func(c *replies.PollerConfig) { c.Redis = nil },
		"Intercom":  func(c *replies.PollerConfig) { c.Intercom = nil },
		"Log":       func(c *replies.PollerConfig) { c.Log = nil },
		"Share":     func(c *replies.PollerConfig) { c.RateShare = 2 },
		"workspace": func(c *replies.PollerConfig) { c.Workspace = "No Such" },
		"TTL":       func(c *replies.PollerConfig) { c.RecordTTL = time.Second },
		"Share 1.5": func(c *replies.PollerConfig) { c.Share = 1.5 },
	} {
		bad := good
		spoil(&bad)
		_, err := replies.NewPoller(bad)
		require.ErrorContains(t, err, field)
	}
}
