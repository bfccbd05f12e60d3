package settle_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/intercom-dispatch/intercom-dispatch/intercom"
	"github.com/intercom-dispatch/intercom-dispatch/internal/settle"
)

var since = time.Date(2026, 11, 22, 15, 0, 0, 0, time.UTC)

func message(body string) *intercom.Message {
	return &intercom.Message{
		MessageType: intercom.InApp, Body: body, From: intercom.FromAdmin(7), To: intercom.ToUser("jo"),
		CreateConversationWithoutContactReply: true,
	}
}

// conversation is one that message(body) has opened.
func conversation(body string) *intercom.Conversation {
	return &intercom.Conversation{
		ID: "1", CreatedAt: intercom.UnixTime(since.Unix()),
		Source: intercom.Source{
			DeliveredAs: intercom.DeliveredAsAdminInitiated, Body: body,
			Author: intercom.Author{Type: "admin", ID: "7"},
		},
		Contacts: intercom.ConversationContacts{Contacts: []intercom.ContactReference{{ID: "jo", ExternalID: "70"}}},
	}
}

func TestBodyFitsWhatBecameOfIt(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct{ ours, theirs string }{
		"wrapped":                   {"Hello", "<p>Hello</p>"},
		"as it is":                  {"Hello", "Hello"},
		"HTML as text":              {"<h1>Hi</h1><p>One<br>two</p>", "Hi\n\nOne\ntwo"},
		"HTML as text in one line":  {"<h1>Hi</h1><p>One<br>two</p>", "Hi One two"},
		"HTML as text without gaps": {"<h1>Hi</h1>\n<p>One<br>two</p>", "HiOnetwo"},
		"cells":                     {"<table><tr><td>a</td><td>b</td></tr></table>", "ab"},
		"attributes":                {`<p style="color:red" class="x">Hi <b data-x="1">you</b></p>`, "<p>Hi <b>you</b></p>"},
		"autolink":                  {"See https://x.example/?a=1&b=2.", `<p>See <a href="https://x.example/?a=1&amp;b=2" rel="nofollow">https://x.example/?a=1&amp;b=2</a>.</p>`},
		"escaped":                   {`1 < 2 & "3" > 'x'`, "<p>1 &lt; 2 &amp; &quot;3&quot; &gt; &#39;x&#39;</p>"},
		"escaped twice":             {"Tom &amp; Jerry", "<p>Tom &amp;amp; Jerry</p>"},
		"escaped once":              {"Tom &amp; Jerry", "<p>Tom &amp; Jerry</p>"},
		"entity as text":            {"Tom &amp; Jerry", "Tom & Jerry"},
		"entity left in text":       {"Tom & Jerry", "Tom &amp; Jerry"},
		"tag in words":              {"&lt;b&gt; makes bold", "<b> makes bold"},
		"tag that was escaped":      {"Dear <Name>", "<p>Dear &lt;Name&gt;</p>"},
		"tag that was taken out":    {"Dear <Name>!", "<p>Dear !</p>"},
		"malformed":                 {"<p>Hi</p></3 you", "<p>Hi</p>"},
		"malformed that is kept":    {"<p>Hi</p></3 you", "<p>Hi</p>&lt;/3 you"},
		"blocks of other names":     {"<aside>a</aside><aside>b</aside>", "<p>a</p><p>b</p>"},
		"script":                    {"<script>if (a < b) {}</script><style>p {}</style><p>Hi</p>", "<p>Hi</p>"},
		"comment":                   {"<p>Hi<!-- secret --></p>", "<p>Hi</p>"},
		"white space":               {" Hi\t  there \u00a0you  ", "<p>Hi there&nbsp;you</p>"},
		"zero width":                {"Hi\u200b there\ufeff", "<p>Hi there</p>"},
		"CRLF":                      {"One\r\ntwo\r\n\r\nthree\r\n", "<p>One<br>two</p>\n<p>three</p>"},
		"emoji":                     {"Nice ❤️ 👩‍👩‍👧", "<p>Nice ❤ 👩‍👩‍👧</p>"},
		"composed":                  {"Gru\u0308\u00dfe", "<p>Gr\u00fc\u00dfe</p>"},
		"placeholder":               {"Hi {{first_name}}, it is {{ when | fallback: \"soon\" }}!", "<p>Hi Ann Lee, it is today!</p>"},
		"placeholder left":          {"Hi {{first_name}}!", "<p>Hi {{first_name}}!</p>"},
		"placeholder empty":         {"Hi {{first_name}}!", "<p>Hi !</p>"},
		"placeholder in HTML":       {"<p>Hi {{first_name}}</p><p>Bye {{x}}</p>", "Hi Ann\n\nBye now"},
		"condition":                 {"Hi{% if user.vip %} dear {{n}}{% else %} you{% endif %}, bye", "<p>Hi you, bye</p>"},
		"picture":                   {`<img src="https://x.example/a.png" style="width:9px">`, `<div class="c"><img src="https://x.example/a.png"></div>`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			require.True(t, settle.Fits(message(tt.ours), conversation(tt.theirs), since))
		})
	}
}

