package wire_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/swarm-go/swarm/internal/wire"
)

func elements(r io.Reader) (all []string, err error) {
	for element, err := range wire.Elements(r) {
		if err != nil {
			return all, err
		}
		all = append(all, string(element))
	}
	return all, nil
}

func TestElementsAreYieldedAsTheyWereWritten(t *testing.T) {
	for body, want := range map[string][]string{
		`[]`:                          nil,
		` [ ] `:                       nil,
		`[1, {"a": [2, "]"]},null]`:   {`1`, `{"a": [2, "]"]}`, `null`},
		`[{"big":12345678901234567}]`: {`{"big":12345678901234567}`},
	} {
		all, err := elements(iotest.OneByteReader(strings.NewReader(body)))
		require.NoError(t, err, body)
		assert.Equal(t, want, all, body)
	}
}

func TestElementsCutAnywhereAreAnError(t *testing.T) {
	const body = `[{"a":1},{"b":[true,"x"]}]`
	for cut := range len(body) {
		_, err := elements(strings.NewReader(body[:cut]))
		assert.ErrorIs(t, err, io.ErrUnexpectedEOF, "cut at %d", cut)
	}
}

func TestElementsRefuseWhatIsNoArray(t *testing.T) {
	for _, body := range []string{`null`, `{}`, `1`, `<html>`, `[1]x`, `[1][2]`, `[1,]`, `[1 2]`} {
		_, err := elements(strings.NewReader(body))
		assert.Error(t, err, body)
	}
}

// endless yields the same byte for ever.
type endless byte

func (e endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = byte(e)
	}
	return len(p), nil
}

func TestElementsThatNeverEndAreCutOff(t *testing.T) {
	for name, body := range map[string]io.Reader{
		"spaces":  io.MultiReader(strings.NewReader(`[1`), endless(' ')),
		"string":  io.MultiReader(strings.NewReader(`["`), endless('a')),
		"nesting": io.MultiReader(strings.NewReader(`[`), endless('[')),
	} {
		_, err := elements(body)
		assert.Error(t, err, name)
		assert.False(t, errors.Is(err, io.ErrUnexpectedEOF), name)
	}
}

func TestSpaceAmongElementsIsBounded(t *testing.T) {
	some, tooMuch := strings.Repeat(" ", 2000), strings.Repeat("\n", 5000)
	for _, body := range []string{some + "[]", "[" + some + "]", "[1" + some + ",2]", "[1," + some + "2" + some + "]"} {
		_, err := elements(iotest.OneByteReader(strings.NewReader(body)))
		assert.NoError(t, err)
	}
	for _, body := range []string{tooMuch + "[]", "[" + tooMuch + "]", "[1" + tooMuch + ",2]", "[1,2" + tooMuch + "]"} {
		_, err := elements(iotest.OneByteReader(strings.NewReader(body)))
		assert.ErrorIs(t, err, wire.ErrTooLarge)
	}
}

func TestElementsStopWhenTheCallerDoes(t *testing.T) {
	for element, err := range wire.Elements(io.MultiReader(strings.NewReader(`[1,`), endless('2'))) {
		require.NoError(t, err)
		assert.Equal(t, "1", string(element))
		break
	}
}

func parse(t *testing.T, s string) wire.Node {
	t.Helper()
	n, err := wire.Parse([]byte(s))
	require.NoError(t, err, s)
	return n
}

