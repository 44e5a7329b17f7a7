package swarm_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/swarm-go/swarm"
	"github.com/swarm-go/swarm/swarmtest"
)

// followed is a followed log, read in the background.
type followed struct {
	logs *swarm.LogReader

	mu    sync.Mutex
	lines []string // "TASK TEXT", and "gap TASK"
	gaps  []swarm.LogGap
	times map[string]time.Time // of the last lines, by task
	ended chan error
}

func follow(t *testing.T, client *swarm.Client, opts swarm.LogOptions) *followed {
	t.Helper()
	opts.Follow = true
	logs, err := client.Services.Logs(t.Context(), "web", &opts)
	require.NoError(t, err)
	f := &followed{logs: logs, ended: make(chan error, 1), times: map[string]time.Time{}}
	go func() {
		for {
			entry, err := logs.Next()
			if err != nil {
				f.ended <- err
				return
			}
			f.mu.Lock()
			if entry.Gap != nil {
				f.gaps = append(f.gaps, *entry.Gap)
				f.lines = append(f.lines, "gap "+entry.Gap.TaskID)
			} else {
				f.lines = append(f.lines, entry.TaskID+" "+entry.Text)
				f.times[entry.TaskID] = entry.Time
			}
			f.mu.Unlock()
		}
	}()
	return f
}

// got are the lines so far.
func (f *followed) got() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]string{}, f.lines...)
}

// missing are the gaps so far.
func (f *followed) missing() []swarm.LogGap {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.gaps)
}

// lastOf is the time of the last line of a task.
func (f *followed) lastOf(task string) time.Time {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.times[task]
}

// texts counts the texts so far, whatever task they are of.
func (f *followed) texts() map[string]int {
	counts := map[string]int{}
	for _, line := range f.got() {
		_, text, _ := strings.Cut(line, " ")
		counts[text]++
	}
	return counts
}

func (f *followed) close(t *testing.T) {
	t.Helper()
	require.NoError(t, f.logs.Close())
	assert.ErrorIs(t, <-f.ended, swarm.ErrClosed)
}

// ticking is an engine with a service whose tasks write a numbered line a second, each
// beginning with the name of its node.
func ticking(t *testing.T, opts ...swarmtest.Option) (*swarmtest.Engine, *swarm.Client) {
	t.Helper()
	engine := swarmtest.Start(t, opts...)
	engine.Image("web:1", swarmtest.Image{Run: func(c *swarmtest.Container) int {
		for i := 1; c.Sleep(time.Second); i++ {
			c.Printf("%s %d\n", c.Node().Description.Hostname, i)
		}
		c.Printf("bye\n")
		return 0
	}})
	client := engine.Client()
	createFollowed(t, client, swarm.Global())
	return engine, client
}

func createFollowed(t *testing.T, client *swarm.Client, mode swarm.ServiceMode) {
	t.Helper()
	_, err := client.Services.Create(t.Context(), swarm.ServiceSpec{Name: "web", Mode: mode,
		TaskTemplate: swarm.TaskSpec{ContainerSpec: swarm.ContainerSpec{Image: "web:1"}}}, nil)
	require.NoError(t, err)
}

// checkCounted checks that every line from 1 on is there once, up to at least last.
func checkCounted(t *testing.T, f *followed, node string, last int) {
	t.Helper()
	texts := f.texts()
	n := 0
	for texts[fmt.Sprintf("%s %d", node, n+1)] > 0 {
		n++
		assert.Equal(t, 1, texts[fmt.Sprintf("%s %d", node, n)], "%s %d", node, n)
	}
	assert.GreaterOrEqual(t, n, last, "%s: %d lines in order, then %v", node, n, texts)
	for text := range texts {
		var number int
		if _, err := fmt.Sscanf(text, node+" %d", &number); err == nil {
			assert.LessOrEqual(t, number, n, "%s", text)
		}
	}
}

func TestFollowingEndsWithTheContextOrClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, client := ticking(t)
		f := follow(t, client, swarm.LogOptions{})
		time.Sleep(3500 * time.Millisecond)
		checkCounted(t, f, "node-1", 3)
		f.close(t)

		ctx, cancel := context.WithCancel(t.Context())
		logs, err := client.Services.Logs(ctx, "web", &swarm.LogOptions{Follow: true})
		require.NoError(t, err)
		time.AfterFunc(time.Minute, cancel)
		assert.ErrorIs(t, logs.Copy(io.Discard, io.Discard), context.Canceled)
	})
}

