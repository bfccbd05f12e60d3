package settle

import (
	"strings"
	"unicode"

	"golang.org/x/text/unicode/norm"
)

// fold reduces a text to what has to be the same on both sides: composed
// characters, no invisible ones, and one space or line break between words. A
// run of white space with a line break in it counts as a line break.
func fold(text string) string {
	var out strings.Builder
	out.Grow(len(text))
	var gap rune
	for _, r := range text {
		switch {
		case isBreak(r):
			gap = '\n'
		case unicode.IsSpace(r):
			if gap == 0 {
				gap = ' '
			}
		case isInvisible(r):
		default:
			if gap != 0 && out.Len() > 0 {
				out.WriteRune(gap)
			}
			gap = 0
			out.WriteRune(r)
		}
	}
	return norm.NFC.String(out.String())
}

func isBreak(r rune) bool {
	return r == '\n' || r == '\r' || r == '\u2028' || r == '\u2029'
}

// isInvisible tells whether a cleaned body may lack the character: zero-width
// spaces and joiners, marks of direction, control characters, variation
// selectors.
func isInvisible(r rune) bool {
	return unicode.In(r, unicode.Cf, unicode.Cc, unicode.Variation_Selector) || r == unicode.ReplacementChar
}

// same tells whether two folded texts are equal, where a line break equals any
// white space and also none: a block tag that is taken out leaves the one or
// the other.
func same(a, b string) bool {
	for a != "" || b != "" {
		switch {
		case a != "" && b != "" && (a[0] == b[0] || isGap(a[0]) && isGap(b[0])):
			a, b = a[1:], b[1:]
		case a != "" && a[0] == '\n':
			a = a[1:]
		case b != "" && b[0] == '\n':
			b = b[1:]
		default:
			return false
		}
	}
	return true
}

func isGap(b byte) bool { return b == ' ' || b == '\n' }

// squeeze takes all white space out of a folded text.
func squeeze(folded string) string {
	return strings.NewReplacer(" ", "", "\n", "").Replace(folded)
}
