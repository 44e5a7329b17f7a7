package swarmtest_test

import (
	"context"
	"fmt"
	"log"
	"time"

	"github.com/swarm-go/swarm"
	"github.com/swarm-go/swarm/swarmtest"
)

// followTo follows the log of a service until a line comes.
func followTo(ctx context.Context, client *swarm.Client, service, last string) (lines []string, err error) {
	logs, err := client.Services.Logs(ctx, service, &swarm.LogOptions{Follow: true})
	if err != nil {
		return nil, err
	}
	for entry, err := range logs.Entries() {
		if err != nil {
			return lines, err
		}
		lines = append(lines, entry.Text)
		if entry.Text == last {
			break
		}
	}
	return lines, nil
}

// A log breaks off after some of its lines, twice.
func ExampleCutBody() {
	engine, err := swarmtest.NewEngine()
	if err != nil {
		log.Fatal(err)
	}
	defer engine.Close()
	engine.Image("count:1", swarmtest.Image{Run: func(c *swarmtest.Container) int {
		for i := 1; c.Sleep(5 * time.Millisecond); i++ {
			c.Printf("line %d\n", i)
		}
		return 0
	}})
	ctx, client := context.Background(), engine.Client()
	_, err = client.Services.Create(ctx, swarm.ServiceSpec{
		Name:         "count",
		TaskTemplate: swarm.TaskSpec{ContainerSpec: swarm.ContainerSpec{Image: "count:1"}},
	}, nil)
	if err != nil {
		log.Fatal(err)
	}
	fault := engine.Inject(swarmtest.Fault{Path: "/services/*/logs", Times: 2, Effect: swarmtest.CutBody(500)})
	lines, err := followTo(ctx, client, "count", "line 10")
	fmt.Println(len(lines), fault.Hits(), err)
	// Output: 10 2 <nil>
}
