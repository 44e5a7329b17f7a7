package engine

import (
	"fmt"
	"net/http"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/swarm-go/swarm"
)

// minimal is the least that engines take for a service, and what they make of it.
const (
	minimal = `{"Name":"web","TaskTemplate":{"ContainerSpec":{"Image":"nginx"}}}`
	stored  = `{"Name":"web","Labels":{},"TaskTemplate":{"ContainerSpec":{"Image":"nginx","Isolation":"default"},` +
		`"ForceUpdate":0,"Runtime":"container"},"Mode":{"Replicated":{"Replicas":1}}}`
)

func TestServicesAreStoredAsEnginesConvertThem(t *testing.T) {
	c := newManager(t, Release285)
	id := c.create("/services/create", minimal)
	got := c.do(http.MethodGet, "/services/web", "")
	service := get[swarm.Service](c, "/services/"+id)
	assert.JSONEq(t, fmt.Sprintf(`{"ID":%q,"Version":{"Index":%d},"CreatedAt":"2026-01-02T03:04:05Z",`+
		`"UpdatedAt":"2026-01-02T03:04:05Z","Spec":%s,"Endpoint":{"Spec":{}}}`, id, service.Version.Index, stored), got.body)
}

func TestServicesAreUpdatedAndRolledBack(t *testing.T) {
	c := newManager(t, Release285)
	id := c.create("/services/create", minimal)
	update := func(query, spec string) answer {
		version := get[swarm.Service](c, "/services/"+id).Version.Index
		return c.do(http.MethodPost, fmt.Sprintf("/services/web/update?version=%d%s", version, query), spec)
	}
	got := update("&rollback=previous", minimal)
	assert.Equal(t, "rpc error: code = FailedPrecondition desc = service "+id+" does not have a previous spec", got.message())
	got = update("", `{"Name":"web","TaskTemplate":{"ContainerSpec":{"Image":"nginx:2"}}}`)
	require.Equal(t, http.StatusOK, got.status, got.body)
	assert.Equal(t, `{"Warnings":null}`, got.body)
	service := get[swarm.Service](c, "/services/"+id)
	assert.Equal(t, "nginx:2", service.Spec.TaskTemplate.ContainerSpec.Image)
	assert.Equal(t, "nginx", service.PreviousSpec.TaskTemplate.ContainerSpec.Image)

	require.Equal(t, http.StatusOK, update("&rollback=previous", minimal).status)
	service = get[swarm.Service](c, "/services/"+id)
	assert.Equal(t, "nginx", service.Spec.TaskTemplate.ContainerSpec.Image)
	assert.Equal(t, "nginx:2", service.PreviousSpec.TaskTemplate.ContainerSpec.Image)
	assert.Equal(t, swarm.RollbackInProgress, service.UpdateStatus.State)
	got = c.do(http.MethodPost, "/services/web/update?version=1", minimal)
	assert.Equal(t, http.StatusInternalServerError, got.status)
	assert.Equal(t, "rpc error: code = Unknown desc = update out of sequence", got.message())
}
