package replies

import (
	"strings"

	"golang.org/x/net/html"
)

// breaks are the tags that end a line of text.
var breaks = map[string]bool{
	"p": true, "br": true, "div": true, "li": true, "ul": true, "ol": true, "blockquote": true, "tr": true,
	"h1": true, "h2": true, "h3": true, "h4": true, "h5": true, "h6": true,
}

// plainText takes the markup out of a reply. Intercom sends HTML in answers of
// its API and, since version 2.15, plain text in webhooks, which passes
// through unchanged unless it looks like a tag.
func plainText(body string) string {
	if !strings.ContainsAny(body, "<&") {
		return body
	}
	var out strings.Builder
	tokens := html.NewTokenizer(strings.NewReader(body))
	for {
		switch tokens.Next() {
		case html.ErrorToken: // The end: a string gives no other error.
			// A tag that is not finished is none.
			out.Write(tokens.Raw())
			return strings.TrimSpace(collapse(out.String()))
		case html.TextToken:
			out.WriteString(html.UnescapeString(string(tokens.Raw())))
		case html.StartTagToken, html.EndTagToken, html.SelfClosingTagToken:
			if name, _ := tokens.TagName(); breaks[string(name)] && out.Len() > 0 {
				out.WriteByte('\n')
			}
		case html.CommentToken, html.DoctypeToken:
		}
	}
}

// collapse leaves one line break where closing and opening tags made several.
func collapse(s string) string {
	for strings.Contains(s, "\n\n") {
		s = strings.ReplaceAll(s, "\n\n", "\n")
	}
	return s
}
