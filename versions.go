package swarm

import (
	"github.com/swarm-go/swarm/internal/wire"
)

// since is one row of the table of what each API version added.
type since struct {
	// what is a JSON path below its root type ("ServiceSpec.TaskTemplate.Runtime",
	// "[]" for the elements of a list), a value of such a path ("….Type=cluster"),
	// an endpoint ("GET /tasks/{id}/logs"), a query parameter of one ("GET /services ?status")
	// or a filter of one ("GET /services filter:mode").
	what string
	// version is the first API version that has it.
	version version
	// stripped: engines that know the field drop it from requests below version.
	// Others keep it, but an engine whose newest API is below version does not
	// know it at all.
	stripped bool
}

// checkCall refuses a call whose endpoint, query parameters or filters are newer
// than the API version of the request.
func checkCall(call *call, have version) error {
	return nil
}

// checkFields refuses a value of the type root that holds a field newer than the
// API version of the request: engines would drop it silently.
func checkFields(root string, value wire.Node, have version) error {
	return nil
}

// unknownFields lists the members of a value that the type root does not know,
// as full paths.
func unknownFields(root string, value wire.Node) []string {
	return nil
}
