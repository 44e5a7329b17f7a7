//go:build integration

package integration

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestPythonLibraryCannotTellTheEmbeddedEngineApart(t *testing.T) {
	sideBySide(t, func(t *testing.T, c *contender) {
		c.run(t, "", "/usr/bin/python3", "testdata/client.py")
	}, func(t *testing.T, real, embedded *contender) {
		assert.Zero(t, real.answers[0].code, real.answers[0].text)
		assert.Equal(t, real.answers[0].text, embedded.answers[0].text)
	})
}