func TestFollowingSurvivesWhateverBreaksOff(t *testing.T) {
	for name, fault := range map[string]func(*swarmtest.Engine){
		"cut connections":    func(e *swarmtest.Engine) { e.Nodes()[0].CutConnections() },
		"a replaced session": func(e *swarmtest.Engine) { e.Nodes()[1].ReplaceSession() },
		"cut in a frame": func(e *swarmtest.Engine) {
			e.Inject(swarmtest.Fault{Path: "/services/*/logs", Times: 5, Effect: swarmtest.CutBody(300)})
			e.Nodes()[0].CutConnections()
		},
		"a clean end": func(e *swarmtest.Engine) {
			e.Inject(swarmtest.Fault{Path: "/services/*/logs", Times: 5, Effect: swarmtest.EndBody(400)})
			e.Nodes()[0].CutConnections()
		},
		"an engine's error": func(e *swarmtest.Engine) {
			e.Inject(swarmtest.Fault{Path: "/services/*/logs", Times: 5, Effect: swarmtest.EndLogs(3, "Error grabbing logs: rpc error: code = Canceled desc = context canceled")})
			e.Nodes()[0].CutConnections()
		},
		"no answers": func(e *swarmtest.Engine) {
			hang := e.Inject(swarmtest.Fault{Effect: swarmtest.Hang()})
			e.Nodes()[0].CutConnections()
			time.AfterFunc(20*time.Second, hang.Remove)
		},
		"refusals": func(e *swarmtest.Engine) {
			refuse := e.Inject(swarmtest.Fault{Effect: swarmtest.Refuse(503, "This node is not a swarm manager. Worker nodes can't be used to view or modify cluster state. Please run this command on a manager node or promote the current node to a manager.")})
			e.Nodes()[0].CutConnections()
			time.AfterFunc(20*time.Second, refuse.Remove)
		},
		"nothing": func(*swarmtest.Engine) {},
	} {
		for _, terminal := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, terminal %v", name, terminal), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					engine, client := ticking(t, swarmtest.WithNodes(1, 1))
					if terminal {
						require.NoError(t, client.Services.Remove(t.Context(), "web"))
						_, err := client.Services.Create(t.Context(), swarm.ServiceSpec{Name: "web", Mode: swarm.Global(),
							TaskTemplate: swarm.TaskSpec{ContainerSpec: swarm.ContainerSpec{Image: "web:1", TTY: true}}}, nil)
						require.NoError(t, err)
					}
					f := follow(t, client, swarm.LogOptions{})
					time.Sleep(10500 * time.Millisecond)
					fault(engine)
					time.Sleep(90 * time.Second)
					checkCounted(t, f, "node-1", 95)
					checkCounted(t, f, "node-2", 95)
					assert.Empty(t, f.missing())
					f.close(t)
				})
			})
		}
	}
}

func TestFollowingHealsASilentNodeWithinAMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		engine, client := ticking(t, swarmtest.WithNodes(1, 1))
		f := follow(t, client, swarm.LogOptions{})
		for round := range 2 {
			time.Sleep(10 * time.Minute)
			engine.Nodes()[1].ReplaceSession()
			time.Sleep(time.Minute)
			checkCounted(t, f, "node-2", (round+1)*660-2)
		}
		checkCounted(t, f, "node-1", 2*660-2)
		assert.Empty(t, f.missing())
		f.close(t)
	})
}

// So it does if nothing has ever come of the node.
func TestFollowingHealsANodeThatWasSilentFromTheBeginning(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		engine, client := ticking(t)
		f := follow(t, client, swarm.LogOptions{})
		time.Sleep(10 * time.Second)
		late, err := engine.AddNode(swarmtest.NodeOptions{Name: "late"})
		require.NoError(t, err)
		late.ReplaceSession()
		time.Sleep(time.Minute)
		for range 20 {
			time.Sleep(10 * time.Second)
			count := 0
			for text := range f.texts() {
				if strings.HasPrefix(text, "late ") {
					count++
				}
			}
			tasks, err := client.Tasks.List(t.Context(), &swarm.TaskListOptions{Nodes: []string{late.ID()}})
			require.NoError(t, err)
			assert.GreaterOrEqual(t, count, int(time.Since(tasks[0].Status.Timestamp)/time.Second)-2)
		}
		checkCounted(t, f, "late", 250)
		assert.Empty(t, f.missing())
		f.close(t)
	})
}

