package engine

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/swarm-go/swarm"
)

// full is a swarm with 1,000 services of 10 tasks each, which run.
func full(b *testing.B) (s *scene, services []string) {
	s = newScene(b, 10)
	for i := range 1000 {
		spec := replicated("web:1", 10)
		spec.Name = fmt.Sprintf("web-%d", i)
		spec.UpdateConfig = rolling(2, swarm.PauseOnFailure, swarm.StopFirst)
		services = append(services, s.create(spec))
	}
	s.clock.Advance(time.Second)
	running := 0
	for _, id := range services {
		running += len(s.running(id))
	}
	require.Equal(b, 10_000, running)
	return s, services
}

func BenchmarkStartTenThousandTasks(b *testing.B) {
	for b.Loop() {
		s, _ := full(b)
		s.close()
	}
}

func BenchmarkListAThousandServicesAndTheirTasks(b *testing.B) {
	s, _ := full(b)
	for b.Loop() {
		for path, count := range map[string]int{"/services?status=true": 1000, "/tasks": 10_000} {
			recorder := httptest.NewRecorder()
			s.daemons[0].ServeHTTP(recorder, httptest.NewRequest(http.MethodGet, path, nil))
			var objects []json.RawMessage
			require.NoError(b, json.Unmarshal(recorder.Body.Bytes(), &objects))
			require.Len(b, objects, count)
		}
	}
}

func BenchmarkRollOneServiceOfAThousand(b *testing.B) {
	s, services := full(b)
	i := 0
	for b.Loop() {
		i++
		id := services[i%len(services)]
		s.change(id, func(spec *swarm.ServiceSpec) { spec.TaskTemplate.ForceUpdate++ })
		s.clock.Advance(2 * time.Second)
		require.Equal(b, swarm.UpdateCompleted, s.service(id).UpdateStatus.State)
	}
}

func BenchmarkRollAThousandServices(b *testing.B) {
	s, services := full(b)
	for b.Loop() {
		for _, id := range services {
			s.change(id, func(spec *swarm.ServiceSpec) { spec.TaskTemplate.ForceUpdate++ })
		}
		s.clock.Advance(3 * time.Second)
		for _, id := range services {
			require.Equal(b, swarm.UpdateCompleted, s.service(id).UpdateStatus.State)
		}
	}
}

func BenchmarkScaleOneServiceToTenThousand(b *testing.B) {
	for b.Loop() {
		s := newScene(b, 10)
		id := s.create(replicated("web:1", 10_000))
		s.clock.Advance(time.Second)
		require.Len(b, s.running(id), 10_000)
		s.change(id, func(spec *swarm.ServiceSpec) { spec.Mode = swarm.Replicated(0) })
		s.clock.Advance(time.Second)
		require.Empty(b, s.all(id))
		s.close()
	}
}
