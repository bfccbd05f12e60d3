package main

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestByteOrderMarkIsNoPartOfTheFirstLine(t *testing.T) {
	t.Parallel()
	var texts []string
	var numbers []int
	require.NoError(t, readLines(strings.NewReader("\ufeff{\"key\":\"a\"}\r\n\n\ufeffb"), func(l inputLine) bool {
		texts, numbers = append(texts, strings.TrimSpace(string(l.text))), append(numbers, l.number)
		return true
	}))
	require.Equal(t, []string{`{"key":"a"}`, "\ufeffb"}, texts)
	require.Equal(t, []int{1, 3}, numbers)
}