func TestFollowingTellsOfNodesThatNeverComeBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		engine, client := ticking(t, swarmtest.WithNodes(1, 2))
		f := follow(t, client, swarm.LogOptions{})
		time.Sleep(10500 * time.Millisecond)
		lost := engine.Nodes()[2]
		tasks, err := client.Tasks.List(t.Context(), &swarm.TaskListOptions{Nodes: []string{lost.ID()}})
		require.NoError(t, err)
		require.Len(t, tasks, 1)
		lost.Stop()
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		assert.Empty(t, f.missing(), "it may come back")
		require.NoError(t, client.Nodes.Remove(t.Context(), lost.ID(), &swarm.NodeRemoveOptions{Force: true}))
		time.Sleep(time.Minute)
		synctest.Wait()
		last := f.lastOf(tasks[0].ID)
		assert.False(t, last.IsZero())
		assert.Equal(t, []swarm.LogGap{{TaskID: tasks[0].ID, After: last}}, f.missing())
		checkCounted(t, f, "node-1", 185)
		checkCounted(t, f, "node-2", 185)
		checkCounted(t, f, "node-3", 9)
		f.close(t)
	})
}

// A task that is scaled away takes with it what it wrote last. Only if nothing may have
// come of its node any more that is a gap.
func TestFollowingTellsOfTasksThatVanishFromSilentNodes(t *testing.T) {
	for _, silent := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			engine := swarmtest.Start(t, swarmtest.WithNodes(1, 1))
			engine.Image("web:1", swarmtest.Image{Run: func(c *swarmtest.Container) int {
				for i := 1; c.Sleep(time.Second); i++ {
					c.Printf("%d %d\n", c.Task().Slot, i)
				}
				return 0
			}})
			client := engine.Client()
			createFollowed(t, client, swarm.Replicated(2))
			f := follow(t, client, swarm.LogOptions{})
			time.Sleep(20 * time.Second)
			tasks, err := client.Tasks.List(t.Context(), nil)
			require.NoError(t, err)
			vanishing := tasks[slices.IndexFunc(tasks, func(task swarm.Task) bool { return task.Slot == 2 })]
			if node := engine.Nodes()[slices.IndexFunc(engine.Nodes(), func(n *swarmtest.Node) bool { return n.ID() == vanishing.NodeID })]; silent {
				node.ReplaceSession()
			}
			require.NoError(t, client.Nodes.Modify(t.Context(), vanishing.NodeID, func(node *swarm.Node) error {
				node.Spec.Labels = map[string]string{"a": "b"} // or anything else
				return nil
			}))
			time.Sleep(5 * time.Second)
			_, err = client.Services.Scale(t.Context(), "web", 1, nil)
			require.NoError(t, err)
			time.Sleep(time.Minute)
			if silent {
				assert.Equal(t, []swarm.LogGap{{TaskID: vanishing.ID, After: f.lastOf(vanishing.ID)}}, f.missing())
			} else {
				assert.Empty(t, f.missing())
				assert.Equal(t, 1, f.texts()["2 24"])
			}
			f.close(t)
		})
	}
}

