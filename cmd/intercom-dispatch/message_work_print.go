package main

import (
	"fmt"
	"unicode/utf8"
)

// widestKey is how far keys are aligned. Longer ones push the rest of their
// line.
const widestKey = 40

// workPrinter prints what became of messages, a line each as soon as it is
// known.
type workPrinter struct {
	*program

	action     action
	json, dry  bool
	verb       string
	verbWidth  int
	keyWidth   int
	done, left int
	unknown    int
}

func newWorkPrinter(p *program, a action, s *selection, keys []string) *workPrinter {
	w := &workPrinter{program: p, action: a, json: s.JSON, dry: s.DryRun, verb: a.past}
	if s.DryRun {
		w.verb = "would " + a.verb
	}
	w.verbWidth = max(len(w.verb), len("refused"))
	for _, key := range keys {
		w.keyWidth = max(w.keyWidth, utf8.RuneCountInString(key))
	}
	w.keyWidth = min(w.keyWidth, widestKey)
	return w
}

func (w *workPrinter) result(r workResult) error {
	switch {
	case r.Done:
		w.done++
	default:
		w.left++
	}
	if r.unknown() {
		w.unknown++
	}
	if w.json {
		return encodeJSON(w.stdout, r)
	}
	verb, rest := w.verb, w.was(r)
	switch {
	case r.refused():
		verb, rest = "refused", r.Error
	case r.err != nil:
		verb, rest = "error", r.Error
	}
	_, err := fmt.Fprintf(w.stdout, "%-*s  %-*s  %s\n", w.verbWidth, verb, w.keyWidth, r.Key, rest)
	return err
}

// was tells where the message stood.
func (w *workPrinter) was(r workResult) string {
	s := "was "
	if w.dry {
		s = "is "
	}
	s += string(r.StateBefore)
	if e := r.lastError; e != nil {
		s += ": "
		if e.Status != 0 {
			s += fmt.Sprint(e.Status) + " "
		}
		s += e.Code
	}
	if r.PossibleDuplicate {
		s += "; it may arrive twice"
	}
	return "(" + s + ")"
}

// summary stands behind the lines of the messages, but not between JSON.
func (w *workPrinter) summary() {
	out := w.stdout
	if w.json {
		out = w.stderr
	}
	s := fmt.Sprintf("%d %s", w.done, w.action.past)
	if w.dry {
		s = fmt.Sprintf("%d %s would be %s", w.done, plural(w.done, "message"), w.action.past)
	}
	if w.left > 0 {
		s += fmt.Sprintf(", %d not", w.left)
	}
	fmt.Fprintln(out, s)
}

func plural(n int, word string) string {
	if n == 1 {
		return word
	}
	return word + "s"
}

func (w *workPrinter) exit() error {
	switch w.left {
	case 0:
		return nil
	case w.unknown:
		return &exitError{status: exitUnknown}
	}
	return &exitError{status: exitFailed}
}