func TestPatchChangesNothingButTheDifference(t *testing.T) {
	for _, test := range []struct{ name, raw, before, after, want string }{
		{"no change", `{"a":1.0,"x":null}`, `{"a":1}`, `{"a":1}`, `{"a":1.0,"x":null}`},
		{"set", `{"x":[],"a":1}`, `{"a":1}`, `{"a":2}`, `{"x":[],"a":2}`},
		{"add", `{"x":{}}`, `{}`, `{"a":{"b":1}}`, `{"x":{},"a":{"b":1}}`},
		{"add something empty", `{"x":1,"b":null}`, `{}`, `{"a":{},"b":{}}`, `{"x":1,"b":{},"a":{}}`},
		{"add over null", `{"a":null}`, `{}`, `{"a":{"b":1}}`, `{"a":{"b":1}}`},
		{"add into what was all unknown", `{"a":{"x":1}}`, `{}`, `{"a":{"b":1}}`, `{"a":{"x":1,"b":1}}`},
		{"remove", `{"x":1,"a":{"y":1}}`, `{"a":{}}`, `{}`, `{"x":1}`},
		{"deep", `{"a":{"x":{"q":1e3},"b":1}}`, `{"a":{"b":1}}`, `{"a":{"b":2}}`, `{"a":{"x":{"q":1e3},"b":2}}`},
		{"default that raw lacks", `{"m":{"x":1}}`, `{"m":{"p":1}}`, `{"m":{"p":1,"o":"s"}}`, `{"m":{"x":1,"o":"s"}}`},
		{"default that raw lacks, changed", `{"m":{}}`, `{"m":{"p":1}}`, `{"m":{"p":0}}`, `{"m":{"p":0}}`},
		{"scalars", `["a","b"]`, `["a","b"]`, `["b"]`, `["b"]`},
		{"element by place", `[{"x":1,"Target":"a","v":1}]`, `[{"Target":"a","v":1}]`, `[{"Target":"a","v":2}]`, `[{"x":1,"Target":"a","v":2}]`},
		{"element moved", `[{"Target":"a","x":1},{"Target":"b","x":2}]`, `[{"Target":"a"},{"Target":"b"}]`,
			`[{"Target":"b"},{"Target":"a"}]`, `[{"Target":"b","x":2},{"Target":"a","x":1}]`},
		{"element moved and changed", `[{"Target":"a","x":1},{"Target":"b","x":2}]`, `[{"Target":"a"},{"Target":"b"}]`,
			`[{"Target":"b","v":1}]`, `[{"Target":"b","x":2,"v":1}]`},
		{"new element", `[{"Target":"a","x":1}]`, `[{"Target":"a"}]`, `[{"Target":"c"},{"Target":"a"}]`, `[{"Target":"c"},{"Target":"a","x":1}]`},
		{"port", `[{"TargetPort":80,"Protocol":"tcp","x":1}]`, `[{"TargetPort":80,"Protocol":"tcp"}]`,
			`[{"TargetPort":80,"Protocol":"udp"},{"TargetPort":80,"Protocol":"tcp","PublishedPort":8}]`,
			`[{"TargetPort":80,"Protocol":"udp"},{"TargetPort":80,"Protocol":"tcp","x":1,"PublishedPort":8}]`},
		{"twins keep their order", `[{"Name":"a","x":1},{"Name":"a","x":2}]`, `[{"Name":"a"},{"Name":"a"}]`,
			`[{"Name":"a","v":1},{"Name":"a","v":2}]`, `[{"Name":"a","x":1,"v":1},{"Name":"a","x":2,"v":2}]`},
		{"privilege", `[{"name":"network","x":1},{"name":"mount"}]`, `[{"name":"network"},{"name":"mount"}]`,
			`[{"name":"mount"},{"name":"network","value":["host"]}]`, `[{"name":"mount"},{"name":"network","x":1,"value":["host"]}]`},
		{"another kind", `{"a":[1]}`, `{"a":[1]}`, `{"a":{"b":1}}`, `{"a":{"b":1}}`},
	} {
		patched := wire.Patch(parse(t, test.raw), parse(t, test.before), parse(t, test.after))
		assert.Equal(t, test.want, string(patched.Append(nil)), test.name)
	}
}

func TestPatchIsQuickOnHugeObjects(t *testing.T) {
	var big strings.Builder
	big.WriteString(`{"k0":0`)
	for i := 1; i < 200_000; i++ {
		fmt.Fprintf(&big, `,"k%d":%d`, i, i)
	}
	big.WriteString(`}`)
	raw := parse(t, big.String())
	after := parse(t, strings.Replace(big.String(), `"k7":7`, `"k7":8`, 1))
	value, _ := wire.Patch(raw, raw, after).Get("k7")
	assert.Equal(t, "8", string(value.Literal)) // quadratic time would not come to an end here
}

func TestParseBoundsNesting(t *testing.T) {
	_, err := wire.Parse([]byte(strings.Repeat("[", 5000) + strings.Repeat("]", 5000)))
	assert.Error(t, err)
}

func TestMarshalLeavesHTMLAlone(t *testing.T) {
	b, err := wire.Marshal(map[string]any{"b": "<&>", "a": []string(nil)})
	require.NoError(t, err)
	assert.Equal(t, `{"a":null,"b":"<&>"}`, string(b))
}

