package main

import (
	"fmt"
	"io"
)

// printLatest prints a list of which the latest were asked for, and one more, which
// tells whether these are all: as a table, or one JSON object a line.
func printLatest[T any](p *program, all []T, limit int, asJSON bool, table func(io.Writer, []T) error) error {
	if len(all) > limit {
		all = all[:limit]
		fmt.Fprintf(p.stderr, "intercom-dispatch: only the latest %d are listed; --limit N lists more\n", limit)
	}
	if !asJSON {
		return table(p.stdout, all)
	}
	for _, v := range all {
		if err := encodeJSON(p.stdout, v); err != nil {
			return err
		}
	}
	return nil
}
