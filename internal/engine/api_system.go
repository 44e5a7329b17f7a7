package engine

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// systemRoutes are the endpoints of the engine itself, its images, containers
// and volumes, logs and events.
var systemRoutes = slices.Concat([]route{
	{method: "GET", pattern: "/_ping", handle: (*call).ping},
	{method: "HEAD", pattern: "/_ping", handle: (*call).ping},
	{method: "GET", pattern: "/version", handle: (*call).version_},
	{method: "GET", pattern: "/info", handle: (*call).info},
	{method: "GET", pattern: "/events", handle: (*call).watchEvents},
	{method: "GET", pattern: "/system/df", handle: (*call).readDiskUsage},
	{method: "POST", pattern: "/auth", handle: (*call).auth},
	{method: "GET", pattern: "/distribution/{name...}/json", handle: (*call).inspectDistribution},
	{method: "GET", pattern: "/images/json", handle: (*call).listImages},
	{method: "GET", pattern: "/images/{name...}/json", handle: (*call).inspectImage},
	{method: "POST", pattern: "/images/create", handle: (*call).pullImage},
	{method: "GET", pattern: "/containers/json", handle: (*call).listContainers},
	{method: "GET", pattern: "/containers/{container}/json", handle: (*call).inspectContainer},
	{method: "GET", pattern: "/containers/{container}/logs", handle: (*call).containerLogs},
	{method: "GET", pattern: "/services/{id}/logs", handle: (*call).serviceLogs},
	{method: "GET", pattern: "/tasks/{id}/logs", handle: (*call).taskLogs},
}, unanswered)

// unanswered are the endpoints that engines have and the embedded engine does not
// answer: what is about building, about plugins, and about containers beside those
// of tasks. A number is N in 1.N, the first API version with the endpoint.
var unanswered = refuseAll(`
POST /build
POST /build/cancel
POST /build/prune
POST /commit
POST /session
POST /grpc
GET /images/get
GET /images/search
GET /images/{name...}/attestations 55
GET /images/{name...}/get
GET /images/{name...}/history
POST /images/load
POST /images/prune
POST /images/{name...}/push
POST /images/{name...}/tag
DELETE /images/{name...}
GET /containers/{id}/attach/ws
GET /containers/{id}/archive
GET /containers/{id}/changes
GET /containers/{id}/export
GET /containers/{id}/stats
GET /containers/{id}/top
HEAD /containers/{id}/archive
PUT /containers/{id}/archive
POST /containers/create
POST /containers/prune
POST /containers/{id}/attach
POST /containers/{id}/copy
POST /containers/{id}/exec
POST /containers/{id}/kill
POST /containers/{id}/pause
POST /containers/{id}/rename
POST /containers/{id}/resize
POST /containers/{id}/restart
POST /containers/{id}/start
POST /containers/{id}/stop
POST /containers/{id}/unpause
POST /containers/{id}/update
POST /containers/{id}/wait
DELETE /containers/{id}
GET /exec/{id}/json
POST /exec/{id}/resize
POST /exec/{id}/start
POST /networks/{id}/connect
POST /networks/{id}/disconnect
GET /plugins
GET /plugins/privileges
GET /plugins/{name...}/json
POST /plugins/create
POST /plugins/pull
POST /plugins/{name...}/disable
POST /plugins/{name...}/enable
POST /plugins/{name...}/push
POST /plugins/{name...}/set
POST /plugins/{name...}/upgrade
DELETE /plugins/{name...}
`)

func refuseAll(list string) []route {
	var routes []route
	for line := range strings.Lines(strings.TrimSpace(list)) {
		words := append(strings.Fields(line), "0")
		method, pattern := words[0], words[1]
		since, _ := strconv.Atoi(words[2])
		routes = append(routes, route{method: method, pattern: pattern, since: since, handle: func(*call) error {
			return refuse(http.StatusNotImplemented, "the embedded engine does not answer %s %s", method, pattern)
		}})
	}
	return routes
}
