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
	last := strings.LastIndexByte(body, '>')
	for i := 0; i < len(body); {
		open := strings.IndexByte(body[i:], '<')
		if open < 0 || i+open > last {
			out.WriteString(body[i:])
			break
		}
		out.WriteString(body[i : i+open])
		i += open
		name := tagName(body[i+1 : last+1])
		if name == "" {
			out.WriteByte('<')
			i++
			continue
		}
		if breaks[name] && out.Len() > 0 {
			out.WriteByte('\n')
		}
		i += strings.IndexByte(body[i:], '>') + 1
	}
	return strings.TrimSpace(collapse(html.UnescapeString(out.String())))
}

// maxTagName is longer than any name of HTML's. Looking no further keeps a
// text of nothing but brackets from taking time by the square of its length.
const maxTagName = 16

// tagName returns the name of the tag that begins with s, which follows a '<',
// or "" if it is none: so that "a < b" and "<3" are left as they are.
func tagName(s string) string {
	s = strings.TrimPrefix(s, "/")
	for i := 0; i < min(len(s), maxTagName); i++ {
		switch c := s[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9' && i > 0:
		case i > 0 && strings.IndexByte(" \t\r\n/>", c) >= 0:
			return strings.ToLower(s[:i])
		default:
			return ""
		}
	}
	return ""
}

// collapse leaves one line break where closing and opening tags made several.
func collapse(s string) string {
	for strings.Contains(s, "\n\n") {
		s = strings.ReplaceAll(s, "\n\n", "\n")
	}
	return s
}
