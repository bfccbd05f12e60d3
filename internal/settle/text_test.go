package settle_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/intercom-dispatch/intercom-dispatch/internal/settle"
)

func TestPlainText(t *testing.T) {
	t.Parallel()
	for body, want := range map[string]string{
		"":                                   "",
		"Yes, please!":                       "Yes, please!",
		"<p>Yes, please!</p>":                "Yes, please!",
		"<p>One</p>\n<p>Two</p>":             "One\nTwo",
		"<p>One</p><p>Two</p>":               "One\nTwo",
		"One<br>Two<br/>Three<br />Four":     "One\nTwo\nThree\nFour",
		`<p class="no-margin">Hi</p>`:        "Hi",
		`<a href="https://x.example">x</a>`:  "x",
		"<ul><li>a</li><li>b</li></ul>":      "a\nb",
		"<P>Shouted</P>":                     "Shouted",
		"Tom &amp; Jerry &lt;3":              "Tom & Jerry <3",
		"1 < 2 and 3 > 2":                    "1 < 2 and 3 > 2",
		"I <3 you":                           "I <3 you",
		"a<b":                                "a<b",
		"<":                                  "<",
		"<>":                                 "<>",
		"&lt;p&gt;":                          "<p>",
		"<p>unfinished <b":                   "unfinished <b",
		"</3 my heart":                       "</3 my heart",
		"I use <script> a lot":               "I use <script> a lot",
		"<script>x < 1</script>Hi<!-- x -->": "Hi",
		"Hi <!-- there":                      "Hi <!-- there",
		"<h1>Title</h1>Text":                 "Title\nText",
		"Grüße <b>näher</b> 🙂":               "Grüße näher 🙂",
	} {
		require.Equal(t, want, settle.PlainText(body), body)
	}
}

// TestPlainTextOfHostileRepliesIsQuick plays contacts who write what makes a
// naive search start over at each character.
func TestPlainTextOfHostileRepliesIsQuick(t *testing.T) {
	t.Parallel()
	const n = 200_000
	for _, body := range []string{
		strings.Repeat("<", n), strings.Repeat("<", n) + ">", strings.Repeat("<a", n) + ">",
		strings.Repeat("<a ", n), strings.Repeat("<p>", n),
	} {
		start := time.Now()
		settle.PlainText(body)
		require.Less(t, time.Since(start), 2*time.Second, body[:6])
	}
}

func FuzzPlainText(f *testing.F) {
	f.Add("<p>One</p>\n<p>Two &amp; three</p>")
	f.Fuzz(func(t *testing.T, body string) {
		out := settle.PlainText(body)
		if !strings.ContainsAny(body, "<&") {
			require.Equal(t, body, out, "plain text is left alone")
		}
	})
}
