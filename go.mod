module github.com/swarm-go/swarm

go 1.26.0

require (
	github.com/Microsoft/go-winio v0.6.4
	github.com/distribution/reference v0.6.0
	github.com/docker/go-units v0.5.0
	github.com/stretchr/testify v1.12.1
	go.uber.org/goleak v1.3.0
	golang.org/x/net v0.62.0
)

require (
	github.com/opencontainers/go-digest v1.0.0 // indirect
	go.yaml.in/yaml/v3 v3.0.5 // indirect
	golang.org/x/sys v0.49.0 // indirect
	golang.org/x/text v0.43.0 // indirect
)