func TestBodyDoesNotFitAnotherText(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct{ ours, theirs string }{
		"other":                   {"Hello", "<p>Bye</p>"},
		"prefix":                  {"Your order", "<p>Your order is late</p>"},
		"longer":                  {"Your order is late", "<p>Your order</p>"},
		"suffix":                  {"is late", "<p>Your order is late</p>"},
		"further paragraph":       {"<p>One</p>", "<p>One</p><p>Two</p>"},
		"case":                    {"Hello", "<p>hello</p>"},
		"number":                  {"Code 1 23", "<p>Code 12 3</p>"},
		"word in two":             {"a part", "<p>apart</p>"},
		"empty":                   {"Hello", ""},
		"picture for text":        {"Hello", `<p><img src="a.png"></p>`},
		"text for picture":        {`<img src="a.png">`, "<p>Hello</p>"},
		"other picture":           {`<img src="a.png">`, `<p><img src="b.png"></p>`},
		"no picture":              {"<hr>", "<p></p>"},
		"invisible":               {"\u200b", "<p>\u200b</p>"},
		"literals in other order": {"{{a}} one {{b}} two", "<p>x two y one</p>"},
		"literal is missing":      {"Hi {{a}}, your code is {{b}}", "<p>Hi Ann</p>"},
		"before the template":     {"Hi {{a}}!", "<p>Oh, Hi Ann!</p>"},
		"after the template":      {"Hi {{a}}!", "<p>Hi Ann! Bye</p>"},
		"literals overlap":        {"aba{{x}}ba", "<p>aba</p>"},
		"nothing but placeholder": {"{{text}}", "<p>Anything at all</p>"},
		"long filling":            {"Hi {{a}}", "<p>Hi " + strings.Repeat("x", 300) + "</p>"},
		"template of theirs":      {"Hi Ann", "<p>Hi {{a}}</p>"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			require.False(t, settle.Fits(message(tt.ours), conversation(tt.theirs), since))
		})
	}
}

func TestConversationFits(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*intercom.Message, *intercom.Conversation){
		"as it is":       func(*intercom.Message, *intercom.Conversation) {},
		"later":          func(_ *intercom.Message, c *intercom.Conversation) { c.CreatedAt += 1_000_000 },
		"clock behind":   func(_ *intercom.Message, c *intercom.Conversation) { c.CreatedAt -= 60 },
		"no kind":        func(_ *intercom.Message, c *intercom.Conversation) { c.Source.DeliveredAs = "" },
		"no author type": func(_ *intercom.Message, c *intercom.Conversation) { c.Source.Author.Type = "" },
		"default sender": func(m *intercom.Message, _ *intercom.Conversation) { m.From = nil },
		"backdated": func(m *intercom.Message, c *intercom.Conversation) {
			m.CreatedAt, c.CreatedAt = since.Unix()-10_000, c.CreatedAt-10_000
		},
		"backdated but opened now": func(m *intercom.Message, _ *intercom.Conversation) { m.CreatedAt = since.Unix() - 10_000 },
		"several contacts": func(m *intercom.Message, c *intercom.Conversation) {
			m.To = append(m.To, intercom.Recipient{Type: "lead", ID: "al"})
			c.Contacts.Contacts = []intercom.ContactReference{{ID: "al"}, {ID: "jo"}}
		},
		"contact in a part only": func(_ *intercom.Message, c *intercom.Conversation) {
			c.Contacts.Contacts = nil
			c.ConversationParts.Parts = []intercom.ConversationPart{
				{Author: intercom.Author{Type: "admin", ID: "9"}}, {Author: intercom.Author{Type: "user", ID: "jo"}},
			}
		},
		"subject": func(m *intercom.Message, c *intercom.Conversation) {
			m.Subject, c.Source.Subject = "News & more", "<p>News &amp; more</p>"
		},
		"subject of one": func(m *intercom.Message, _ *intercom.Conversation) { m.Subject = "News" },
	} {
		m, c := message("Hello"), conversation("<p>Hello</p>")
		change(m, c)
		require.True(t, settle.Fits(m, c, since), name)
	}
}

