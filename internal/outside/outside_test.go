package outside_test

import (
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/intercom-dispatch/intercom-dispatch/internal/redistest"
)

const module = "github.com/intercom-dispatch/intercom-dispatch"

func TestAProducerInAModuleOfItsOwn(t *testing.T) {
	t.Parallel()
	r := redistest.Start(t, redistest.Options{})
	dir := copyProducer(t)
	args := []string{"run"}
	if raced() {
		// What it shares with this test is compiled already.
		args = append(args, "-race")
	}
	// The producer needs no more of the network than this module does.
	out := goTool(t, dir, []string{"REDIS_URL=" + r.URL(), "GOFLAGS=-mod=mod", "GOPROXY=off"}, append(args, ".")...)
	var event map[string]string
	require.NoError(t, json.Unmarshal([]byte(out), &event), out)
	require.NotEmpty(t, event["message_id"])
	delete(event, "message_id")
	require.Equal(t, map[string]string{"key": "order-1042", "order": "1042", "text": "Thank you!"}, event)
}

// copyProducer makes a module of the producer, which takes this one from
// where it is.
func copyProducer(t *testing.T) string {
	t.Helper()
	dir, from := t.TempDir(), filepath.Join("testdata", "producer")
	root := strings.TrimSpace(goTool(t, ".", nil, "list", "-m", "-f", "{{.Dir}}", module))
	// Where this test alone was built, not all of it is in the module cache.
	goTool(t, root, nil, "list", "-deps", "./enqueue", "./worker", "./replies", "./intercom/intercomtest")
	mod, err := os.ReadFile(filepath.Join(from, "go.mod.txt"))
	require.NoError(t, err)
	ours, err := os.ReadFile(filepath.Join(root, "go.mod"))
	require.NoError(t, err)
	// The versions that are in the module cache are this module's.
	text := string(mod) + "\nreplace " + module + " => " + root + "\n" + requirements(string(ours))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "go.mod"), []byte(text), 0o600))
	for to, path := range map[string]string{
		"main.go": filepath.Join(from, "main.go"), "go.sum": filepath.Join(root, "go.sum"),
	} {
		b, err := os.ReadFile(path)
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(filepath.Join(dir, to), b, 0o600))
	}
	return dir
}

// requirements returns the require blocks of a go.mod.
func requirements(mod string) string {
	var out strings.Builder
	inside := false
	for line := range strings.Lines(mod) {
		inside = inside || strings.HasPrefix(line, "require")
		if inside {
			out.WriteString(line)
		}
		if strings.HasPrefix(line, ")") || strings.HasPrefix(line, "require ") && !strings.Contains(line, "(") {
			inside = false
		}
	}
	return out.String()
}

// goTool runs the Go tool and returns its output.
func goTool(t *testing.T, dir string, env []string, args ...string) string {
	t.Helper()
	// A cold build cache takes its time.
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GOWORK=off", "GOTOOLCHAIN=local")
	cmd.Env = append(cmd.Env, env...)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	require.NoError(t, err, "%.4000s", stderr.String())
	return string(out)
}

// raced tells whether this test was built with the race detector.
func raced() bool {
	info, ok := debug.ReadBuildInfo()
	return ok && slices.Contains(info.Settings, debug.BuildSetting{Key: "-race", Value: "true"})
}
