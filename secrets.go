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
	"os"
	"slices"
	"time"

	"github.com/swarm-go/swarm/internal/wire"
)

// Secret is a piece of data that services can mount as a file and that nobody
// can read otherwise. Needs API 1.25.
type Secret struct {
	// ID is the secret's ID: 25 characters, given by the engine, never reused.
	ID string
	// Version is the state of the secret that was read.
	Version Version
	// CreatedAt is when the secret was created.
	CreatedAt time.Time
	// UpdatedAt is when the secret's labels last changed.
	UpdatedAt time.Time
	// Spec is what the secret was created with, without its Data: engines never
	// hand that out.
	Spec SecretSpec
	// Raw is the engine's JSON as received. Updates apply their differences to
	// it, so that fields unknown to this package are kept.
	Raw json.RawMessage `json:"-"`
}

// Format prints everything but Raw and the data, whatever the verb.
func (s Secret) Format(f fmt.State, verb rune) {
	type fields Secret
	s.Raw = nil
	_, _ = fmt.Fprintf(f, fmt.FormatString(f, verb), fields(s))
}

// LogValue keeps the data out of logs.
func (s Secret) LogValue() slog.Value { return slog.StringValue(fmt.Sprintf("%+v", s)) }

// SecretSpec is what a secret is made of. Whatever prints one, fmt and slog, does
// not print its data. JSON has the data, also where a logger makes JSON of a list
// or struct that a spec is in.
type SecretSpec struct {
	// Name is the secret's name, unique among the secrets of the swarm: up to 64
	// letters, digits, hyphens, underscores and dots, beginning and ending with a
	// letter or digit.
	Name string `json:",omitzero"`
	// Labels are key-value pairs on the secret, the only part of it that can be
	// changed.
	Labels map[string]string `json:",omitzero"`
	// Data is the secret itself, 1 to [MaxSecretSize] bytes; none with a Driver.
	// Engines never hand it out again, except to the tasks that mount it.
	Data []byte `json:",omitzero"`
	// Driver names the plugin that knows the data, instead of the swarm. An
	// engine that does not have it looks for it for 15 seconds before it refuses
	// the secret. Needs API 1.31.
	Driver *Driver `json:",omitzero"`
	// Templating makes each task's file from the data: with the driver "golang"
	// placeholders such as {{.Service.Name}} are filled in. Needs API 1.37.
	Templating *Driver `json:",omitzero"`
}

// Format prints everything but the data, whatever the verb.
func (s SecretSpec) Format(f fmt.State, verb rune) {
	shown := struct {
		Name               string
		Labels             map[string]string
		Data               string
		Driver, Templating *Driver
	}{s.Name, s.Labels, "", s.Driver, s.Templating}
	if len(s.Data) > 0 {
		shown.Data = "(redacted)"
	}
	_, _ = fmt.Fprintf(f, fmt.FormatString(f, verb), shown)
}

// LogValue keeps the data out of logs.
func (s SecretSpec) LogValue() slog.Value { return slog.StringValue(fmt.Sprintf("%+v", s)) }

// MaxSecretSize is how many bytes a secret has at most.
const MaxSecretSize = 512_000 - 1

// ReadSecretData reads the data of a secret to the end of r, but not further
// than that engines would take it. It is taken as it is, with a newline at its
// end. No data, or more than [MaxSecretSize] bytes, is [ErrInvalid].
func ReadSecretData(r io.Reader) ([]byte, error) {
	return readData(r, "read secret data", "", MaxSecretSize)
}

// ReadSecretFile is [ReadSecretData] from a file, which its errors name.
func ReadSecretFile(name string) ([]byte, error) {
	return readFile(name, "read secret file", MaxSecretSize)
}

func readFile(name, op string, most int) ([]byte, error) {
	file, err := os.Open(name)
	if err != nil {
		return nil, &Error{Op: op, Err: err}
	}
	defer file.Close()
	return readData(file, op, name, most)
}