func TestConversationDoesNotFit(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*intercom.Message, *intercom.Conversation){
		"too early": func(_ *intercom.Message, c *intercom.Conversation) { c.CreatedAt -= 61 },
		"too early for a message that is dated ahead": func(m *intercom.Message, c *intercom.Conversation) {
			m.CreatedAt, c.CreatedAt = since.Unix()+10_000, c.CreatedAt-61
		},
		"before the backdated message": func(m *intercom.Message, c *intercom.Conversation) {
			m.CreatedAt, c.CreatedAt = since.Unix()-10_000, c.CreatedAt-10_061
		},
		"no time":        func(_ *intercom.Message, c *intercom.Conversation) { c.CreatedAt = 0 },
		"other admin":    func(_ *intercom.Message, c *intercom.Conversation) { c.Source.Author.ID = "77" },
		"no author":      func(_ *intercom.Message, c *intercom.Conversation) { c.Source.Author = intercom.Author{} },
		"contact's":      func(_ *intercom.Message, c *intercom.Conversation) { c.Source.Author.Type = "user" },
		"bot's":          func(m *intercom.Message, c *intercom.Conversation) { m.From, c.Source.Author.Type = nil, "bot" },
		"automated":      func(_ *intercom.Message, c *intercom.Conversation) { c.Source.DeliveredAs = "automated" },
		"no contacts":    func(_ *intercom.Message, c *intercom.Conversation) { c.Contacts.Contacts = nil },
		"other contact":  func(_ *intercom.Message, c *intercom.Conversation) { c.Contacts.Contacts[0].ID = "al" },
		"external id":    func(m *intercom.Message, _ *intercom.Conversation) { m.To[0].ID = "70" },
		"no id, no id":   func(m *intercom.Message, c *intercom.Conversation) { m.To[0].ID, c.Contacts.Contacts[0].ID = "", "" },
		"no recipient":   func(m *intercom.Message, _ *intercom.Conversation) { m.To = nil },
		"other subject":  func(m *intercom.Message, c *intercom.Conversation) { m.Subject, c.Source.Subject = "News", "Old" },
		"WhatsApp":       func(m *intercom.Message, _ *intercom.Conversation) { m.MessageType = intercom.WhatsApp },
		"other's answer": answeredBy("al"),
		"one of two":     answeredBy("jo", "al"),
	} {
		m, c := message("Hello"), conversation("<p>Hello</p>")
		change(m, c)
		require.False(t, settle.Fits(m, c, since), name)
	}
	require.False(t, settle.Fits(nil, conversation("x"), since))
	require.False(t, settle.Fits(message("x"), nil, since))
}

// answeredBy takes the contacts out of a conversation and has contacts answer.
func answeredBy(ids ...intercom.ID) func(*intercom.Message, *intercom.Conversation) {
	return func(_ *intercom.Message, c *intercom.Conversation) {
		c.Contacts.Contacts = nil
		for _, id := range ids {
			c.ConversationParts.Parts = append(c.ConversationParts.Parts,
				intercom.ConversationPart{Author: intercom.Author{Type: "user", ID: id}})
		}
	}
}

func TestSearchable(t *testing.T) {
	t.Parallel()
	m := message("Hello")
	require.True(t, settle.Searchable(m))
	m.CreateConversationWithoutContactReply = false
	require.False(t, settle.Searchable(m))
	w := message("")
	w.MessageType = intercom.WhatsApp
	require.False(t, settle.Searchable(w))
	require.False(t, settle.Searchable(nil))
}

// TestHostileBodiesAreQuick plays senders whose texts make a naive comparison
// start over at each character.
func TestHostileBodiesAreQuick(t *testing.T) {
	t.Parallel()
	const n = 50_000
	for _, part := range []string{"{{", "{{}}", "{%", "{{a}}<", "<script>", "<!--", "</3", "<p>", " \n", "\u0301", "&lt;{{x}}"} {
		body := strings.Repeat(part, n/len(part))
		start := time.Now()
		settle.Fits(message(body), conversation("<p>"+body+"x</p>"), since)
		require.Less(t, time.Since(start), 10*time.Second, part)
	}
}
