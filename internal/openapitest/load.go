package openapitest

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/gorillamux"
)

// Description is one version of Intercom's OpenAPI description. It is safe for
// concurrent use.
type Description struct {
	doc    *openapi3.T
	router routers.Router
}

// Load reads the description of a version such as "2.14". Where there is none
// the test is skipped, or fails if DISPATCH_REQUIRE_OPENAPI is 1.
func Load(tb testing.TB, version string) *Description {
	tb.Helper()
	file := "intercom-" + version + ".yaml"
	path, found := find(tb, file)
	if !found {
		const hint = "no %s: set OPENAPI_DIR to a folder with Intercom's OpenAPI descriptions"
		if os.Getenv("DISPATCH_REQUIRE_OPENAPI") == "1" {
			tb.Fatalf(hint, file)
		}
		tb.Skipf(hint, file)
	}
	doc, err := openapi3.NewLoader().LoadFromFile(path)
	if err != nil {
		tb.Fatalf("load %s: %v", file, err)
	}
	// Tests have hosts of their own.
	doc.Servers = openapi3.Servers{{URL: "/"}}
	router, err := gorillamux.NewRouter(doc)
	if err != nil {
		tb.Fatalf("route %s: %v", file, err)
	}
	return &Description{doc: doc, router: router}
}

func find(tb testing.TB, file string) (string, bool) {
	tb.Helper()
	dirs := []string{os.Getenv("OPENAPI_DIR")}
	dir, err := os.Getwd()
	if err != nil {
		tb.Fatalf("working directory: %v", err)
	}
	for ; dir != filepath.Dir(dir); dir = filepath.Dir(dir) {
		dirs = append(dirs, filepath.Join(dir, "shared", "openapi"))
	}
	for _, dir := range dirs {
		path := filepath.Join(dir, file)
		if _, err := os.Stat(path); dir != "" && err == nil {
			return path, true
		}
	}
	return "", false
}

// RequestExamples returns the documented examples of an operation's request
// body by their names.
func (d *Description) RequestExamples(tb testing.TB, method, path string) map[string][]byte {
	tb.Helper()
	item := d.doc.Paths.Value(path)
	if item == nil || item.GetOperation(method) == nil {
		tb.Fatalf("the description has no %s %s", method, path)
	}
	examples := make(map[string][]byte)
	for name, example := range item.GetOperation(method).RequestBody.Value.Content["application/json"].Examples {
		body, err := json.Marshal(example.Value.Value)
		if err != nil {
			tb.Fatalf("example %s: %v", name, err)
		}
		examples[name] = body
	}
	return examples
}

// schemaError tells what is wrong with a document of one of the description's
// schemas.
func (d *Description) schemaError(name string, body []byte) error {
	var v any
	if err := json.Unmarshal(body, &v); err != nil {
		return err
	}
	return d.doc.Components.Schemas[name].Value.VisitJSON(v, openapi3.MultiErrors())
}
