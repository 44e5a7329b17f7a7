package engine

import (
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
)

// documented are the endpoints in the API documents of 1.56, by method.
const documented = `
GET
/_ping /configs /configs/{id} /containers/json /containers/{id}/archive
/containers/{id}/attach/ws /containers/{id}/changes /containers/{id}/export
/containers/{id}/json /containers/{id}/logs /containers/{id}/stats /containers/{id}/top
/distribution/{name}/json /events /exec/{id}/json /images/get /images/json /images/search
/images/{name}/attestations /images/{name}/get /images/{name}/history /images/{name}/json /info
/networks /networks/{id} /nodes /nodes/{id} /plugins /plugins/privileges /plugins/{name}/json
/secrets /secrets/{id} /services /services/{id} /services/{id}/logs /swarm /swarm/unlockkey
/system/df /tasks /tasks/{id} /tasks/{id}/logs /version /volumes /volumes/{name}
HEAD
/_ping /containers/{id}/archive
POST
/auth /build /build/prune /commit /configs/create /configs/{id}/update /containers/create
/containers/prune /containers/{id}/attach /containers/{id}/exec /containers/{id}/kill
/containers/{id}/pause /containers/{id}/rename /containers/{id}/resize /containers/{id}/restart
/containers/{id}/start /containers/{id}/stop /containers/{id}/unpause /containers/{id}/update
/containers/{id}/wait /exec/{id}/resize /exec/{id}/start /images/create /images/load
/images/prune /images/{name}/push /images/{name}/tag /networks/create /networks/prune
/networks/{id}/connect /networks/{id}/disconnect /nodes/{id}/update /plugins/create
/plugins/pull /plugins/{name}/disable /plugins/{name}/enable /plugins/{name}/push
/plugins/{name}/set /plugins/{name}/upgrade /secrets/create /secrets/{id}/update
/services/create /services/{id}/update /session /swarm/init /swarm/join /swarm/leave
/swarm/unlock /swarm/update /volumes/create /volumes/prune
PUT
/containers/{id}/archive /volumes/{name}
DELETE
/configs/{id} /containers/{id} /images/{name} /networks/{id} /nodes/{id} /plugins/{name}
/secrets/{id} /services/{id} /volumes/{name}
`

var inBraces = regexp.MustCompile(`\{[A-Za-z.]+\}`)

// pathOf is a path that fits a pattern.
func pathOf(pattern string) string { return inBraces.ReplaceAllString(pattern, "x") }

// Each is answered, or refused by its name: none is taken for no page at all.
func TestEveryDocumentedEndpointIsThere(t *testing.T) {
	method, count := "", 0
	for _, word := range strings.Fields(documented) {
		if !strings.HasPrefix(word, "/") {
			method = word
			continue
		}
		count++
		there := false
		for _, route := range routes {
			there = there || route.method == method && route.path.MatchString(pathOf(word))
		}
		assert.True(t, there, "%s %s", method, word)
	}
	assert.Equal(t, 108, count)
}

func TestEveryEndpointThatIsNotAnsweredIsNamed(t *testing.T) {
	c := newManager(t, ReleaseNewest)
	for _, route := range unanswered {
		got := c.do(route.method, pathOf(route.pattern), "")
		assert.Equal(t, http.StatusNotImplemented, got.status, "%s %s", route.method, route.pattern)
		assert.Equal(t, "the embedded engine does not answer "+route.method+" "+route.pattern, got.message())
	}
	assert.Equal(t, "the embedded engine does not answer POST /volumes/create for cluster volumes",
		c.do(http.MethodPost, "/volumes/create", `{"Name":"shared","ClusterVolumeSpec":{}}`).message())
}