func TestFollowingTellsOfTasksThatNobodyHasSeen(t *testing.T) {
	for _, long := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			engine := swarmtest.Start(t)
			engine.Image("web:1", swarmtest.Image{Run: func(c *swarmtest.Container) int {
				c.Printf("%s\n", c.Task().ID)
				c.Sleep(5 * time.Second)
				return 1
			}})
			client := engine.Client()
			createFollowed(t, client, swarm.Replicated(1))
			f := follow(t, client, swarm.LogOptions{})
			time.Sleep(30 * time.Second)
			known, err := client.Tasks.List(t.Context(), nil)
			require.NoError(t, err)
			outage := 10 * time.Second
			if long {
				outage = 5 * time.Minute
			}
			refuse := engine.Inject(swarmtest.Fault{Effect: swarmtest.Refuse(http.StatusInternalServerError, "rpc error: code = Unknown desc = The swarm does not have a leader.")})
			engine.Nodes()[0].CutConnections()
			time.Sleep(outage)
			refuse.Remove()
			time.Sleep(time.Minute)
			unseen := slices.DeleteFunc(f.missing(), func(gap swarm.LogGap) bool { return gap.TaskID != "" })
			if !long {
				assert.Empty(t, unseen)
				f.close(t)
				return
			}
			require.Len(t, unseen, 1)
			newest := slices.MaxFunc(known, func(a, b swarm.Task) int { return a.CreatedAt.Compare(b.CreatedAt) })
			assert.WithinDuration(t, newest.CreatedAt, unseen[0].After, 12*time.Second)
			assert.WithinDuration(t, newest.CreatedAt.Add(outage), unseen[0].Before, time.Minute)
			assert.Contains(t, unseen[0].String(), "lines of tasks that nobody has seen may be missing between 2000-01-01T00:00:")
			f.close(t)
		})
	}
}

func TestFollowingBeginsWithTheTail(t *testing.T) {
	for tail, first := range map[int]int{swarm.TailNone: 11, 1: 10, 3: 8, 0: 1, 100: 1} {
		synctest.Test(t, func(t *testing.T) {
			engine, client := ticking(t, swarmtest.WithNodes(1, 1))
			time.Sleep(10500 * time.Millisecond)
			f := follow(t, client, swarm.LogOptions{Tail: tail})
			time.Sleep(10 * time.Second)
			engine.Nodes()[0].CutConnections()
			time.Sleep(10 * time.Second)
			_, err := engine.AddNode(swarmtest.NodeOptions{Name: "late"})
			require.NoError(t, err)
			time.Sleep(10 * time.Second)
			for _, node := range []string{"node-1", "node-2"} {
				for i := range 35 {
					want := 0
					if i+1 >= first {
						want = 1
					}
					assert.Equal(t, want, f.texts()[fmt.Sprintf("%s %d", node, i+1)], "tail %d: %s %d", tail, node, i+1)
				}
			}
			checkCounted(t, f, "late", 8)
			assert.Empty(t, f.missing())
			f.close(t)
		})
	}
}

func TestFollowingOneStreamBeginsWithTheTailOfBoth(t *testing.T) {
	for tail, first := range map[int]int{swarm.TailNone: 11, 1: 11, 2: 10, 6: 8, 0: 1} {
		synctest.Test(t, func(t *testing.T) {
			engine := swarmtest.Start(t, swarmtest.WithNodes(1, 1))
			engine.Image("web:1", swarmtest.Image{Run: func(c *swarmtest.Container) int {
				for i := 1; c.Sleep(time.Second); i++ {
					fmt.Fprintf(c.Stderr(), "%s %d\n", c.Node().Description.Hostname, i)
					c.Printf("not this\n")
				}
				return 0
			}})
			client := engine.Client()
			createFollowed(t, client, swarm.Global())
			time.Sleep(10500 * time.Millisecond)
			f := follow(t, client, swarm.LogOptions{Tail: tail, Only: swarm.LogStderr})
			time.Sleep(10 * time.Second)
			engine.Nodes()[0].CutConnections()
			time.Sleep(50 * time.Second)
			for _, node := range []string{"node-1", "node-2"} {
				for i := range 65 {
					want := 0
					if i+1 >= first {
						want = 1
					}
					assert.Equal(t, want, f.texts()[fmt.Sprintf("%s %d", node, i+1)], "tail %d: %s %d", tail, node, i+1)
				}
			}
			assert.Zero(t, f.texts()["not this"])
			assert.Empty(t, f.missing())
			f.close(t)
		})
	}
}