func readData(r io.Reader, op, name string, most int) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(r, int64(most)+1))
	if err != nil {
		return nil, &Error{Op: op, Object: name, Err: err}
	}
	if err := checkSize(data, most); err != nil {
		return nil, invalid(op, name, "%v", err)
	}
	return data, nil
}

// checkSize refuses what engines refuse, which would be costly to send.
func checkSize(data []byte, most int) error {
	switch {
	case len(data) == 0:
		return errors.New("there is no data")
	case len(data) > most:
		return fmt.Errorf("the data has more than %d bytes, the most that engines take", most)
	}
	return nil
}

// SecretClient creates, reads, labels and removes secrets. Their data cannot be
// changed: [SecretClient.Rotate] makes another secret and lets the services use that.
//
// Reading takes an ID, a name, or a unique prefix of an ID, in this order, as
// the engine does. Changing and removing takes a full ID or an exact name alone:
// an ID prefix could name another secret by the time it is used.
type SecretClient struct{ client *Client }

// Create makes a secret and returns its ID. Nothing uses it until a service
// mounts it, see [MountSecret].
//
// A name that is taken is [ErrNameConflict]. Data of the wrong size, data beside
// a driver, and a name that engines do not like are [ErrInvalid]; a field newer
// than the engine is a [*VersionError]. If the answer is lost the error is an
// [*OutcomeUnknownError]; creating has been tried again before. Needs API 1.25.
//
// Engine endpoint: POST /secrets/create
func (s *SecretClient) Create(ctx context.Context, spec SecretSpec) (id string, err error) {
	const op = "create secret"
	if err := spec.check(); err != nil {
		return "", invalid(op, spec.Name, "%v", err)
	}
	return s.client.createNamed(ctx, &call{op: op, object: spec.Name, to: to("/secrets/create"), look: s.lookAtCreation(op, spec)}, "SecretSpec", spec)
}

func (s *SecretSpec) check() error {
	switch {
	case s.Driver == nil:
		return checkSize(s.Data, MaxSecretSize)
	case len(s.Data) > 0:
		return errors.New("a secret with a driver has no data of its own")
	}
	return nil
}

// Inspect reads a secret, without its data. One that does not exist is
// [ErrNotFound], a prefix of several IDs [ErrAmbiguousRef]. Needs API 1.25.
//
// Engine endpoint: GET /secrets/{id}
func (s *SecretClient) Inspect(ctx context.Context, ref string) (*Secret, error) {
	return s.inspect(ctx, "inspect secret", ref)
}

// InspectByName reads the secret of exactly that name, whatever IDs begin like it.
// Without one the error is [ErrNotFound]. Needs API 1.25.
//
// Engine endpoint: GET /secrets/{id}
func (s *SecretClient) InspectByName(ctx context.Context, name string) (*Secret, error) {
	return s.inspectByName(ctx, "inspect secret", name)
}

func (s *SecretClient) inspectByName(ctx context.Context, op, name string) (*Secret, error) {
	secret, err := s.inspect(ctx, op, name)
	if errors.Is(err, ErrAmbiguousRef) || err == nil && secret.Spec.Name != name {
		return nil, &Error{Op: op, Object: name, kind: ErrNotFound, Message: "no secret has exactly this name"}
	}
	return secret, err
}

func (s *SecretClient) inspect(ctx context.Context, op, ref string) (*Secret, error) {
	return inspectObject(ctx, s.client, &call{op: op, object: ref, to: to("/secrets/{id}", ref)}, decodeSecret)
}

// find reads the secret that a change is about: by full ID or exact name.
func (s *SecretClient) find(ctx context.Context, op, ref string) (*Secret, error) {
	secret, err := s.inspect(ctx, op, ref)
	if err != nil {
		return nil, err
	}
	if secret.ID != ref && secret.Spec.Name != ref {
		return nil, &Error{Op: op, Object: ref, kind: ErrNotFound,
			Message: "no secret has this full ID or exact name; a prefix is not enough to change one"}
	}
	return secret, nil
}

