package settle

import (
	"strings"

	"golang.org/x/net/html"
)

// breaks are the tags that end a line of text.
var breaks = map[string]bool{
	"p": true, "br": true, "div": true, "li": true, "ul": true, "ol": true, "blockquote": true, "tr": true,
	"h1": true, "h2": true, "h3": true, "h4": true, "h5": true, "h6": true,
	"td": true, "th": true, "table": true, "hr": true, "pre": true, "section": true, "article": true,
	"header": true, "footer": true, "figure": true, "figcaption": true, "dl": true, "dt": true, "dd": true,
	"center": true, "address": true,
}

// silent are the tags whose content nobody reads.
var silent = map[string]bool{"script": true, "style": true, "title": true}

// PlainText takes the markup out of a body. Intercom sends HTML in answers of
// its API and, since version 2.15, plain text in webhooks, which passes
// through unchanged unless it looks like a tag. Block tags become line breaks,
// the contents of scripts and style sheets are left out.
func PlainText(body string) string {
	if !strings.ContainsAny(body, "<&") {
		return body
	}
	return read(body, false)
}

// browserText is what a browser shows of a body. Of markup that is malformed
// it shows less than PlainText.
func browserText(body string) string { return read(body, true) }

func read(body string, strict bool) string {
	r := reader{tokens: html.NewTokenizer(strings.NewReader(body)), strict: strict}
	for r.next() {
	}
	return strings.TrimSpace(collapse(r.out.String()))
}

// reader turns tokens into text.
type reader struct {
	tokens *html.Tokenizer
	out    strings.Builder
	// strict leaves out what is begun and not finished, and all comments.
	strict bool
	// held is what a silent tag has begun. It counts as text if it never ends.
	held string
}

// next reads one token, and tells whether there may be more.
func (r *reader) next() bool {
	kind := r.tokens.Next()
	raw := string(r.tokens.Raw())
	switch kind {
	case html.ErrorToken: // The end: a string gives no other error.
		// A tag that is not finished is none.
		if !r.strict {
			r.out.WriteString(r.held + raw)
		}
		return false
	case html.TextToken:
		r.text(raw)
	case html.StartTagToken, html.EndTagToken, html.SelfClosingTagToken:
		r.tag(kind, raw)
	case html.CommentToken:
		if !r.strict && !isComment(raw) {
			r.out.WriteString(html.UnescapeString(raw))
		}
	case html.DoctypeToken:
	}
	return true
}

func (r *reader) text(raw string) {
	if r.held != "" {
		r.held += raw
		return
	}
	r.out.WriteString(html.UnescapeString(raw))
}

func (r *reader) tag(kind html.TokenType, raw string) {
	name, _ := r.tokens.TagName()
	switch {
	case silent[string(name)] && kind != html.EndTagToken:
		r.held = raw
	case silent[string(name)]:
		r.held = ""
	case breaks[string(name)] && r.out.Len() > 0:
		r.out.WriteByte('\n')
	}
}

// isComment tells comments from text such as "</3", which the tokenizer takes
// for one, and from what is not finished.
func isComment(raw string) bool {
	if strings.HasPrefix(raw, "<!--") {
		return strings.HasSuffix(raw, "-->")
	}
	return strings.HasSuffix(raw, ">") && !strings.HasPrefix(raw, "</")
}

// collapse leaves one line break where closing and opening tags made several.
func collapse(s string) string {
	for strings.Contains(s, "\n\n") {
		s = strings.ReplaceAll(s, "\n\n", "\n")
	}
	return s
}
