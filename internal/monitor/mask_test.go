package monitor

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestFormatHidesTextAndKeepsWhatIdentifies(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", longText)
	for _, tt := range []struct{ name, payload, want string }{
		{"text", `{"body":"Hello"}`, `{"body":"•••• (5 bytes)"}`},
		{"bytes, not letters", `{"subject":"é"}`, `{"subject":"•••• (2 bytes)"}`},
		{"nothing to hide", `{"body":"","subject":null}`, `{"body":"","subject":null}`},
		{"depth", `{"a":[{"b":{"text":"Hi"}}]}`, `{"a":[{"b":{"text":"•••• (2 bytes)"}}]}`},
		{"case", `{"BODY":"Hi"}`, `{"BODY":"•••• (2 bytes)"}`},
		{"a number as phone", `{"phone":15551234567}`, `{"phone":"•••• (11 bytes)"}`},
		{"texts in a list", `{"body":["Hi",{"x":"Yo"}]}`, `{"body":["•••• (2 bytes)",{"x":"•••• (2 bytes)"}]}`},
		{
			"components", `{"components":[{"type":"BODY","parameters":[{"type":"text","text":"Hi","n":1}]}]}`,
			`{"components":[{"parameters":[{"n":"•••• (1 bytes)","text":"•••• (2 bytes)","type":"text"}],"type":"BODY"}]}`,
		},
		{
			"ids, keys, times and metadata",
			`{"at":"2026-11-22T15:00:00Z","key":"a<b","metadata":{"order":"10 42"},"n":12345678901234567890}`,
			`{"at":"2026-11-22T15:00:00Z","key":"a<b","metadata":{"order":"10 42"},"n":12345678901234567890}`,
		},
		{"long text under any key", `{"x":"` + long + `"}`, `{"x":"•••• (128 bytes)"}`},
		{"a long type", `{"body":{"type":"` + long + `"}}`, `{"body":{"type":"•••• (128 bytes)"}}`},
		{"a string alone", `"Hello"`, `•••• (5 bytes)`},
		{"no JSON", `Hello`, `5 bytes that are not JSON`},
		{"cut JSON", `{"body":"Hello`, `14 bytes that are not JSON`},
		{"two values", `{} Hello`, `8 bytes that are not JSON`},
		{"two JSON values", `{} {"body":"Hello"}`, `19 bytes that are not JSON`},
		{"nothing", ``, ``},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			require.Equal(t, tt.want, format("", []byte(tt.payload)))
		})
	}
}

func FuzzFormat(f *testing.F) {
	f.Add(`{"message":{"body":"SECRET"}}`)
	f.Add(`SECRET`)
	f.Fuzz(func(t *testing.T, payload string) {
		// Whatever the bytes are, a body beside them stays hidden.
		for _, p := range []string{payload, `{"body":"SECRET","x":` + payload + `}`, `[` + payload + `,{"body":"SECRET"}]`} {
			got := format("", []byte(p))
			if !strings.Contains(payload, "SECRET") {
				require.NotContains(t, got, "SECRET")
			}
		}
	})
}