func TestFollowingBeginsWithoutTheTailOfNodesThatCannotBeAsked(t *testing.T) {
	for tail, gaps := range map[int]int{swarm.TailNone: 0, 3: 2} {
		synctest.Test(t, func(t *testing.T) {
			engine, client := ticking(t, swarmtest.WithNodes(1, 1))
			time.Sleep(10500 * time.Millisecond)
			engine.Inject(swarmtest.Fault{Path: "/services/*/logs", Times: 1, Effect: swarmtest.EndLogs(0, "Error grabbing logs: rpc error: code = Unknown desc = warning: incomplete log stream. some logs could not be retrieved for the following reasons: nodes are not available")})
			began := time.Now()
			f := follow(t, client, swarm.LogOptions{Tail: tail})
			time.Sleep(50 * time.Second)
			for _, node := range []string{"node-1", "node-2"} {
				for i := range 55 {
					want := 0
					if i+1 > 10 {
						want = 1
					}
					assert.Equal(t, want, f.texts()[fmt.Sprintf("%s %d", node, i+1)], "tail %d: %s %d", tail, node, i+1)
				}
			}
			assert.Len(t, f.missing(), gaps)
			for _, gap := range f.missing() {
				assert.Equal(t, swarm.LogGap{TaskID: gap.TaskID, Before: began}, gap)
				assert.NotEmpty(t, gap.TaskID)
			}
			f.close(t)
		})
	}
}

// What a task has written last, a panic for instance, may have no line feed.
func TestFollowingHandsOutALastLineWithoutAnEnd(t *testing.T) {
	for _, terminal := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			engine := swarmtest.Start(t)
			engine.Image("web:1", swarmtest.Image{Run: func(c *swarmtest.Container) int {
				fmt.Fprintf(c.Stderr(), "whole %d\n", c.Task().Slot)
				if c.Task().Slot == 1 {
					c.Printf("last 1")
					c.Sleep(10 * time.Second)
					return 1
				}
				c.Sleep(50 * time.Second)
				c.Printf("late 2\n")
				c.Wait()
				return 0
			}})
			client := engine.Client()
			_, err := client.Services.Create(t.Context(), swarm.ServiceSpec{Name: "web", Mode: swarm.Replicated(2),
				TaskTemplate: swarm.TaskSpec{ContainerSpec: swarm.ContainerSpec{Image: "web:1", TTY: terminal},
					RestartPolicy: &swarm.RestartPolicy{Condition: swarm.RestartNone}}}, nil)
			require.NoError(t, err)
			f := follow(t, client, swarm.LogOptions{})
			time.Sleep(45 * time.Second)
			assert.Equal(t, map[string]int{"whole 1": 1, "whole 2": 1, "last 1": 1}, f.texts())
			time.Sleep(45 * time.Second)
			assert.Equal(t, map[string]int{"whole 1": 1, "whole 2": 1, "last 1": 1, "late 2": 1}, f.texts())
			assert.Empty(t, f.missing())
			f.close(t)
		})
	}
}

// Pieces of a line have its time, whatever comes between them.
func TestFollowingGoesOnInALineThatTheOtherStreamInterrupts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		engine := swarmtest.Start(t)
		piece := strings.Repeat("x", 16<<10)
		engine.Image("web:1", swarmtest.Image{Run: func(c *swarmtest.Container) int {
			c.Printf("%s", piece)
			fmt.Fprint(c.Stderr(), "between\n")
			c.Printf("%s", piece)
			c.Sleep(10 * time.Second)
			c.Printf("%s the end\n", piece)
			c.Wait()
			return 0
		}})
		client := engine.Client()
		createFollowed(t, client, swarm.Global())
		f := follow(t, client, swarm.LogOptions{})
		for range 2 {
			time.Sleep(4 * time.Second)
			engine.Nodes()[0].CutConnections()
		}
		time.Sleep(time.Minute)
		assert.Empty(t, f.missing())
		assert.Equal(t, map[string]int{"between": 1, piece + piece + piece + " the end": 1}, f.texts())
		f.close(t)
	})
}

func TestFollowingEndsWithARemovedService(t *testing.T) {
	for offset := range 8 {
		synctest.Test(t, func(t *testing.T) {
			_, client := ticking(t, swarmtest.WithNodes(1, 1))
			f := follow(t, client, swarm.LogOptions{})
			time.Sleep(10500*time.Millisecond + time.Duration(offset)*510*time.Millisecond)
			require.NoError(t, client.Services.Remove(t.Context(), "web"))
			removed := time.Now()
			err := <-f.ended
			assert.ErrorIs(t, err, swarm.ErrRemoved)
			assert.Less(t, time.Since(removed), 5*time.Second)
			assert.Equal(t, 2, f.texts()["bye"], "the last lines")
			assert.Empty(t, f.missing())
			_, err = f.logs.Next()
			assert.ErrorIs(t, err, swarm.ErrRemoved)
		})
	}
}

