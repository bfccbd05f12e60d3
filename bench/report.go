package main

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
)

// line is a line of the table: one thing that is measured.
type line struct {
	name   string
	digits int
	// signed lines have no ratio: theirs would mean nothing.
	signed bool
}

// result is a line with what was measured in each round.
type result struct {
	line
	values map[string][]float64 // by side
}

func (r result) median(side string) float64 { return median(r.values[side]) }

func (r result) ratio() float64 {
	if r.signed {
		return math.NaN()
	}
	return ratio(r.median(sideOurs), r.median(sidePlain))
}

// report is everything that was measured.
type report struct {
	about   string
	results []result
	details []string
}

func (r *report) write(w io.Writer) error {
	rows := [][]string{{"", "ours", "plain asynq", "ratio"}}
	for _, x := range r.results {
		rows = append(rows, []string{
			x.name, number(x.median(sideOurs), x.digits), number(x.median(sidePlain), x.digits), number(x.ratio(), 2),
		})
	}
	tables := append([]string{table(rows)}, r.details...)
	_, err := fmt.Fprintf(w, "%s\n\n%s", r.about, strings.Join(tables, "\n"))
	return err
}

// table lays rows out as Markdown, the first column to the left.
func table(rows [][]string) string {
	widths := make([]int, len(rows[0]))
	for _, row := range rows {
		for i, cell := range row {
			widths[i] = max(widths[i], len(cell))
		}
	}
	var b strings.Builder
	for n, row := range rows {
		for i, cell := range row {
			width := widths[i]
			if i == 0 {
				width = -width
			}
			fmt.Fprintf(&b, "| %*s ", width, cell)
		}
		b.WriteString("|\n")
		if n > 0 {
			continue
		}
		for i, width := range widths {
			rule := strings.Repeat("-", width+1)
			if i == 0 {
				b.WriteString("|" + rule + "-")
			} else {
				b.WriteString("|" + rule + ":")
			}
		}
		b.WriteString("|\n")
	}
	return b.String()
}

// number formats with commas between thousands; what is not there is a dash.
func number(v float64, digits int) string {
	if math.IsNaN(v) {
		return "-"
	}
	s := strconv.FormatFloat(math.Abs(v), 'f', digits, 64)
	whole, rest, _ := strings.Cut(s, ".")
	for i := len(whole) - 3; i > 0; i -= 3 {
		whole = whole[:i] + "," + whole[i:]
	}
	if rest != "" {
		whole += "." + rest
	}
	if v < 0 {
		whole = "-" + whole
	}
	return whole
}

type jsonLine struct {
	Name   string               `json:"name"`
	Ours   *float64             `json:"ours"`
	Plain  *float64             `json:"plain"`
	Ratio  *float64             `json:"ratio"`
	Rounds map[string][]float64 `json:"rounds"`
}

func (r *report) writeJSON(w io.Writer) error {
	doc := struct {
		About string     `json:"about"`
		Lines []jsonLine `json:"lines"`
	}{About: r.about, Lines: []jsonLine{}}
	for _, x := range r.results {
		doc.Lines = append(doc.Lines, jsonLine{
			Name: x.name, Ours: orNull(x.median(sideOurs)), Plain: orNull(x.median(sidePlain)), Ratio: orNull(x.ratio()),
			Rounds: x.values,
		})
	}
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(doc)
}

// orNull is nil for NaN, which JSON does not have.
func orNull(v float64) *float64 {
	if math.IsNaN(v) {
		return nil
	}
	return &v
}
