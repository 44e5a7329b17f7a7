package swarm

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"
)

// LogNames are the names of where a line came from.
type LogNames struct {
	// Service is the service's name, "web".
	Service string
	// Task is what the docker command calls the task, "web.1", see
	// [Task.DisplayName].
	Task string
	// Node is the node's hostname, "worker-2".
	Node string
}

// Names looks up the names of where an entry came from. Each is asked for once and
// then remembered; what does not exist any more, or cannot be asked for at the
// moment, is called by its ID, and asked for again after half a minute. Readers
// made by [NewLogReader] have nobody to ask.
//
// Engine endpoints: GET /services/{id}, GET /tasks/{id}, GET /nodes/{id}
func (l *LogReader) Names(entry LogEntry) LogNames {
	source := l.nameSource(entry, true)
	names := LogNames{Service: source.service, Task: entry.TaskID, Node: source.node}
	if source.known {
		task := Task{ID: entry.TaskID, ServiceID: entry.ServiceID, Slot: source.slot, NodeID: entry.NodeID}
		names.Task = task.DisplayName(source.service)
	}
	return names
}

// nameSource is what names are made of.
type nameSource struct {
	service, node string
	// slot is the task's, if known.
	slot  int
	known bool
	// replicas is how many tasks the service shall have, 0 if it does not say.
	replicas uint64
}

// nameSource looks up the parts of names; of services and nodes only if resolve is
// set.
func (l *LogReader) nameSource(entry LogEntry, resolve bool) nameSource {
	source := nameSource{service: entry.ServiceID, node: entry.NodeID}
	if l.names == nil {
		return source
	}
	l.names.mu.Lock()
	defer l.names.mu.Unlock()
	if service, ok := l.names.service(entry.ServiceID); ok {
		source.replicas = service.replicas
		if resolve {
			source.service = service.name
		}
	}
	source.slot, source.known = l.names.slot(entry.TaskID)
	if node, ok := l.names.node(entry.NodeID); ok && resolve {
		source.node = node
	}
	return source
}

const (
	// nameTimeout bounds how long a line waits for a name, and namePause how soon it
	// is tried again.
	nameTimeout = 5 * time.Second
	namePause   = 30 * time.Second
	// maxNames bounds what is remembered.
	maxNames = 10_000
)

// logNames looks up names and remembers them.
type logNames struct {
	client *Client
	ctx    context.Context

	mu       sync.Mutex
	services map[string]serviceName
	slots    map[string]int
	nodes    map[string]string
	// failed is when an ID could not be asked about.
	failed map[string]time.Time
}

type serviceName struct {
	name     string
	replicas uint64
}

func (n *logNames) service(id string) (serviceName, bool) {
	return lookUp(n, &n.services, id, func(ctx context.Context) (serviceName, error) {
		service, err := n.client.Services.Inspect(ctx, id)
		if err != nil {
			return serviceName{}, err
		}
		found := serviceName{name: service.Spec.Name}
		if mode := service.Spec.Mode; mode.Replicated != nil && mode.Replicated.Replicas != nil {
			found.replicas = *mode.Replicated.Replicas
		}
		return found, nil
	})
}

func (n *logNames) slot(id string) (int, bool) {
	return lookUp(n, &n.slots, id, func(ctx context.Context) (int, error) {
		task, err := n.client.Tasks.Inspect(ctx, id)
		if err != nil {
			return 0, err
		}
		return task.Slot, nil
	})
}

func (n *logNames) node(id string) (string, bool) {
	return lookUp(n, &n.nodes, id, func(ctx context.Context) (string, error) {
		node, err := n.client.Nodes.Inspect(ctx, id)
		if err != nil {
			return "", err
		}
		return cmp.Or(node.Spec.Name, node.Description.Hostname, id), nil
	})
}