func TestFollowingEndsWhenNothingIsKeptAnyMore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, client := ticking(t, swarmtest.WithNodes(1, 1))
		f := follow(t, client, swarm.LogOptions{})
		time.Sleep(10500 * time.Millisecond)
		_, err := client.Services.Modify(t.Context(), "web", func(service *swarm.Service) error {
			service.Spec.TaskTemplate.LogDriver = &swarm.Driver{Name: "none"}
			return nil
		}, nil)
		require.NoError(t, err)
		assert.ErrorIs(t, <-f.ended, swarm.ErrLogsNotReadable)
		assert.Equal(t, 2, f.texts()["bye"], "the last lines")
		assert.Empty(t, f.missing())
	})
}

func TestFollowingEndsWhenAllTasksAreDone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		engine := swarmtest.Start(t)
		engine.Image("web:1", swarmtest.Image{Run: func(c *swarmtest.Container) int {
			for i := range 30 {
				c.Printf("%d\n", i)
				c.Sleep(time.Second)
			}
			c.Printf("bye\n")
			return 0
		}})
		client := engine.Client()
		createFollowed(t, client, swarm.ReplicatedJob(4, 1))
		f := follow(t, client, swarm.LogOptions{UntilDone: true})
		for range 4 {
			time.Sleep(25 * time.Second)
			engine.Nodes()[0].CutConnections()
		}
		assert.Equal(t, io.EOF, <-f.ended)
		assert.Equal(t, 4, f.texts()["bye"])
		assert.Equal(t, 4, f.texts()["29"])
		assert.Len(t, f.got(), 4*31)
		assert.Empty(t, f.missing())

		tasks, err := client.Tasks.List(t.Context(), nil)
		require.NoError(t, err)
		logs, err := client.Tasks.Logs(t.Context(), tasks[0].ID, &swarm.LogOptions{Follow: true})
		require.NoError(t, err)
		var out strings.Builder
		assert.NoError(t, logs.Copy(&out, nil), "the log of a task ends with it")
		assert.Equal(t, 31, strings.Count(out.String(), "\n"))
	})
}

func TestFollowingEndsAtItsTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, client := ticking(t, swarmtest.WithNodes(1, 1))
		f := follow(t, client, swarm.LogOptions{Until: time.Now().Add(10500 * time.Millisecond)})
		assert.Equal(t, io.EOF, <-f.ended)
		for _, node := range []string{"node-1", "node-2"} {
			assert.Equal(t, 1, f.texts()[node+" 10"])
			assert.Zero(t, f.texts()[node+" 11"])
		}
	})
}

func TestFollowingUntilATimeThatIsPastReadsWhatThereIs(t *testing.T) {
	for tail, first := range map[int]int{0: 1, 5: 26, swarm.TailNone: 31} {
		synctest.Test(t, func(t *testing.T) {
			_, client := ticking(t, swarmtest.WithNodes(1, 1))
			time.Sleep(30500 * time.Millisecond)
			began := time.Now()
			f := follow(t, client, swarm.LogOptions{Until: began.Add(-10 * time.Second), Tail: tail})
			assert.Equal(t, io.EOF, <-f.ended)
			assert.Less(t, time.Since(began), 5*time.Second)
			for _, node := range []string{"node-1", "node-2"} {
				for i := range 30 {
					want := 0
					if i+1 >= first && i+1 <= 20 {
						want = 1
					}
					assert.Equal(t, want, f.texts()[fmt.Sprintf("%s %d", node, i+1)], "tail %d: %s %d", tail, node, i+1)
				}
			}
		})
	}
}