func decodeSecret(raw json.RawMessage) (Secret, error) {
	secret := Secret{}
	if err := wire.Unmarshal(raw, &secret); err != nil {
		return Secret{}, err
	}
	secret.Raw = raw
	return secret, requireID(secret.ID)
}

// SecretListOptions choose secrets. What is left out does not restrict; the
// alternatives inside one field are joined by "or", the fields by "and".
type SecretListOptions struct {
	// IDs are full IDs. Needs API 1.29.
	IDs []string
	// IDPrefixes are beginnings of IDs; a secret matches IDs or IDPrefixes. Needs
	// API 1.29.
	IDPrefixes []string
	// Names are exact names.
	Names []string
	// NamePrefixes are beginnings of names; a secret matches Names or
	// NamePrefixes. Needs API 1.29.
	NamePrefixes []string
	// Labels are labels that the secret must have, all of them; an empty value
	// asks for presence. Needs API 1.29.
	Labels map[string]string
}

func (o *SecretListOptions) query() url.Values {
	f := filters{}
	f.add("id", slices.Concat(o.IDs, o.IDPrefixes)...)
	f.add("names", o.Names...)
	f.add("name", o.NamePrefixes...)
	f.addLabels(o.Labels)
	return f.query()
}

// keeps applies what engines do not: they take a secret with one of the names or
// one of the IDs.
func (o *SecretListOptions) keeps(s *Secret) bool {
	return matches(s.ID, o.IDs, o.IDPrefixes) && matches(s.Spec.Name, o.Names, o.NamePrefixes)
}

// List returns the secrets that opts choose, all of them if opts is nil, without
// their data. Needs API 1.25.
//
// Engine endpoint: GET /secrets
func (s *SecretClient) List(ctx context.Context, opts *SecretListOptions) ([]Secret, error) {
	if opts == nil {
		opts = &SecretListOptions{}
	}
	return listObjects(ctx, s.client, &call{op: "list secrets", to: to("/secrets"), query: opts.query()}, decodeSecret, opts.keeps)
}

// SetLabels makes these the labels of a secret, all of them, and restarts no
// task. It reads the secret and writes it back, again if somebody else wrote it
// in between, until ctx is done; if it has these labels nothing is sent. Needs
// API 1.25.
//
// Engine endpoints: GET /secrets/{id}, POST /secrets/{id}/update
func (s *SecretClient) SetLabels(ctx context.Context, ref string, labels map[string]string) error {
	return s.editLabels(ctx, ref, func(map[string]string) (map[string]string, error) { return labels, nil })
}

// editLabels is SetLabels with labels that are made from those there are, which
// edit must not change.
func (s *SecretClient) editLabels(ctx context.Context, ref string, edit func(now map[string]string) (map[string]string, error)) error {
	const op = "set labels of secret"
	find := func() (*Secret, error) { return s.find(ctx, op, ref) }
	return s.client.modify(ctx, func(ctx context.Context) error {
		secret, err := find()
		if err != nil {
			return err
		}
		labels, err := edit(secret.Spec.Labels)
		if err != nil || maps.Equal(secret.Spec.Labels, labels) {
			return err
		}
		find = func() (*Secret, error) { return s.inspect(ctx, op, secret.ID) } // names move, IDs do not
		secret.Spec.Labels = labels
		call := &call{op: op, object: ref, to: to("/secrets/{id}/update", secret.ID)}
		return mayBeSetAgain(writeBack(ctx, s.client, call, "SecretSpec", secret.Raw, secret.Version, secret.Spec))
	})
}

// Remove removes a secret. One that does not exist is [ErrNotFound], one that
// services use an [*InUseError] with their names. Needs API 1.25.
//
// Engine endpoints: GET /secrets/{id}, DELETE /secrets/{id}
func (s *SecretClient) Remove(ctx context.Context, ref string) error {
	const op = "remove secret"
	secret, err := s.find(ctx, op, ref)
	if err != nil {
		return err
	}
	return s.client.remove(ctx, &call{op: op, object: ref, to: to("/secrets/{id}", secret.ID)})
}