func TestOddTimesLeaveTheRestAlone(t *testing.T) {
	type inner struct {
		At   *time.Time
		Name string
	}
	type object struct {
		CreatedAt time.Time
		Name      string
		List      []inner
		Map       map[string]inner
	}
	const body = `{"CreatedAt":"yesterday","Name":"x","List":[{"At":12,"Name":"a"},{"At":"2026-11-21T01:59:10.41Z","Name":"b"}],"Map":{"k":{"At":"","Name":"c"}}}`
	var o object
	require.NoError(t, wire.Unmarshal([]byte(body), &o))
	at := time.Date(2026, 11, 21, 1, 59, 10, 410e6, time.UTC)
	assert.Equal(t, object{Name: "x", List: []inner{{Name: "a"}, {At: &at, Name: "b"}}, Map: map[string]inner{"k": {Name: "c"}}}, o)
	assert.Error(t, wire.Unmarshal([]byte(`{"Name":12}`), &o), "only times are forgiven")
	assert.Error(t, wire.Unmarshal([]byte(`{"CreatedAt":"yesterday","Name":12}`), &o))
	assert.Error(t, wire.Unmarshal([]byte(`{"CreatedAt":`), &o))
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(`{"a":[1,2.50,"x\u0000",null,true],"b":{}}`))
	f.Add([]byte(`{"a":1,"a":2}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		n, err := wire.Parse(data)
		if err != nil {
			return
		}
		require.True(t, json.Valid(data), "%q", data)
		again, err := wire.Parse(n.Append(nil))
		require.NoError(t, err)
		require.True(t, n.Equal(again))
		require.True(t, n.Equal(wire.Patch(n, n, again)))
	})
}

func FuzzElements(f *testing.F) {
	f.Add([]byte(`[1,{"a":2}]`))
	f.Fuzz(func(t *testing.T, data []byte) {
		all, err := elements(strings.NewReader(string(data)))
		var want []json.RawMessage
		if wantErr := json.Unmarshal(data, &want); wantErr != nil || want == nil {
			require.Error(t, err)
			return
		}
		require.NoError(t, err)
		require.Len(t, all, len(want))
		for i := range want {
			require.Equal(t, string(want[i]), all[i])
		}
	})
}

func values(r io.Reader, max int) (all []string, err error) {
	for value, err := range wire.Values(r, max) {
		if err != nil {
			return all, err
		}
		all = append(all, string(value))
	}
	return all, nil
}

func TestValuesAreYieldedHoweverTheyAreSeparated(t *testing.T) {
	want := []string{`{"a":1}`, `{"b":"} {"}`, `[2]`}
	for _, text := range []string{
		`{"a":1}{"b":"} {"}[2]`,
		"{\"a\":1}\n{\"b\":\"} {\"}\r\n\n[2]\n",
		"\x1e{\"a\":1}\n\x1e{\"b\":\"} {\"}\n\x1e[2]\n",
	} {
		got, err := values(iotest.OneByteReader(strings.NewReader(text)), 100)
		assert.NoError(t, err)
		assert.Equal(t, want, got)
	}
}

func TestValuesAreBoundedEachByItself(t *testing.T) {
	long := `"` + strings.Repeat("x", 1000) + `"`
	got, err := values(strings.NewReader(strings.Repeat(long+"\n", 100)), 2000)
	assert.NoError(t, err)
	assert.Len(t, got, 100)
	_, err = values(strings.NewReader(strings.Repeat(long+"\n", 3)), 900)
	assert.ErrorIs(t, err, wire.ErrTooLarge)
	_, err = values(endless(' '), 1<<20)
	assert.ErrorIs(t, err, wire.ErrTooLarge)
}

func TestValuesCutInsideAreAnError(t *testing.T) {
	for _, text := range []string{`{"a":1}{"b`, `{`, `"`, `{} tru`} {
		_, err := values(strings.NewReader(text), 100)
		assert.ErrorIs(t, err, io.ErrUnexpectedEOF, text)
	}
	got, err := values(strings.NewReader(" \n\x1e"), 100)
	assert.NoError(t, err)
	assert.Empty(t, got)
}

func FuzzValues(f *testing.F) {
	for _, seed := range []string{"", "{}", "{}{}", "\x1e{}\n\x1e[1]\n", "{}\x1e", "{\"a\":\"\x1e\"}", "1 2", "{", "\x00"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		const max = 64
		whole, wholeErr := values(bytes.NewReader(data), max)
		slow, slowErr := values(iotest.OneByteReader(bytes.NewReader(data)), max)
		if wholeErr == nil && slowErr == nil {
			assert.Equal(t, whole, slow)
		}
		for _, value := range append(whole, slow...) {
			assert.True(t, json.Valid([]byte(value)), "%q", value)
			assert.LessOrEqual(t, len(value), 1<<20)
		}
	})
}