// However long it takes to read, as long as something comes.
func TestFollowingUntilATimeThatIsPastLeavesNothingOut(t *testing.T) {
	const lines = 20_000
	synctest.Test(t, func(t *testing.T) {
		engine := swarmtest.Start(t)
		engine.Image("web:1", swarmtest.Image{Run: func(c *swarmtest.Container) int {
			for i := range lines {
				c.Printf("%d\n", i)
			}
			c.Wait()
			return 0
		}})
		client := engine.Client()
		createFollowed(t, client, swarm.Global())
		time.Sleep(5 * time.Second)
		logs, err := client.Services.Logs(t.Context(), "web", &swarm.LogOptions{Follow: true, Until: time.Now()})
		require.NoError(t, err)
		count := 0
		for entry, err := range logs.Entries() {
			require.NoError(t, err)
			require.Equal(t, fmt.Sprint(count), entry.Text)
			if count++; count%100 == 0 {
				time.Sleep(time.Second)
			}
		}
		assert.Equal(t, lines, count)
	})
}

func TestFollowingUntilATimeTellsOfANodeThatCannotBeAskedThen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		engine, client := ticking(t, swarmtest.WithNodes(1, 1))
		f := follow(t, client, swarm.LogOptions{Until: time.Now().Add(30500 * time.Millisecond)})
		time.Sleep(25 * time.Second)
		lost := engine.Nodes()[1]
		tasks, err := client.Tasks.List(t.Context(), &swarm.TaskListOptions{Nodes: []string{lost.ID()}})
		require.NoError(t, err)
		lost.Stop()
		assert.ErrorIs(t, <-f.ended, swarm.ErrLogsIncomplete)
		checkCounted(t, f, "node-1", 30)
		assert.Equal(t, []swarm.LogGap{{TaskID: tasks[0].ID, After: f.lastOf(tasks[0].ID)}}, f.missing())
	})
}

func TestFollowingTakesInNewTasksFromTheirFirstLine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		engine, client := ticking(t)
		f := follow(t, client, swarm.LogOptions{Tail: swarm.TailNone})
		for i := range 5 {
			time.Sleep(7 * time.Second)
			name := fmt.Sprintf("late-%d", i)
			if i%2 == 0 {
				engine.Nodes()[0].CutConnections()
			}
			_, err := engine.AddNode(swarmtest.NodeOptions{Name: name})
			require.NoError(t, err)
		}
		time.Sleep(20 * time.Second)
		for i := range 5 {
			checkCounted(t, f, fmt.Sprintf("late-%d", i), 17)
		}
		assert.Empty(t, f.missing())
		f.close(t)
	})
}

func TestFollowingGivesUpOnWhatDoesNotPass(t *testing.T) {
	for status, want := range map[int]error{401: swarm.ErrUnauthorized, 403: swarm.ErrForbidden} {
		synctest.Test(t, func(t *testing.T) {
			engine, client := ticking(t)
			f := follow(t, client, swarm.LogOptions{})
			time.Sleep(3500 * time.Millisecond)
			engine.Inject(swarmtest.Fault{Path: "/services/*/logs", Effect: swarmtest.Refuse(status, "no")})
			engine.Nodes()[0].CutConnections()
			assert.ErrorIs(t, <-f.ended, want)
		})
	}
	synctest.Test(t, func(t *testing.T) {
		engine, client := ticking(t)
		f := follow(t, client, swarm.LogOptions{})
		time.Sleep(3500 * time.Millisecond)
		engine.Inject(swarmtest.Fault{Effect: swarmtest.Refuse(503, "This node is not part of a swarm")})
		engine.Nodes()[0].CutConnections()
		began := time.Now()
		err := <-f.ended
		assert.True(t, errors.Is(err, swarm.ErrNotManager) || errors.Is(err, swarm.ErrNoSwarm), "%v", err)
		assert.Greater(t, time.Since(began), 50*time.Second, "engines say so while they start")
	})
}

func TestASlowReaderHoldsNoStreamOpen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		engine, client := ticking(t)
		time.Sleep(1500 * time.Millisecond)
		logs, err := client.Services.Logs(t.Context(), "web", &swarm.LogOptions{Follow: true})
		require.NoError(t, err)
		for i := 1; i <= 20; i++ {
			entry, err := logs.Next()
			require.NoError(t, err)
			assert.Equal(t, fmt.Sprintf("node-1 %d", i), entry.Text)
			if i%5 == 0 {
				time.Sleep(10 * time.Minute)
				assert.Zero(t, sentStreams(engine))
			}
		}
		require.NoError(t, logs.Close())
	})
}
