package intercomtest

import (
	htmlpkg "html"
	"regexp"
	"slices"
	"strings"

	tokenizer "golang.org/x/net/html"
)

var (
	anyTag   = regexp.MustCompile(`</?[a-zA-Z][^<>]*>`)
	blockTag = regexp.MustCompile(`(?i)^\s*<(p|div|h[1-6]|ul|ol|table|pre|blockquote|figure)[\s>]`)
	lineEnd  = regexp.MustCompile(`(?i)<br\s*/?>|</(p|div|h[1-6]|li|tr|pre|blockquote)>`)
	address  = regexp.MustCompile(`https?://[^\s<>"]*[^\s<>".,;:!?)]`)
)

// html is how a conversation shows a message's body: text becomes paragraphs
// with links, and what is HTML already is cleaned and put in a paragraph if it
// has none.
func html(body string) string {
	if body == "" {
		return ""
	}
	if anyTag.MatchString(body) {
		body = clean(body)
		if blockTag.MatchString(body) {
			return body
		}
		return "<p>" + body + "</p>"
	}
	text := link(strings.TrimSpace(strings.ReplaceAll(body, "\r\n", "\n")))
	paragraphs := strings.Split(text, "\n\n")
	for i, p := range paragraphs {
		paragraphs[i] = "<p>" + strings.ReplaceAll(strings.Trim(p, "\n"), "\n", "<br>") + "</p>"
	}
	return strings.Join(paragraphs, "\n")
}

// plain is how a notification shows a message's body: without HTML.
func plain(body string) string {
	if !anyTag.MatchString(body) {
		return body
	}
	text := anyTag.ReplaceAllString(lineEnd.ReplaceAllString(clean(body), "\n"), "")
	return strings.TrimSpace(htmlpkg.UnescapeString(text))
}

// link escapes a text and makes links of the addresses in it.
func link(text string) string {
	var out strings.Builder
	end := 0
	for _, at := range address.FindAllStringIndex(text, -1) {
		href := htmlpkg.EscapeString(text[at[0]:at[1]])
		out.WriteString(htmlpkg.EscapeString(text[end:at[0]]))
		out.WriteString(`<a href="` + href + `" rel="nofollow noopener noreferrer" target="_blank">` + href + `</a>`)
		end = at[1]
	}
	return out.String() + htmlpkg.EscapeString(text[end:])
}

// keptTags are the tags that cleaning leaves, with the attributes that they
// keep. Intercom has not published its own list.
var keptTags = map[string][]string{
	"a": {"href"}, "img": {"src", "alt"},
	"p": nil, "br": nil, "div": nil, "b": nil, "strong": nil, "i": nil, "em": nil, "u": nil,
	"h1": nil, "h2": nil, "h3": nil, "h4": nil, "h5": nil, "h6": nil, "ul": nil, "ol": nil, "li": nil,
	"table": nil, "tbody": nil, "tr": nil, "td": nil, "th": nil, "blockquote": nil, "pre": nil, "code": nil,
}

// droppedTags go with what they hold.
var droppedTags = []string{"script", "style", "title"}

// clean takes out of HTML what is not kept: scripts and style sheets, comments,
// tags and attributes that Intercom does not know.
func clean(body string) string {
	c := cleaner{tokens: tokenizer.NewTokenizer(strings.NewReader(body))}
	for c.step() {
	}
	return c.out.String()
}

type cleaner struct {
	tokens  *tokenizer.Tokenizer
	out     strings.Builder
	dropped bool
	links   int
}

func (c *cleaner) step() bool {
	kind := c.tokens.Next()
	raw := string(c.tokens.Raw())
	t := c.tokens.Token()
	switch kind {
	case tokenizer.ErrorToken:
		c.out.WriteString(htmlpkg.EscapeString(raw))
		return false
	case tokenizer.TextToken:
		c.text(t.Data)
	case tokenizer.StartTagToken, tokenizer.SelfClosingTagToken, tokenizer.EndTagToken:
		c.tag(kind, t)
	case tokenizer.CommentToken, tokenizer.DoctypeToken:
	}
	return true
}

func (c *cleaner) text(s string) {
	switch {
	case c.dropped:
	case c.links > 0:
		c.out.WriteString(htmlpkg.EscapeString(s))
	default:
		c.out.WriteString(link(s))
	}
}

func (c *cleaner) tag(kind tokenizer.TokenType, t tokenizer.Token) {
	if slices.Contains(droppedTags, t.Data) {
		c.dropped = kind != tokenizer.EndTagToken
		return
	}
	attributes, kept := keptTags[t.Data]
	if !kept {
		return
	}
	t.Attr = slices.DeleteFunc(t.Attr, func(a tokenizer.Attribute) bool { return !slices.Contains(attributes, a.Key) })
	c.out.WriteString(t.String())
	if t.Data == "a" && kind == tokenizer.StartTagToken {
		c.links++
	} else if t.Data == "a" && kind == tokenizer.EndTagToken {
		c.links = max(0, c.links-1)
	}
}
