package swarmtest_test

import (
	"bytes"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/swarm-go/swarm"
	"github.com/swarm-go/swarm/swarmtest"
)

// A cut is an error wherever it comes. Where an answer just ends, it is one unless
// that is between frames.
func TestLogsAreCutAtAnyByte(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		engine := swarmtest.Start(t)
		engine.Image("web:1", swarmtest.Image{Run: func(c *swarmtest.Container) int {
			c.Printf("one\n")
			c.Printf("two\n")
			c.Wait()
			return 0
		}})
		client := engine.Client()
		spec := web()
		spec.Mode = swarm.Replicated(1)
		_, err := client.Services.Create(t.Context(), spec, nil)
		require.NoError(t, err)
		time.Sleep(time.Second)
		read := func(effect swarmtest.Effect) (text string, err error) {
			injection := engine.Inject(swarmtest.Fault{Path: "/services/*/logs", Effect: effect})
			defer injection.Remove()
			request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "/services/web/logs?stdout=1", nil)
			require.NoError(t, err)
			response, err := client.Do(request)
			require.NoError(t, err)
			defer response.Body.Close()
			var got bytes.Buffer
			err = swarm.Demux(&got, nil, response.Body)
			return got.String(), err
		}
		const frame = 8 + len("one\n")
		for n := range 2 * frame {
			text, err := read(swarmtest.CutBody(n))
			assert.Error(t, err, n)
			assert.True(t, strings.HasPrefix("one\ntwo\n", text), text)
			_, err = read(swarmtest.EndBody(n))
			assert.Equal(t, n%frame != 0, err != nil, "%d: %v", n, err)
		}
		text, err := read(swarmtest.CutBody(2 * frame))
		require.NoError(t, err)
		assert.Equal(t, "one\ntwo\n", text)
	})
}
