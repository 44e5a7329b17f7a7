//go:build integration && long

package integration

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/swarm-go/swarm/integration/engines"
)

func TestEnginesUpdateAsLintSays(t *testing.T) {
	t.Parallel()
	onEveryEngine(t, func(t *testing.T, e *engines.Engine) {
		assertFound(t, e, withSecretAndConfig(t, e), func(f found) bool { return f.Then != "" })
	})
}

func TestEnginesCrashWhereLintSaysSo(t *testing.T) {
	hints := readHints(t, "lint.json")
	onEveryOwnEngine(t, func(t *testing.T, first *engines.Engine) {
		version, _, _ := strings.Cut(first.Name, "-")
		for _, h := range hints {
			for _, f := range h.Found {
				if f.Crash == "" || !f.isOf(first) {
					continue
				}
				e := ownEngine(t, version)
				require.NoError(t, errors.Join(e.InitSwarm(t.Context()), e.LoadImages(t.Context())))
				s := merged(t, f.Spec, strings.NewReplacer())
				runnable(&s, serviceName(t, h.ID))
				createUnchecked(t, e, f.API, s)
				require.Eventually(t, func() bool { return e.Crash() != "" }, time.Minute, 100*time.Millisecond, h.ID)
				assert.Contains(t, e.Crash(), f.Crash)
			}
		}
	})
}