// lookUp finds what is known of an ID, or asks.
func lookUp[T any](n *logNames, known *map[string]T, id string, ask func(context.Context) (T, error)) (found T, ok bool) {
	if found, ok = (*known)[id]; ok || id == "" {
		return found, ok
	}
	if at, failed := n.failed[id]; failed && time.Since(at) < namePause {
		return found, false
	}
	ctx, cancel := context.WithTimeout(n.ctx, nameTimeout)
	defer cancel()
	found, err := ask(ctx)
	if err != nil {
		if n.failed == nil || len(n.failed) >= maxNames {
			n.failed = map[string]time.Time{}
		}
		n.failed[id] = time.Now()
		return found, false
	}
	if *known == nil || len(*known) >= maxNames {
		*known = map[string]T{}
	}
	(*known)[id] = found
	return found, true
}

// LogStyle is how [LogReader.Print] prints a log.
type LogStyle byte

const (
	// LogStyleText is what "docker service logs" prints, fit for a terminal:
	// "web.1.8qs2v7yh3x1c@worker-2    | text".
	LogStyleText LogStyle = iota
	// LogStyleJSON is a JSON object a line: those of [LogEntry], and the names as
	// service_name, task_name and node_name.
	LogStyleJSON
	// LogStyleDockerCloud is a JSON object a line as Docker Cloud had it:
	// {"type":"log","source":"web.1","log":"text","streamType":"stdout","timestamp":1433779324}.
	// A gap has the type "gap" and says in log what is missing.
	LogStyleDockerCloud
)

// LogPrintOptions are how a log is printed. The zero value prints text as the
// docker command does by default.
type LogPrintOptions struct {
	// Style is what is printed. The default is [LogStyleText].
	Style LogStyle
	// NoTaskIDs leaves the task's ID out of the prefix of text.
	NoTaskIDs bool
	// NoTruncate prints the task's ID in full, not its first 12 characters.
	NoTruncate bool
	// NoResolve prints IDs in the place of names of services and nodes, and asks for
	// none of them in the JSON styles.
	NoResolve bool
}

// Print writes the log to stdout and stderr, which may be the same, a line for each
// entry, until it ends, and closes it. A nil writer discards what is meant for it.
// Timestamps and Details of the [LogOptions] apply to text. In text, control
// characters other than tabs, and those that reorder text, are escaped, "\x1b", so
// that no log can command a terminal; gaps are lines on stderr. Errors are as with
// [LogReader.Copy].
//
// The log must not be Raw: that is [ErrInvalid]. Names are looked up as by
// [LogReader.Names].
func (l *LogReader) Print(stdout, stderr io.Writer, opts *LogPrintOptions) error {
	if opts == nil {
		opts = &LogPrintOptions{}
	}
	if l.opts.Raw || opts.Style > LogStyleDockerCloud {
		return invalid(l.call.op, l.call.object, "Print: a raw log has nothing to print but its bytes, and styles are those that have a name")
	}
	p := &logPrinter{logs: l, opts: opts, sinks: [2]*logSink{newLogSink(stdout), newLogSink(stderr)}}
	for entry, err := range l.Entries() {
		if err != nil {
			return err
		}
		if err := p.print(entry); err != nil {
			return l.failure("", nil, err)
		}
	}
	return nil
}

// logPrinter prints entries.
type logPrinter struct {
	logs  *LogReader
	opts  *LogPrintOptions
	sinks [2]*logSink
	line  []byte
}

func (p *logPrinter) print(entry LogEntry) error {
	var err error
	switch p.line = p.line[:0]; p.opts.Style {
	case LogStyleJSON:
		err = p.json(p.entryObject(entry))
	case LogStyleDockerCloud:
		err = p.json(p.dockerCloudObject(entry))
	default:
		p.text(entry)
	}
	if err != nil {
		return err
	}
	sink := p.sinks[0]
	if entry.Stream == LogStderr || entry.Gap != nil && p.opts.Style == LogStyleText {
		sink = p.sinks[1]
	}
	_, err = sink.Write(append(p.line, '\n'))
	return err
}

