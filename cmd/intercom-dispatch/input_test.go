package main

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestByteOrderMarkIsNoPartOfTheFirstLine(t *testing.T) {
	t.Parallel()
	lines := make(chan inputLine, 3)
	require.NoError(t, readLines(t.Context(), strings.NewReader("\ufeff{\"key\":\"a\"}\r\n\n\ufeffb"), lines))
	close(lines)
	var texts []string
	var numbers []int
	for l := range lines {
		texts, numbers = append(texts, strings.TrimSpace(string(l.text))), append(numbers, l.number)
	}
	require.Equal(t, []string{`{"key":"a"}`, "\ufeffb"}, texts)
	require.Equal(t, []int{1, 3}, numbers)
}
