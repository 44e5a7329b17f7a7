package swarm

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/url"
	"slices"
	"time"

	"github.com/swarm-go/swarm/internal/wire"
)

// Config is a piece of data that services can mount as a file. Needs API 1.30.
type Config struct {
	// ID is the config's ID: 25 characters, given by the engine, never reused.
	ID string
	// Version is the state of the config that was read.
	Version Version
	// CreatedAt is when the config was created.
	CreatedAt time.Time
	// UpdatedAt is when the config's labels last changed.
	UpdatedAt time.Time
	// Spec is what the config was created with, its Data included.
	Spec ConfigSpec
	// Raw is the engine's JSON as received. Updates apply their differences to
	// it, so that fields unknown to this package are kept.
	Raw json.RawMessage `json:"-"`
}

// Format prints everything but Raw and the data, whatever the verb.
func (c Config) Format(f fmt.State, verb rune) {
	type fields Config
	c.Raw = nil
	_, _ = fmt.Fprintf(f, fmt.FormatString(f, verb), fields(c))
}

// LogValue keeps the data out of logs.
func (c Config) LogValue() slog.Value { return slog.StringValue(fmt.Sprintf("%+v", c)) }

// ConfigSpec is what a config is made of. Whatever prints one prints the size of
// its data instead of the data, which is long, and may hold passwords all the
// same; JSON has it.
type ConfigSpec struct {
	// Name is the config's name, unique among the configs of the swarm: up to 64
	// letters, digits, hyphens, underscores and dots, beginning and ending with a
	// letter or digit.
	Name string `json:",omitzero"`
	// Labels are key-value pairs on the config, the only part of it that can be
	// changed.
	Labels map[string]string `json:",omitzero"`
	// Data is the config itself, 1 to [MaxConfigSize] bytes. Every manager hands
	// it out: what must stay secret belongs into a [SecretSpec].
	Data []byte `json:",omitzero"`
	// Templating makes each task's file from the data: with the driver "golang"
	// placeholders such as {{.Service.Name}} are filled in. Needs API 1.37.
	Templating *Driver `json:",omitzero"`
}

// Format prints everything but the data, whatever the verb.
func (c ConfigSpec) Format(f fmt.State, verb rune) {
	shown := struct {
		Name       string
		Labels     map[string]string
		Data       string
		Templating *Driver
	}{c.Name, c.Labels, fmt.Sprintf("(%d bytes)", len(c.Data)), c.Templating}
	_, _ = fmt.Fprintf(f, fmt.FormatString(f, verb), shown)
}

// LogValue keeps the data out of logs.
func (c ConfigSpec) LogValue() slog.Value { return slog.StringValue(fmt.Sprintf("%+v", c)) }

// MaxConfigSize is how many bytes a config has at most.
const MaxConfigSize = 1_024_000 - 1

// ReadConfigData reads the data of a config to the end of r, but not further
// than that engines would take it. It is taken as it is, with a newline at its
// end. No data, or more than [MaxConfigSize] bytes, is [ErrInvalid].
func ReadConfigData(r io.Reader) ([]byte, error) {
	return readData(r, "read config data", "", MaxConfigSize)
}

// ReadConfigFile is [ReadConfigData] from a file, which its errors name.
func ReadConfigFile(name string) ([]byte, error) {
	return readFile(name, "read config file", MaxConfigSize)
}

// ConfigClient creates, reads, labels and removes configs. Their data cannot be
// changed: [ConfigClient.Rotate] makes another config and lets the services use that.
//
// Reading takes an ID, a name, or a unique prefix of an ID, in this order, as
// the engine does. Changing and removing takes a full ID or an exact name alone:
// an ID prefix could name another config by the time it is used.
type ConfigClient struct{ client *Client }

// Create makes a config and returns its ID. Nothing uses it until a service
// mounts it, see [MountConfig].
//
// A name that is taken is [ErrNameConflict]. Data of the wrong size and a name
// that engines do not like are [ErrInvalid]; a field newer than the engine is a
// [*VersionError]. If the answer is lost the error is an [*OutcomeUnknownError];
// creating has been tried again before. Needs API 1.30.
//
// Engine endpoint: POST /configs/create
func (c *ConfigClient) Create(ctx context.Context, spec ConfigSpec) (id string, err error) {
	const op = "create config"
	if err := checkSize(spec.Data, MaxConfigSize); err != nil {
		return "", invalid(op, spec.Name, "%v", err)
	}
	return c.client.createNamed(ctx, &call{op: op, object: spec.Name, to: to("/configs/create"), look: c.lookAtCreation(op, spec)}, "ConfigSpec", spec)
}

// Inspect reads a config with its data. One that does not exist is
// [ErrNotFound], a prefix of several IDs [ErrAmbiguousRef]. Needs API 1.30.
//
// Engine endpoint: GET /configs/{id}
func (c *ConfigClient) Inspect(ctx context.Context, ref string) (*Config, error) {
	return c.inspect(ctx, "inspect config", ref)
}

// InspectByName reads the config of exactly that name, whatever IDs begin like it.
// Without one the error is [ErrNotFound]. Needs API 1.30.
//
// Engine endpoint: GET /configs/{id}
func (c *ConfigClient) InspectByName(ctx context.Context, name string) (*Config, error) {
	return c.inspectByName(ctx, "inspect config", name)
}

