package intercom_test

import (
	"bytes"
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/intercom-dispatch/intercom-dispatch/intercom"
)

type member struct {
	name  string
	value string
}

// FuzzMembers holds the members against those that encoding/json finds.
func FuzzMembers(f *testing.F) {
	for _, s := range []string{
		`{}`, " {\t}\r\n", `{"a":1}`, ` { "a" : 1 , "b" : [ {"c":"}"} , "]" ] , "a" : null } `, `{"":"\\\"","\u0061":"\ud800"}`,
		`{"a":-1.5e3,"b":true,"c":{"d":{"e":[[],[{}]]}}}`, `[1]`, `null`, `"{"`, "{\"\xff\":\"\xff\"}", `{"a":{"b":"\\"}}`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		members, ok := intercom.Members(in)
		dec := json.NewDecoder(bytes.NewReader(in))
		dec.UseNumber()
		first, err := dec.Token()
		require.Equal(t, json.Valid(in) && err == nil && first == json.Delim('{'), ok)
		if !ok {
			return
		}
		var got, want []member
		for name, value := range members {
			got = append(got, member{name, string(value)})
		}
		for dec.More() {
			name, err := dec.Token()
			require.NoError(t, err)
			var value json.RawMessage
			require.NoError(t, dec.Decode(&value))
			want = append(want, member{name.(string), string(value)})
		}
		require.Equal(t, want, got)
	})
}

func TestMembersCanBeLeftEarly(t *testing.T) {
	t.Parallel()
	members, ok := intercom.Members([]byte(`{"a":1,"b":2}`))
	require.True(t, ok)
	for name := range members {
		require.Equal(t, "a", name)
		break
	}
}
