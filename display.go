package swarm

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// ShortID is the beginning of an ID that the docker command prints: 12
// characters. Reading verbs take it as long as it is unique, changing ones never.
func ShortID(id string) string {
	return id[:min(len(id), 12)]
}

// CompareNames orders names as the docker command does: numbers inside of them
// count as numbers, so that web2 comes before web10. Of numbers that are equal
// the one with fewer leading zeros comes first; letters are compared byte by
// byte.
func CompareNames(a, b string) int {
	for a != "" && b != "" {
		if !isDigit(a[0]) || !isDigit(b[0]) {
			if a[0] != b[0] {
				return cmp.Compare(a[0], b[0])
			}
			a, b = a[1:], b[1:]
			continue
		}
		var order int
		if order, a, b = compareNumbers(a, b); order != 0 {
			return order
		}
	}
	return cmp.Compare(len(a), len(b))
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

// compareNumbers compares the numbers, of any length, that a and b begin with,
// and returns what follows them.
func compareNumbers(a, b string) (order int, restA, restB string) {
	numberA, restA := cutNumber(a)
	numberB, restB := cutNumber(b)
	digitsA, digitsB := strings.TrimLeft(numberA, "0"), strings.TrimLeft(numberB, "0")
	return cmp.Or(cmp.Compare(len(digitsA), len(digitsB)), strings.Compare(digitsA, digitsB), cmp.Compare(len(numberA), len(numberB))), restA, restB
}

func cutNumber(text string) (number, rest string) {
	end := strings.IndexFunc(text, func(r rune) bool { return r < '0' || r > '9' })
	if end < 0 {
		end = len(text)
	}
	return text[:end], text[end:]
}

// CompareServices orders services by name as "docker service ls" does, see
// [CompareNames]. It is for slices.SortFunc; names are unique, so that the order
// is always the same.
func CompareServices(a, b Service) int {
	return cmp.Or(CompareNames(a.Spec.Name, b.Spec.Name), strings.Compare(a.ID, b.ID))
}

// CompareTasks orders tasks as "docker service ps" does: by their display names,
// see [Task.DisplayName] and [CompareNames], and those of one slot or node from
// the newest to the oldest. It is given the names of the services by their IDs;
// one that is missing is called by its ID. The result is for slices.SortFunc.
func CompareTasks(services map[string]string) func(a, b Task) int {
	return func(a, b Task) int {
		return cmp.Or(
			CompareNames(a.DisplayName(services[a.ServiceID]), b.DisplayName(services[b.ServiceID])),
			b.CreatedAt.Compare(a.CreatedAt),
			strings.Compare(a.ID, b.ID),
		)
	}
}

// DisplayName is what the docker command calls a task: the name of its service
// and its slot, "web.1", or its node, "web.2fa8…", in a global service. Tasks do
// not know the name of their service; if it is empty, the service's ID stands for
// it. Slot 0 of a replicated job is called by its node, too, as soon as it has
// one.
func (t *Task) DisplayName(service string) string {
	place := strconv.Itoa(t.Slot)
	if t.Slot == 0 && t.NodeID != "" {
		place = t.NodeID
	}
	return cmp.Or(service, t.ServiceID) + "." + place
}

// DisplayReplicas is what "docker service ls" prints as REPLICAS: how many tasks
// run and how many shall, "2/3"; with a limit for each node "2/3 (max 1 per
// node)"; of a job also how many are done, "1/2 (3/5 completed)". The service
// must come from a list, which alone has a ServiceStatus; without one all counts
// are 0.
func (s *Service) DisplayReplicas() string {
	var count ServiceStatus
	if s.ServiceStatus != nil {
		count = *s.ServiceStatus
	}
	text := fmt.Sprintf("%d/%d", count.RunningTasks, count.DesiredTasks)
	switch placement := s.Spec.TaskTemplate.Placement; s.Spec.Mode.Kind() {
	case ModeReplicated:
		if placement != nil && placement.MaxReplicas > 0 {
			text += fmt.Sprintf(" (max %d per node)", placement.MaxReplicas)
		}
	case ModeReplicatedJob:
		text += fmt.Sprintf(" (%d/%d completed)", count.CompletedTasks, totalCompletions(s.Spec.Mode.ReplicatedJob))
	case ModeGlobalJob: // tasks that are done are not desired any more
		text += fmt.Sprintf(" (%d/%d completed)", count.CompletedTasks, count.DesiredTasks+count.CompletedTasks)
	}
	return text
}

// DisplayImage is what "docker service ls" prints as IMAGE: the image without its
// digest, if it has a tag, and without what every reference to Docker Hub has.
// "docker.io/library/nginx:1.29@sha256:…" is "nginx:1.29". What is no reference
// stays as it is.
func (s *Service) DisplayImage() string {
	return displayImage(s.Spec.TaskTemplate.ContainerSpec.Image)
}

// DisplayImage is what "docker service ps" prints as IMAGE, see
// [Service.DisplayImage].
func (t *Task) DisplayImage() string { return displayImage(t.Spec.ContainerSpec.Image) }

func displayImage(image string) string {
	ref, err := ParseImageReference(image)
	if err != nil || ref.Tag == "" {
		return image
	}
	ref.Digest = ""
	return ref.String()
}

// DisplayPorts is what "docker service ls" prints as PORTS: the ports that every
// node of the swarm has open for the service, those that follow each other folded
// into one, "*:8080-8082->80-82/tcp, *:53->53/udp". Ports published with
// [PublishHost] are open where tasks run, see [Task.DisplayPorts].
func (s *Service) DisplayPorts() string {
	ports := slices.Clone(s.Endpoint.Ports)
	slices.SortStableFunc(ports, func(a, b PortConfig) int {
		return cmp.Or(cmp.Compare(a.Protocol, b.Protocol), cmp.Compare(a.PublishedPort, b.PublishedPort))
	})
	var ranges []publishedPorts
	for _, port := range ports {
		switch last := len(ranges) - 1; {
		case port.PublishMode != PublishIngress || port.PublishedPort == 0:
		case last < 0 || !ranges[last].extend(port):
			ranges = append(ranges, publishedPorts{first: port, last: port})
		}
	}
	var texts []string
	for _, r := range ranges {
		texts = append(texts, r.String())
	}
	return strings.Join(texts, ", ")
}

// DisplayPorts is what "docker service ps" prints as PORTS: those published with
// [PublishHost], which are open on the task's node, "*:32768->80/tcp". One that
// is open for IPv4 and for IPv6 is there twice.
func (t *Task) DisplayPorts() string {
	var texts []string
	for _, port := range t.Status.PortStatus.Ports {
		texts = append(texts, publishedPorts{first: port, last: port}.String())
	}
	return strings.Join(texts, ",")
}

// publishedPorts are ports that follow each other, from first to last.
type publishedPorts struct{ first, last PortConfig }

// extend adds a port to the end of the range, if that is where it belongs. Two
// published ports can lead to one target; a range of targets cannot stand still.
func (r *publishedPorts) extend(port PortConfig) bool {
	follows := port.Protocol == r.first.Protocol && port.PublishedPort == r.last.PublishedPort+1 &&
		(port.TargetPort == r.last.TargetPort+1 || port.TargetPort == r.last.TargetPort && port.TargetPort == r.first.TargetPort)
	if follows {
		r.last = port
	}
	return follows
}

func (r publishedPorts) String() string {
	return fmt.Sprintf("*:%s->%s/%s", fromTo(r.first.PublishedPort, r.last.PublishedPort), fromTo(r.first.TargetPort, r.last.TargetPort), r.first.Protocol)
}

func fromTo(first, last uint32) string {
	if first == last {
		return strconv.FormatUint(uint64(first), 10)
	}
	return fmt.Sprintf("%d-%d", first, last)
}
