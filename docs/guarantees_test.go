// Package docs_test holds the documents against the code.
package docs_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestEachGuaranteeHasItsTest looks for the tests that guarantees.md names.
func TestEachGuaranteeHasItsTest(t *testing.T) {
	t.Parallel()
	doc, err := os.ReadFile("guarantees.md")
	require.NoError(t, err)
	named := regexp.MustCompile("`(Test\\w+)`").FindAllStringSubmatch(string(doc), -1)
	require.NotEmpty(t, named)

	declared := map[string]bool{}
	declaration := regexp.MustCompile(`(?m)^func (Test\w+)\(`)
	require.NoError(t, filepath.WalkDir("..", func(path string, _ fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		source, err := os.ReadFile(path)
		for _, m := range declaration.FindAllStringSubmatch(string(source), -1) {
			declared[m[1]] = true
		}
		return err
	}))
	for _, name := range named {
		require.True(t, declared[name[1]], "%s is not there", name[1])
	}
	for line := range strings.Lines(string(doc)) {
		if strings.HasPrefix(line, "| a ") || strings.HasPrefix(line, "| it ") {
			require.Contains(t, line, "`Test", "a promise without a test")
		}
	}
}
