package replies

import (
	"html"
	"strings"
)

// breaks are the tags that end a line of text.
var breaks = map[string]bool{"p": true, "br": true, "div": true, "li": true, "h1": true, "h2": true, "h3": true}

// plainText takes the markup out of a reply. Intercom sends HTML in answers of
// its API and, since version 2.15, plain text in webhooks, which passes
// through unchanged unless it looks like a tag.
func plainText(body string) string {
	if !strings.Contains(body, "<") && !strings.Contains(body, "&") {
		return body
	}
	var out strings.Builder
	for rest := body; rest != ""; {
		open := strings.IndexByte(rest, '<')
		if open < 0 {
			out.WriteString(rest)
			break
		}
		out.WriteString(rest[:open])
		end := strings.IndexByte(rest[open:], '>')
		name, isTag := "", false
		if end > 0 {
			name, isTag = tagName(rest[open+1 : open+end])
		}
		if !isTag {
			out.WriteByte('<')
			rest = rest[open+1:]
			continue
		}
		if breaks[name] && out.Len() > 0 {
			out.WriteByte('\n')
		}
		rest = rest[open+end+1:]
	}
	return strings.TrimSpace(collapse(html.UnescapeString(out.String())))
}

// tagName returns the name of the tag whose inside is given, if it is one: so
// that "a < b" and "<3" are left as they are.
func tagName(inside string) (string, bool) {
	name := strings.TrimPrefix(inside, "/")
	end := strings.IndexFunc(name, func(r rune) bool { return r == ' ' || r == '/' })
	if end >= 0 {
		name = name[:end]
	}
	if name == "" {
		return "", false
	}
	for i, r := range strings.ToLower(name) {
		if (r < 'a' || r > 'z') && (i == 0 || r < '0' || r > '9') {
			return "", false
		}
	}
	return strings.ToLower(name), true
}

// collapse leaves one line break where closing and opening tags made several.
func collapse(s string) string {
	for strings.Contains(s, "\n\n") {
		s = strings.ReplaceAll(s, "\n\n", "\n")
	}
	return s
}
