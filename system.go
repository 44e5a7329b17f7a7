package swarm

import (
	"context"
	"net/http"
)

// SystemClient asks the engine about itself. It works without a swarm.
type SystemClient struct{ client *Client }

// Ping asks the engine for a sign of life. An engine that is not there is
// [ErrUnreachable]. A manager without a leader still answers.
//
// Engine endpoint: GET /_ping
func (s *SystemClient) Ping(ctx context.Context) error {
	return s.client.do(ctx, unversioned(http.MethodGet, "/_ping", "ping"), nil)
}

// EngineVersion is what GET /version says of the engine.
type EngineVersion struct {
	// Version is the engine's release, "28.5.2".
	Version string
	// APIVersion is the newest API version the engine speaks, "1.51".
	APIVersion string `json:"ApiVersion"`
	// MinAPIVersion is the oldest API version the engine speaks, "1.24". Engines
	// before 1.13 do not say.
	MinAPIVersion string `json:",omitzero"`
	// GitCommit is the commit the engine was built from.
	GitCommit string
	// GoVersion is the Go release the engine was built with.
	GoVersion string
	// OS is the engine's operating system, "linux" or "windows".
	OS string `json:"Os"`
	// Arch is the engine's architecture as Go names it, "amd64".
	Arch string
	// KernelVersion is the kernel the engine runs on.
	KernelVersion string `json:",omitzero"`
	// Experimental reports that experimental features are on.
	Experimental bool `json:",omitzero"`
	// BuildTime is when the engine was built, as the engine words it.
	BuildTime string `json:",omitzero"`
}

// Version says which engine this is.
//
// Engine endpoint: GET /version
func (s *SystemClient) Version(ctx context.Context) (*EngineVersion, error) {
	version := new(EngineVersion)
	if err := s.client.do(ctx, unversioned(http.MethodGet, "/version", "read version"), version); err != nil {
		return nil, err
	}
	return version, nil
}
