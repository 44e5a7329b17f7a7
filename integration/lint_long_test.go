//go:build integration && long

package integration

import (
	"errors"
	"fmt"
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
	if withoutLab(t) {
		return
	}
	t.Parallel()
	hints := readHints(t, "lint.json")
	for _, known := range running {
		for _, h := range hints {
			for i, f := range h.Found {
				if f.Crash == "" || !f.isOf(known) {
					continue
				}
				t.Run(fmt.Sprintf("%s/%s-%d", known.Name, h.ID, i), func(t *testing.T) {
					t.Parallel()
					e := ownEngine(t, known.Name)
					require.NoError(t, errors.Join(e.InitSwarm(t.Context()), e.LoadImages(t.Context())))
					s := merged(t, f.Spec, strings.NewReplacer())
					runnable(&s, serviceName(t, h.ID))
					createUnchecked(t, e, f.API, s)
					require.Eventually(t, func() bool { return e.Crash() != "" }, time.Minute, 100*time.Millisecond)
					assert.Contains(t, e.Crash(), f.Crash)
				})
			}
		}
	}
}