// text is a line as the docker command prints it.
func (p *logPrinter) text(entry LogEntry) {
	if entry.Gap != nil {
		p.line = append(append(p.line, "-- "...), entry.Gap.String()...)
		return
	}
	if p.logs.opts.Timestamps && !entry.Time.IsZero() {
		p.line = entry.Time.UTC().AppendFormat(p.line, "2006-01-02T15:04:05.000000000Z ")
	}
	p.prefix(entry)
	if p.logs.opts.Details {
		p.line = append(appendHarmless(p.line, attributesText(entry.Attributes)), ' ')
	}
	p.line = appendHarmless(p.line, entry.Text)
}

// prefix says where a line comes from, if the engine has said so.
func (p *logPrinter) prefix(entry LogEntry) {
	if entry.TaskID == "" {
		return
	}
	source := p.logs.nameSource(entry, !p.opts.NoResolve)
	name, id := entry.TaskID, ""
	if source.known {
		name = fmt.Sprintf("%s.%d", source.service, source.slot)
		if !p.opts.NoTaskIDs {
			id = "." + entry.TaskID
		}
		if id != "" && !p.opts.NoTruncate {
			id = "." + ShortID(entry.TaskID)
		}
	}
	padding := 0
	if p.logs.ofService {
		padding = len(fmt.Sprint(source.replicas)) - len(fmt.Sprint(source.slot))
	}
	p.line = appendHarmless(p.line, name+id+"@"+source.node)
	p.line = append(p.line, strings.Repeat(" ", max(padding, 0))...)
	p.line = append(p.line, "    | "...)
}

// attributesText is attributes as the docker command prints them.
func attributesText(attributes map[string]string) string {
	pairs := make([]string, 0, len(attributes))
	for key, value := range attributes {
		pairs = append(pairs, key+"="+value)
	}
	slices.Sort(pairs)
	return strings.Join(pairs, ",")
}

// appendHarmless appends text that cannot command a terminal.
func appendHarmless(b []byte, text string) []byte {
	for i, part := range strings.Split(text, "\t") {
		if i > 0 {
			b = append(b, '\t')
		}
		b = append(b, printable(part)...)
	}
	return b
}

// namedEntry is an entry with its names.
type namedEntry struct {
	LogEntry
	ServiceName string `json:"service_name,omitzero"`
	TaskName    string `json:"task_name,omitzero"`
	NodeName    string `json:"node_name,omitzero"`
}

func (p *logPrinter) entryObject(entry LogEntry) any {
	if p.opts.NoResolve || entry.TaskID == "" {
		return entry
	}
	names := p.logs.Names(entry)
	return namedEntry{LogEntry: entry, ServiceName: names.Service, TaskName: names.Task, NodeName: names.Node}
}

// dockerCloudEntry is a line as Docker Cloud had it.
type dockerCloudEntry struct {
	Type       string `json:"type"`
	Source     string `json:"source"`
	Log        string `json:"log"`
	StreamType string `json:"streamType,omitzero"`
	Timestamp  int64  `json:"timestamp"`
}

func (p *logPrinter) dockerCloudObject(entry LogEntry) any {
	object := dockerCloudEntry{Type: "log", Source: entry.TaskID, Log: entry.Text, Timestamp: max(entry.Time.Unix(), 0)}
	if !p.opts.NoResolve {
		object.Source = p.logs.Names(entry).Task
	}
	if entry.Gap != nil {
		object.Type, object.Log, object.Timestamp = "gap", entry.Gap.String(), max(entry.Gap.After.Unix(), 0)
		return object
	}
	object.StreamType = entry.Stream.String()
	return object
}

func (p *logPrinter) json(object any) error {
	var buffer bytes.Buffer
	encoder := json.NewEncoder(&buffer)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(object); err != nil {
		return errors.Join(errors.New("encode a line"), err)
	}
	p.line = append(p.line, bytes.TrimSuffix(buffer.Bytes(), []byte("\n"))...)
	return nil
}
