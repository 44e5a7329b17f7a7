package main

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/moby/moby/client"
)

// inspections is how often a service is inspected in a turn.
const inspections = 200

// measureReal measures the clients on a real engine: inspecting a service, and reading
// its log.
func measureReal(rounds int, host, service string) (string, error) {
	ours, moby, fsouza, err := connect(host)
	if err != nil {
		return "", err
	}
	defer ours.Close()
	defer moby.Close()
	ctx := context.Background()
	inspect := []func() error{
		func() error { _, err := ours.Services.Inspect(ctx, service); return err },
		func() error { _, err := moby.ServiceInspect(ctx, service, client.ServiceInspectOptions{}); return err },
		func() error { _, err := fsouza.InspectService(service); return err },
	}
	inspected, err := takeTurns(rounds, len(inspect), func(i int) error {
		for range inspections {
			if err := inspect[i](); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return "", err
	}
	log := &input{ours: ours, moby: moby, fsouza: fsouza, service: service}
	var read [3]int64
	copied, err := takeTurns(rounds, len(read), func(i int) (err error) {
		read[i], err = []func(*input) (int64, error){ourCopy, mobyCopy, fsouzaCopy}[i](log)
		return err
	})
	if err != nil {
		return "", err
	}
	if read[0] == 0 || read[0] != read[1] || read[1] != read[2] {
		return "", fmt.Errorf("the log of %s is of another length each time, or empty: %d", service, read)
	}
	var table strings.Builder
	table.WriteString("| real engine | this library | moby | go-dockerclient |\n|---|---|---|---|\n")
	writeReal(&table, fmt.Sprintf("%d inspections", inspections), inspected)
	writeReal(&table, fmt.Sprintf("log of %d bytes", read[0]), copied)
	return table.String(), nil
}

func writeReal(w io.Writer, name string, costs [][]cost) {
	fmt.Fprintf(w, "| %s |", name)
	for i := range costs {
		fmt.Fprintf(w, " %.0f ms, %.2f of moby's, CPU %.0f ms, %.2f of moby's |", 1e3*median(costs[i], wall), ratio(costs[i], costs[1], wall), 1e3*median(costs[i], cpu), ratio(costs[i], costs[1], cpu))
	}
	fmt.Fprintln(w)
}
