//go:build long

package swarm

import (
	"context"
	"io"
	"math/rand/v2"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Ten thousand logs that would never end are ended, while they are read, before and
// after, and by several at once. Each ends, here and at the engine.
func TestManyLogsAreEndedInEveryWay(t *testing.T) {
	const logs = 10_000
	var begun, left atomic.Int64
	client, _ := newLogServer(t, "1.45", inspected(`{"ID":"web"}`, func(w http.ResponseWriter, r *http.Request) {
		begun.Add(1)
		defer left.Add(1)
		w.Header().Set("Content-Type", multiplexedType)
		for r.Context().Err() == nil {
			_, _ = io.WriteString(w, logFrame(1, "line\n")+logFrame(2, "li"))
			_ = http.NewResponseController(w).Flush()
			select {
			case <-r.Context().Done():
			case <-time.After(time.Millisecond):
			}
		}
	}))
	var readers sync.WaitGroup
	for worker := range 16 {
		readers.Go(func() {
			random := rand.New(rand.NewPCG(uint64(worker), 4))
			for range logs / 16 {
				endLog(t, client, random)
			}
		})
	}
	readers.Wait()
	require.Eventually(t, func() bool { return left.Load() == begun.Load() }, 10*time.Second, 10*time.Millisecond)
	assert.EqualValues(t, logs, begun.Load())
}

// endLog opens a log and ends it in one way or another.
func endLog(t *testing.T, client *Client, random *rand.Rand) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	logs, err := client.Services.Logs(ctx, "web", &LogOptions{Follow: true, Raw: true})
	if !assert.NoError(t, err) {
		return
	}
	closing := func() { assert.NoError(t, logs.Close()) }
	ends := [][]func(){{cancel}, {closing}, {closing, closing, closing}, {cancel, closing}}[random.IntN(4)]
	end := func() {
		var together sync.WaitGroup
		defer together.Wait()
		time.Sleep(time.Duration(random.IntN(3)) * time.Millisecond)
		for _, f := range ends {
			together.Go(f)
		}
	}
	read := []func() error{
		func() error { return logs.Copy(io.Discard, io.Discard) },
		func() error { return readAll(logs) },
		func() error { _, err := logs.Next(); return err },
		func() error { return nil },
	}[random.IntN(4)]
	if random.IntN(4) == 0 { // before it is read
		end()
		_ = read()
	} else {
		var ending sync.WaitGroup
		ending.Go(end)
		_ = read()
		ending.Wait()
	}
	assert.NoError(t, logs.Close())
	_, err = logs.Next()
	assert.Error(t, err)
}

func readAll(logs *LogReader) error {
	for {
		if _, err := logs.Next(); err != nil {
			return err
		}
	}
}
