package swarm

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Progress is how far a rollout has come.
type Progress struct {
	// Service is the service's name.
	Service string
	// ServiceID is the service's full ID.
	ServiceID string
	// Phase is what the rollout is at.
	Phase RolloutPhase
	// Running is how many tasks of the wanted spec run, for jobs how many have
	// completed.
	Running uint64
	// Desired is how many there shall be.
	Desired uint64
	// UpToDate is how many tasks of the wanted spec there are, whether they run yet
	// or not; for jobs those of the run that is waited for.
	UpToDate uint64
	// Outdated is how many tasks of an older spec, or more than wanted, still run.
	Outdated uint64
	// Job tells that the service is a job, whose tasks are to complete.
	Job bool
	// UpdateStatus is what the engine says of its update; nil for new services,
	// and for changes that replace no task.
	UpdateStatus *UpdateStatus
	// Tasks are the current tasks, one a slot or node, in that order, with their
	// states and errors; for jobs all of the run.
	Tasks []Task
	// Reasons are why tasks do not run, as their nodes word it, each once; why there
	// are none, if no node takes any.
	Reasons []string
	// Settled is set when everything is as wanted and only has to last.
	Settled bool
}

// RolloutPhase is what a rollout is at.
type RolloutPhase string

// The phases of a rollout.
const (
	// PhaseStarting means that tasks are coming up, or are being stopped.
	PhaseStarting RolloutPhase = "starting"
	// PhaseUpdating means that the engine is replacing tasks.
	PhaseUpdating RolloutPhase = "updating"
	// PhaseRollingBack means that the engine is putting the previous spec back.
	PhaseRollingBack RolloutPhase = "rolling back"
	// PhaseSettling means that everything is as wanted and has to last.
	PhaseSettling RolloutPhase = "settling"
	// PhaseDone means that the rollout is a success.
	PhaseDone RolloutPhase = "done"
	// PhaseFailed means that the rollout has come to another end.
	PhaseFailed RolloutPhase = "failed"
)

// String is the progress in one line, fit to print: "web: 2 of 3 tasks run, 1
// preparing".
func (p Progress) String() string {
	var b strings.Builder
	verb := "run"
	if p.Job {
		verb = "complete"
	}
	fmt.Fprintf(&b, "%s: %d of %d tasks %s", printable(p.Service), p.Running, p.Desired, verb)
	if p.Running < p.Desired {
		b.WriteString(p.missing())
	}
	if p.Outdated > 0 {
		fmt.Fprintf(&b, ", %d outdated", p.Outdated)
	}
	if p.UpdateStatus != nil && p.UpdateStatus.State != UpdateCompleted {
		fmt.Fprintf(&b, ", %s", printable(string(p.UpdateStatus.State)))
	}
	if len(p.Reasons) > 0 && p.Phase != PhaseSettling && p.Phase != PhaseDone {
		fmt.Fprintf(&b, " (%s)", strings.Join(p.Reasons, "; "))
	}
	return b.String()
}

// missing counts the tasks that are not there yet, by how far they have come.
func (p Progress) missing() string {
	counts := map[TaskState]int{}
	for _, task := range p.Tasks {
		if state := task.Status.State; state != TaskComplete && (p.Job || state != TaskRunning) {
			counts[state]++
		}
	}
	var b strings.Builder
	for _, state := range sortedStates(counts) {
		fmt.Fprintf(&b, ", %d %s", counts[state], printable(string(state)))
	}
	return b.String()
}

func sortedStates(counts map[TaskState]int) []TaskState {
	states := make([]TaskState, 0, len(counts))
	for state := range counts {
		states = append(states, state)
	}
	slices.SortFunc(states, CompareTaskStates)
	return states
}

// fingerprint is what has to differ for a progress to be another one.
func (p Progress) fingerprint() string {
	var b strings.Builder
	fmt.Fprint(&b, p.String(), p.Phase, p.UpToDate)
	for _, task := range p.Tasks {
		fmt.Fprint(&b, " ", task.ID, task.Status.State, task.Status.Err)
	}
	return b.String()
}

// maxReasons bounds what errors quote.
const maxReasons = 3

// reasonsOf are the newest errors of tasks that do not run, each once.
func reasonsOf(tasks []Task) []string {
	tasks = slices.Clone(tasks)
	slices.SortStableFunc(tasks, func(a, b Task) int { return b.CreatedAt.Compare(a.CreatedAt) })
	var reasons []string
	for _, task := range tasks {
		if len(reasons) == maxReasons {
			break
		}
		if reason := task.reason(); reason != "" && !slices.Contains(reasons, reason) {
			reasons = append(reasons, reason)
		}
	}
	return reasons
}

// reason is why a task does not run, fit to print; empty if it does, or if nobody
// says.
func (t *Task) reason() string {
	if t.Status.Err == "" || t.Status.State == TaskRunning {
		return ""
	}
	return printable(clip(fmt.Sprintf("%s: %s", cmp.Or(t.Status.State, "?"), t.Status.Err), 256))
}
