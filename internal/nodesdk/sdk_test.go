package nodesdk_test

import (
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/intercom-dispatch/intercom-dispatch/intercom/intercomtest"
)

func TestOfficialSDKWorksWithTheFake(t *testing.T) {
	t.Parallel()
	node := requireNode(t)
	fake := intercomtest.New(intercomtest.Config{Token: "secret"})
	t.Cleanup(fake.Close)
	fake.AddContact(intercomtest.Contact{ID: "6762f2391bb69f9f2193bc19", Email: "jo@example.com"})
	server := httptest.NewServer(fake)
	t.Cleanup(server.Close)

	cmd := exec.CommandContext(t.Context(), node, "check.js")
	cmd.Env = append(os.Environ(),
		"INTERCOM_URL="+server.URL, "INTERCOM_TOKEN=secret", "CONTACT_ID=6762f2391bb69f9f2193bc19")
	out, err := cmd.CombinedOutput()
	t.Logf("%s", out)
	require.NoError(t, err)
	require.Equal(t, 10, strings.Count(string(out), ": ok\n"))
	require.Len(t, fake.Created(), 2)
	require.Equal(t, "Hello from Node", fake.Created()[0].Body)
}

// requireNode returns where node is, if the SDK is installed too.
func requireNode(t *testing.T) string {
	t.Helper()
	node, err := exec.LookPath("node")
	if err == nil {
		_, err = os.Stat("node_modules/intercom-client")
	}
	if err == nil {
		return node
	}
	const hint = "needs node, and npm ci in internal/nodesdk: %v"
	if os.Getenv("DISPATCH_REQUIRE_NODE") == "1" {
		t.Fatalf(hint, err)
	}
	t.Skipf(hint, err)
	return ""
}
