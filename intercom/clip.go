package intercom

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

const ellipsis = "…"

// clip makes foreign text fit for an error: valid UTF-8, on one line, without
// the control characters that would reach a terminal, and at most limit bytes
// long.
func clip(s string, limit int) string {
	short := s
	if len(short) > limit {
		short = short[:limit]
	}
	short = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(short, ""))
	if len(s) <= limit {
		return short
	}
	end := min(len(short), limit-len(ellipsis))
	for end > 0 && !utf8.RuneStart(short[end]) {
		end--
	}
	return short[:end] + ellipsis
}
