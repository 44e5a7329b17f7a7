package engine

import "slices"

// swarmRoutes are the endpoints of the swarm and its objects.
var swarmRoutes = slices.Concat(
	serviceRoutes,
	taskRoutes,
	nodeRoutes,
	clusterRoutes,
	networkRoutes,
	volumeRoutes,
	secretKind.routes(),
	configKind.routes(),
)
