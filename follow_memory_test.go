package swarm_test

import (
	"fmt"
	"net/http"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/swarm-go/swarm"
	"github.com/swarm-go/swarm/internal/frames"
	"github.com/swarm-go/swarm/swarmtest"
)

// sentLogs counts what an engine sends of logs.
type sentLogs struct {
	http.ResponseWriter
	bytes *atomic.Int64
}

// Unwrap is for http.ResponseController.
func (s *sentLogs) Unwrap() http.ResponseWriter { return s.ResponseWriter }

func (s *sentLogs) Write(p []byte) (int, error) {
	n, err := s.ResponseWriter.Write(p)
	s.bytes.Add(int64(n))
	return n, err
}

// Real engines keep what a reader does not take in the memory of the swarm's leader,
// without limit, for as long as the stream is open.
func TestAStalledReaderMakesNoEngineGrow(t *testing.T) {
	const perSecond = 100
	synctest.Test(t, func(t *testing.T) {
		engine := swarmtest.Start(t)
		engine.Image("web:1", swarmtest.Image{Run: func(c *swarmtest.Container) int {
			padding := strings.Repeat("x", 10_000) // a megabyte a second
			for n := 1; c.Sleep(time.Second / perSecond); n++ {
				c.Printf("%d %s\n", n, padding)
			}
			return 0
		}})
		var sent atomic.Int64
		engine.Inject(swarmtest.Fault{Path: "/services/*/logs", Effect: func(next http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { next.ServeHTTP(&sentLogs{w, &sent}, r) })
		}})
		client := engine.Client()
		createFollowed(t, client, swarm.Global())
		time.Sleep(100 * time.Millisecond)
		logs, err := client.Services.Logs(t.Context(), "web", &swarm.LogOptions{Follow: true})
		require.NoError(t, err)
		defer logs.Close()
		written := 0
		read := func(lines int) {
			for range lines {
				entry, err := logs.Next()
				require.NoError(t, err)
				require.Nil(t, entry.Gap)
				written++
				require.True(t, strings.HasPrefix(entry.Text, fmt.Sprint(written, " ")), "%d: %.20q", written, entry.Text)
			}
		}
		for range 2 {
			read(5 * perSecond)
			before := sent.Load()
			time.Sleep(15 * time.Second)
			assert.Less(t, sent.Load()-before, int64(512<<10), "bytes on their way to nobody")
			assert.Zero(t, sentStreams(engine), "streams")
			before = sent.Load()
			read(15 * perSecond)
			assert.Greater(t, sent.Load()-before, int64(14<<20), "it is opened again")
		}
	})
}

// sentStreams counts the logs that are being sent.
func sentStreams(engine *swarmtest.Engine) (streams int) {
	for _, request := range engine.Requests() {
		if strings.HasSuffix(request.Path, "/logs") && !request.Done {
			streams++
		}
	}
	return streams
}

func TestFollowingTakesTheSameMemoryHoweverLong(t *testing.T) {
	engine := swarmtest.Start(t)
	engine.Image("web:1", swarmtest.Image{})
	client := engine.Client()
	createFollowed(t, client, swarm.Global())
	service, err := client.Services.Inspect(t.Context(), "web")
	require.NoError(t, err)
	engine.Inject(swarmtest.Fault{Path: "/services/*/logs", Effect: func(http.Handler) http.Handler { return endlessLog(service.ID) }})
	logs, err := client.Services.Logs(t.Context(), "web", &swarm.LogOptions{Follow: true})
	require.NoError(t, err)
	defer logs.Close()
	heapAfter := func(lines int) int {
		for range lines {
			_, err := logs.Next()
			require.NoError(t, err)
		}
		runtime.GC()
		var stats runtime.MemStats
		runtime.ReadMemStats(&stats)
		return int(stats.HeapAlloc)
	}
	first := heapAfter(20_000)
	assert.Less(t, heapAfter(100_000)-first, 1<<20)
}

// endlessLog is a log of ten tasks that has no end.
func endlessLog(service string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/vnd.docker.multiplexed-stream")
		at := time.Now().UTC()
		var frame []byte
		for n := 0; ; n++ {
			at = at.Add(time.Microsecond)
			text := fmt.Sprintf("%s com.docker.swarm.node.id=node,com.docker.swarm.service.id=%s,com.docker.swarm.task.id=task%d line %d\n",
				at.Format("2006-01-02T15:04:05.000000000Z"), service, n%10, n)
			frame = frames.Append(frame[:0], frames.Stdout, []byte(text))
			if _, err := w.Write(frame); err != nil {
				return
			}
		}
	})
}
