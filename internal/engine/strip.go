package engine

import (
	"bytes"

	"github.com/swarm-go/swarm"
)

// strippedField is a part of a service's spec that engines drop without a word
// from requests that are too old for it.
type strippedField struct {
	// since is N in 1.N, the first API version with the field.
	since int
	// kept is set where an engine that knows the field takes it from requests of
	// every version.
	kept bool
	drop func(*swarm.ServiceSpec)
}

var strippedFields = []strippedField{
	{since: 40, drop: inContainer(func(c *swarm.ContainerSpec) {
		c.Sysctls = nil
		if p := c.Privileges; p != nil && p.CredentialSpec != nil {
			p.CredentialSpec.Config = ""
		}
		for i := range c.Configs {
			c.Configs[i].Runtime = nil
		}
	})},
	{since: 40, drop: func(s *swarm.ServiceSpec) {
		if p := s.TaskTemplate.Placement; p != nil {
			p.MaxReplicas = 0
		}
	}},
	{since: 41, drop: inContainer(func(c *swarm.ContainerSpec) {
		c.CapabilityAdd, c.CapabilityDrop, c.Ulimits = nil, nil, nil
	})},
	{since: 41, drop: func(s *swarm.ServiceSpec) {
		if r := s.TaskTemplate.Resources; r != nil && r.Limits != nil {
			r.Limits.Pids = 0
		}
		s.Mode.ReplicatedJob, s.Mode.GlobalJob = nil, nil
	}},
	{since: 44, drop: inContainer(func(c *swarm.ContainerSpec) {
		if p := c.Privileges; p != nil {
			p.Seccomp, p.AppArmor, p.NoNewPrivileges = nil, nil, nil
		}
		if h := c.Healthcheck; h != nil {
			h.StartInterval = 0
		}
	})},
	{since: 45, kept: true, drop: inContainer(func(c *swarm.ContainerSpec) {
		for _, mount := range c.Mounts {
			if mount.VolumeOptions != nil {
				mount.VolumeOptions.Subpath = ""
			}
		}
	})},
	{since: 46, drop: inContainer(func(c *swarm.ContainerSpec) {
		c.OomScoreAdj = 0
		for _, mount := range c.Mounts {
			if mount.TmpfsOptions != nil {
				mount.TmpfsOptions.Options = nil
			}
		}
	})},
	{since: 52, drop: func(s *swarm.ServiceSpec) {
		if r := s.TaskTemplate.Resources; r != nil {
			r.SwapBytes, r.MemorySwappiness = nil, nil
		}
	}},
}

func inContainer(drop func(*swarm.ContainerSpec)) func(*swarm.ServiceSpec) {
	return func(s *swarm.ServiceSpec) { drop(&s.TaskTemplate.ContainerSpec) }
}

// strip drops what an engine drops from a spec that was posted at API version
// 1.version, and what it does not know.
func strip(posted *postedSpec, release *Release, version int) {
	for _, field := range strippedFields {
		if release.API < field.since || version < field.since && !field.kept {
			field.drop(&posted.ServiceSpec)
		}
	}
	if release.API > 51 && version >= 44 {
		posted.Networks = nil
	}
}

// withoutUnknown takes out of a JSON answer a member that stored specs always
// have and an engine does not know. No text can look like it: its quotes
// would be escaped.
func withoutUnknown(answer []byte, release *Release) []byte {
	if release.API >= 44 {
		return answer
	}
	member := []byte(`"NoNewPrivileges":false`)
	answer = bytes.ReplaceAll(answer, append([]byte(","), member...), nil)
	return bytes.ReplaceAll(answer, member, nil)
}