func (c *ConfigClient) inspectByName(ctx context.Context, op, name string) (*Config, error) {
	config, err := c.inspect(ctx, op, name)
	if errors.Is(err, ErrAmbiguousRef) || err == nil && config.Spec.Name != name {
		return nil, &Error{Op: op, Object: name, kind: ErrNotFound, Message: "no config has exactly this name"}
	}
	return config, err
}

func (c *ConfigClient) inspect(ctx context.Context, op, ref string) (*Config, error) {
	return inspectObject(ctx, c.client, &call{op: op, object: ref, to: to("/configs/{id}", ref)}, decodeConfig)
}

// find reads the config that a change is about: by full ID or exact name.
func (c *ConfigClient) find(ctx context.Context, op, ref string) (*Config, error) {
	config, err := c.inspect(ctx, op, ref)
	if err != nil {
		return nil, err
	}
	if config.ID != ref && config.Spec.Name != ref {
		return nil, &Error{Op: op, Object: ref, kind: ErrNotFound,
			Message: "no config has this full ID or exact name; a prefix is not enough to change one"}
	}
	return config, nil
}

func decodeConfig(raw json.RawMessage) (Config, error) {
	config := Config{}
	if err := wire.Unmarshal(raw, &config); err != nil {
		return Config{}, err
	}
	config.Raw = raw
	return config, requireID(config.ID)
}

// ConfigListOptions choose configs. What is left out does not restrict; the
// alternatives inside one field are joined by "or", the fields by "and".
type ConfigListOptions struct {
	// IDs are full IDs.
	IDs []string
	// IDPrefixes are beginnings of IDs; a config matches IDs or IDPrefixes.
	IDPrefixes []string
	// Names are exact names. Engines match names by prefix, and refuse the exact
	// filter of the published API document; the rest is left out here.
	Names []string
	// NamePrefixes are beginnings of names; a config matches Names or NamePrefixes.
	NamePrefixes []string
	// Labels are labels that the config must have, all of them; an empty value
	// asks for presence.
	Labels map[string]string
}

func (o *ConfigListOptions) query() url.Values {
	f := filters{}
	f.add("id", slices.Concat(o.IDs, o.IDPrefixes)...)
	f.add("name", slices.Concat(o.Names, o.NamePrefixes)...)
	f.addLabels(o.Labels)
	return f.query()
}

// keeps applies what engines do not: they take a config with one of the names or
// one of the IDs, and names by prefix.
func (o *ConfigListOptions) keeps(c *Config) bool {
	return matches(c.ID, o.IDs, o.IDPrefixes) && matches(c.Spec.Name, o.Names, o.NamePrefixes)
}

// List returns the configs that opts choose, all of them if opts is nil, with
// their data. Needs API 1.30.
//
// Engine endpoint: GET /configs
func (c *ConfigClient) List(ctx context.Context, opts *ConfigListOptions) ([]Config, error) {
	if opts == nil {
		opts = &ConfigListOptions{}
	}
	return listObjects(ctx, c.client, &call{op: "list configs", to: to("/configs"), query: opts.query()}, decodeConfig, opts.keeps)
}

// SetLabels makes these the labels of a config, all of them, and restarts no
// task. It reads the config and writes it back, again if somebody else wrote it
// in between, until ctx is done; if it has these labels nothing is sent. Needs
// API 1.30.
//
// Engine endpoints: GET /configs/{id}, POST /configs/{id}/update
func (c *ConfigClient) SetLabels(ctx context.Context, ref string, labels map[string]string) error {
	return c.editLabels(ctx, ref, func(map[string]string) (map[string]string, error) { return labels, nil })
}

// editLabels is SetLabels with labels that are made from those there are, which
// edit must not change.
func (c *ConfigClient) editLabels(ctx context.Context, ref string, edit func(now map[string]string) (map[string]string, error)) error {
	const op = "set labels of config"
	find := func() (*Config, error) { return c.find(ctx, op, ref) }
	return c.client.modify(ctx, func(ctx context.Context) error {
		config, err := find()
		if err != nil {
			return err
		}
		labels, err := edit(config.Spec.Labels)
		if err != nil || maps.Equal(config.Spec.Labels, labels) {
			return err
		}
		find = func() (*Config, error) { return c.inspect(ctx, op, config.ID) } // names move, IDs do not
		config.Spec.Labels = labels
		call := &call{op: op, object: ref, to: to("/configs/{id}/update", config.ID)}
		return mayBeSetAgain(writeBack(ctx, c.client, call, "ConfigSpec", config.Raw, config.Version, config.Spec))
	})
}

// Remove removes a config. One that does not exist is [ErrNotFound], one that
// services use an [*InUseError] with their names. Needs API 1.30.
//
// Engine endpoints: GET /configs/{id}, DELETE /configs/{id}
func (c *ConfigClient) Remove(ctx context.Context, ref string) error {
	const op = "remove config"
	config, err := c.find(ctx, op, ref)
	if err != nil {
		return err
	}
	return c.client.remove(ctx, &call{op: op, object: ref, to: to("/configs/{id}", config.ID)})
}
