package intercomtest

import (
	htmlpkg "html"
	"regexp"
	"strings"
)

var (
	anyTag   = regexp.MustCompile(`</?[a-zA-Z][^<>]*>`)
	blockTag = regexp.MustCompile(`(?i)^\s*<(p|div|h[1-6]|ul|ol|table|pre|blockquote|figure)[\s>]`)
	lineEnd  = regexp.MustCompile(`(?i)<br\s*/?>|</(p|div|h[1-6]|li|pre|blockquote)>`)
)

// html is how a conversation shows a message's body: text becomes a paragraph,
// and what is HTML already stays as it is, in a paragraph if it has none.
func html(body string) string {
	switch {
	case body == "":
		return ""
	case blockTag.MatchString(body):
		return body
	case anyTag.MatchString(body):
		return "<p>" + body + "</p>"
	}
	text := htmlpkg.EscapeString(strings.TrimSpace(strings.ReplaceAll(body, "\r\n", "\n")))
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
	text := anyTag.ReplaceAllString(lineEnd.ReplaceAllString(body, "\n"), "")
	return strings.TrimSpace(htmlpkg.UnescapeString(text))
}
