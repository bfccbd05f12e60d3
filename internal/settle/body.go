package settle

import (
	"regexp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/net/html"
)

// compareBodies tells whether Intercom's body is what became of ours. Both may
// be HTML or plain text and do not say which, so each is read in every way.
func compareBodies(ours, theirs string) verdict {
	wanted, found := readings(ours), readings(theirs)
	if anySame(wanted, found) {
		return yes
	}
	switch {
	case strings.TrimSpace(theirs) == "":
		return maybe
	case slices.Contains(wanted, "") && slices.Contains(found, ""):
		return compareMedia(ours, theirs)
	}
	answer := no
	for _, w := range wanted {
		for _, f := range found {
			answer = max(answer, fillsIn(w, f))
		}
	}
	return answer
}

// readings are a body's text as HTML, strictly and loosely, and as plain text,
// folded, each once.
func readings(body string) []string {
	if !strings.ContainsAny(body, "<&") {
		return []string{fold(body)}
	}
	all := []string{fold(browserText(body)), fold(PlainText(body)), fold(body)}
	slices.Sort(all)
	return slices.Compact(all)
}

func anySame(wanted, found []string) bool {
	for _, w := range wanted {
		for _, f := range found {
			if w != "" && same(w, f) {
				return true
			}
		}
	}
	return false
}

// compareMedia compares bodies without text by what they show. Intercom may
// have copied a picture to an address of its own, so another address decides
// nothing.
func compareMedia(ours, theirs string) verdict {
	wanted := media(ours)
	if len(wanted) > 0 && slices.Equal(wanted, media(theirs)) {
		return yes
	}
	return maybe
}

// media returns the addresses of pictures, videos and frames in a body.
func media(body string) []string {
	var found []string
	tokens := html.NewTokenizer(strings.NewReader(body))
	for {
		switch tokens.Next() {
		case html.ErrorToken:
			return found
		case html.StartTagToken, html.SelfClosingTagToken:
			for _, a := range tokens.Token().Attr {
				if a.Key == "src" {
					found = append(found, strings.TrimSpace(a.Val))
				}
			}
		case html.TextToken, html.EndTagToken, html.CommentToken, html.DoctypeToken:
		}
	}
}

// placeholder is what Intercom fills in. What stands between the first and the
// last {% %} may be left out.
var placeholder = regexp.MustCompile(`(?s)\{%.*%\}|\{\{.*?\}\}`)

// maxFilling is how long what stands for {{ }} is taken to be at most, in
// characters.
const maxFilling = 255

// fillsIn tells whether a folded text can be a template that was filled in:
// the literal parts stand in it in their order, at its start and its end where
// the template has them there. Both are compared without white space.
func fillsIn(template, text string) verdict {
	literals := placeholder.Split(template, -1)
	if len(literals) < 2 {
		return no
	}
	for i := range literals {
		literals[i] = squeeze(literals[i])
	}
	text = squeeze(text)
	if !inOrder(literals, text) {
		return no
	}
	literal := strings.Join(literals, "")
	filled := utf8.RuneCountInString(text) - utf8.RuneCountInString(literal)
	isLong := !strings.Contains(template, "{%") && filled > maxFilling*(len(literals)-1)
	if isLong || !strings.ContainsFunc(literal, isLetterOrDigit) {
		return maybe
	}
	return yes
}

func inOrder(literals []string, text string) bool {
	first, last := literals[0], literals[len(literals)-1]
	rest, ok := strings.CutPrefix(text, first)
	if !ok {
		return false
	}
	if rest, ok = strings.CutSuffix(rest, last); !ok {
		return false
	}
	for _, l := range literals[1 : len(literals)-1] {
		if _, rest, ok = strings.Cut(rest, l); !ok {
			return false
		}
	}
	return true
}

func isLetterOrDigit(r rune) bool { return unicode.IsLetter(r) || unicode.IsDigit(r) }
