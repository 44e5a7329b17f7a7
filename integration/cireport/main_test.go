package main

import (
	"bytes"
	"io"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func judge(t *testing.T, engines string, lines ...string) (problems []string, output string) {
	var out bytes.Buffer
	r := newReport(&out)
	require.NoError(t, r.read(strings.NewReader(strings.Join(lines, "\n"))))
	return r.judge(strings.Fields(engines)), out.String()
}

func TestPassedTestsAreCountedByPackage(t *testing.T) {
	problems, output := judge(t, "",
		`{"Action":"pass","Package":"p","Test":"TestA/x"}`,
		`{"Action":"pass","Package":"p","Test":"TestA"}`,
		`{"Action":"pass","Package":"p","Elapsed":1.5}`,
		`{"Action":"skip","Package":"without/tests"}`)
	assert.Empty(t, problems)
	assert.Contains(t, output, "2 passed     1.5s")
}

func TestFailureIsPrintedWithItsOutput(t *testing.T) {
	problems, output := judge(t, "",
		`{"Action":"output","Package":"p","Test":"TestA","Output":"want 1, got 2\n"}`,
		`{"Action":"output","Package":"p","Test":"TestB","Output":"quiet\n"}`,
		`{"Action":"pass","Package":"p","Test":"TestB"}`,
		`{"Action":"fail","Package":"p","Test":"TestA"}`,
		`{"Action":"fail","Package":"p"}`)
	assert.Equal(t, []string{"test failed: p TestA", "package failed: p"}, problems)
	assert.Contains(t, output, "want 1, got 2")
	assert.NotContains(t, output, "quiet")
}

func TestNotesArePrintedOnceThoughTheTestPasses(t *testing.T) {
	problems, output := judge(t, "",
		`{"Action":"output","Package":"p","Output":"note: engine 28.5: version 29.0\n"}`,
		`{"Action":"output","Package":"p","Test":"TestA","Output":"    a_test.go:12: note: 3 rows\n"}`,
		`{"Action":"output","Package":"p","Test":"TestA","Output":"    a_test.go:13: no note: 4 rows\n"}`,
		`{"Action":"output","Package":"p","Test":"TestB","Output":"    b_test.go:1: note: 3 rows\n"}`,
		`{"Action":"pass","Package":"p","Test":"TestA"}`,
		`{"Action":"pass","Package":"p","Test":"TestB"}`,
		`{"Action":"pass","Package":"p"}`)
	assert.Empty(t, problems)
	assert.True(t, strings.HasPrefix(output, "note: engine 28.5: version 29.0\nnote: 3 rows\nok "), output)
}

func TestPanicAndBuildOutputArePrinted(t *testing.T) {
	problems, output := judge(t, "",
		`{"Action":"build-output","ImportPath":"q","Output":"q.go:1: no such thing\n"}`,
		`{"Action":"fail","Package":"q"}`,
		`{"Action":"output","Package":"p","Test":"TestA","Output":"panic: test timed out\n"}`,
		`{"Action":"fail","Package":"p"}`,
		`not json`)
	assert.Equal(t, []string{"package failed: q", "package failed: p", "no test ran"}, problems)
	for _, text := range []string{"no such thing", "timed out", "not json"} {
		assert.Contains(t, output, text)
	}
}

func TestSkippedTestIsAProblem(t *testing.T) {
	problems, _ := judge(t, "",
		`{"Action":"pass","Package":"p","Test":"TestA"}`,
		`{"Action":"skip","Package":"p","Test":"TestB"}`,
		`{"Action":"pass","Package":"p"}`)
	assert.Equal(t, []string{"test skipped: p TestB"}, problems)
}

func TestNoTestsAreAProblem(t *testing.T) {
	problems, _ := judge(t, "", `{"Action":"pass","Package":"p"}`)
	assert.Equal(t, []string{"no test ran"}, problems)
}

func TestEnginesMustHaveRunTheSameTests(t *testing.T) {
	problems, _ := judge(t, "26.1 28.5",
		`{"Action":"pass","Package":"p","Test":"TestA/26.1/x"}`,
		`{"Action":"pass","Package":"p","Test":"TestA/28.5/x"}`,
		`{"Action":"pass","Package":"p","Test":"TestA/28.5/y"}`,
		`{"Action":"pass","Package":"p","Test":"TestOfNoEngine/z"}`)
	assert.Equal(t, []string{"p TestA/ENGINE/y did not run on 26.1"}, problems)
}

func TestEnginesMustHaveRunTests(t *testing.T) {
	problems, _ := judge(t, "28.5", `{"Action":"pass","Package":"p","Test":"TestA"}`)
	assert.Equal(t, []string{"no test ran on an engine"}, problems)
}

func TestOnlyTestsThatFailedByThemselvesAreRunOnceMore(t *testing.T) {
	failed := []string{
		`{"Action":"fail","Package":"p","Test":"TestA/26.1/x"}`,
		`{"Action":"fail","Package":"p","Test":"TestA/26.1"}`,
		`{"Action":"pass","Package":"p","Test":"TestA/28.5"}`,
		`{"Action":"fail","Package":"p","Test":"TestA"}`,
		`{"Action":"pass","Package":"p","Test":"TestB/26.1"}`,
		`{"Action":"pass","Package":"p","Test":"TestB/28.5"}`,
	}
	const end = `{"Action":"fail","Package":"p"}`
	for name, test := range map[string]struct {
		more []string
		want []string
	}{
		"a test":                       {[]string{end}, []string{"TestA"}},
		"and one that was skipped":     {[]string{`{"Action":"skip","Package":"p","Test":"TestC"}`, end}, nil},
		"and one on one engine only":   {[]string{`{"Action":"pass","Package":"p","Test":"TestC/28.5"}`, end}, nil},
		"and one that never ended":     {[]string{`{"Action":"output","Package":"p","Test":"TestC","Output":"panic"}`, end}, nil},
		"and a package without a test": {[]string{end, `{"Action":"fail","Package":"q"}`}, nil},
	} {
		r := newReport(io.Discard)
		require.NoError(t, r.read(strings.NewReader(strings.Join(append(failed[:len(failed):len(failed)], test.more...), "\n"))))
		assert.Equal(t, test.want, r.again([]string{"26.1", "28.5"}), name)
	}
}
