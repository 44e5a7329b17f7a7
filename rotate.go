package swarm

import (
	"bytes"
	"cmp"
	"context"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// The data of a secret or config cannot be changed, so a new version of it is
// another object: db-password-v2 after db-password. What belongs together stands
// in labels of the versions, and the number in their names orders them: of two
// rotations at once each makes a version of its own, and services only ever move
// to a higher one, or away from one that has failed.
//
// While a rotation is under way its version says so in a label, which version there
// was before, and by a word of chance whose rotation it is, "moving:1:K3VJ". If it
// fails that becomes "failed:1:K3VJ" before anything is put back: whoever puts a
// service to that version meanwhile, because it had that, sees the label afterwards,
// and goes on to the version before. A rotation does not end before those to higher
// versions have: its services may come back.
const (
	labelVersionOf = "io.github.swarm-go.version-of"
	labelContent   = "io.github.swarm-go.content"
	labelRotation  = "io.github.swarm-go.rotation"
)

// The stages of a rotation that stand in the label. Without one there is none
// under way, and the last one has not failed.
const (
	stageMoving = "moving"
	stageFailed = "failed"
)

// RotateOptions say how services move to a new version of a secret or config.
type RotateOptions struct {
	// Keep is how many of the older versions are kept, the newest of them; the
	// others are removed when every service has moved, but for those that are used
	// all the same. Nil keeps all, 0 none: then a service can no longer be rolled
	// back to the spec it had before.
	Keep *int
	// RerunJobs moves jobs too, each of which runs again then. Without it they keep
	// the version they have.
	RerunJobs bool
	// AuthFrom finds the credentials that are sent with each service, see
	// [ServiceModifyOptions].
	AuthFrom AuthSource
	// Wait says when the rollout of a service counts as done.
	Wait *WaitOptions
}

// Rotation is what a rotation has come to.
type Rotation struct {
	// ID is that of the new version.
	ID string
	// Name is that of the new version, the name rotated with -v2 and so on behind.
	Name string
	// Created is false if the newest version had this data already.
	Created bool
	// Moved are the changes of the services that have moved to it, in order.
	Moved []ServiceChange
	// Jobs are the names of the jobs that keep an older version.
	Jobs []string
	// Removed are the names of the older versions that were removed, those that
	// rotations have failed with among them.
	Removed []string
}

// Ensure makes sure that there is a secret of that name and data, and returns it.
// If the newest version has this data, and the same templating, it is taken, with
// its labels made those of the spec; if there is one of the name with other data, or
// one that a rotation is moving to and may take back, a new version is made, named
// name-v2 and so on, which no service uses yet.
//
// What data a secret has only shows if Ensure or Rotate has made it: they leave a
// salted hash in a label, of PBKDF2 with 100,000 rounds of SHA-256, which whoever
// may inspect secrets can try passwords on. Any other secret counts as different.
// Needs API 1.29.
//
// Engine endpoints: GET /secrets, POST /secrets/create, POST /secrets/{id}/update
func (s *SecretClient) Ensure(ctx context.Context, spec SecretSpec) (*Secret, error) {
	const op = "ensure secret"
	if spec.Driver != nil {
		return nil, invalid(op, spec.Name, "a secret with a driver has no data to compare")
	}
	version, err := s.rotator(op).ensure(ctx, spec.Name, dataSpec{labels: spec.Labels, data: spec.Data, templating: spec.Templating})
	if err != nil {
		return nil, err
	}
	return s.inspect(ctx, op, version.id)
}

// Rotate gives the services that use a secret, in any of its versions, new data:
// it makes a new version, with labels and templating of the newest, lets one
// service after the other use that in the same file, and waits each time until the
// service really runs. Data that the newest version has already makes no other.
//
// If a service cannot be changed, or its rollout fails, or ctx ends, every service
// that has moved is put back to the version it had, which is waited for within the
// time of a call each, and the new version is removed; the error says what failed,
// and what could not be put back. Without a deadline in ctx a service that can
// never run is waited for without end. An error together with a Rotation says
// that all services have moved, and that tidying up afterwards has failed.
//
// Of two rotations at once the one with the higher version wins: the other leaves
// its services to it, and waits until it has ended. Should the higher one fail, all
// services come to the version of the other; should that fail too, to what they had
// before both. So all end on one version, the newest of those whose rotation has
// not failed. A rotation that was killed cannot be told from a slow one: those to
// lower versions that were under way beside it wait for it until their ctx ends.
//
// A name without any version is [ErrNotFound]; a secret with a driver is
// [ErrInvalid], as are data and names that engines would refuse, before anything is
// sent. Needs API 1.29.
//
// Engine endpoints: GET /secrets, POST /secrets/create, GET /services, GET /services/{id}, POST /services/{id}/update, GET /tasks, GET /secrets/{id}, POST /secrets/{id}/update, DELETE /secrets/{id}
func (s *SecretClient) Rotate(ctx context.Context, name string, data []byte, opts *RotateOptions) (*Rotation, error) {
	return s.rotator("rotate secret").rotate(ctx, name, data, opts)
}

// UsedBy returns the services that use a secret. One that does not exist is
// [ErrNotFound]. Needs API 1.25.
//
// Engine endpoints: GET /secrets/{id}, GET /services
func (s *SecretClient) UsedBy(ctx context.Context, ref string) ([]Service, error) {
	secret, err := s.inspect(ctx, "find users of secret", ref)
	if err != nil {
		return nil, err
	}
	return s.client.Services.List(ctx, &ServiceListOptions{Secrets: []string{secret.ID}})
}

// Prune removes the secrets among those that opts choose that no service uses, nor
// would if it were rolled back, and returns the names of those removed. The version
// that a rotation under way moves to stays; if that was killed, remove it by its
// name. Choose: also a secret that was made a moment ago, for a service that is not
// there yet, is one that no service uses. Needs API 1.25.
//
// Engine endpoints: GET /secrets, GET /services, DELETE /secrets/{id}
func (s *SecretClient) Prune(ctx context.Context, opts *SecretListOptions) (removed []string, err error) {
	secrets, err := s.List(ctx, opts)
	if err != nil {
		return nil, err
	}
	versions := make([]dataVersion, len(secrets))
	for i, secret := range secrets {
		versions[i] = dataVersion{id: secret.ID, name: secret.Spec.Name, dataSpec: dataSpec{labels: secret.Spec.Labels}}
	}
	return s.rotator("prune secrets").prune(ctx, versions)
}

func (s *SecretClient) rotator(op string) *rotator {
	return &rotator{client: s.client, op: op, most: MaxSecretSize,
		list: func(ctx context.Context, prefix string) ([]dataVersion, error) {
			secrets, err := s.List(ctx, &SecretListOptions{NamePrefixes: []string{prefix}})
			var versions []dataVersion
			for _, secret := range secrets {
				versions = append(versions, dataVersion{id: secret.ID, name: secret.Spec.Name, hasDriver: secret.Spec.Driver != nil,
					dataSpec: dataSpec{labels: secret.Spec.Labels, templating: secret.Spec.Templating}})
			}
			return versions, err
		},
		create: func(ctx context.Context, name string, spec dataSpec) (string, error) {
			spec.labels[labelContent] = hashContent(spec.data)
			return s.Create(ctx, SecretSpec{Name: name, Labels: spec.labels, Data: spec.data, Templating: spec.templating})
		},
		same:       func(v *dataVersion, data []byte) bool { return hasContent(v.labels[labelContent], data) },
		editLabels: s.editLabels,
		remove:     s.Remove,
		refs: func(spec *ServiceSpec) []dataRef {
			var refs []dataRef
			for i := range spec.TaskTemplate.ContainerSpec.Secrets {
				secret := &spec.TaskTemplate.ContainerSpec.Secrets[i]
				refs = append(refs, dataRef{place: secret.File.Name, id: &secret.SecretID, name: &secret.SecretName})
			}
			return refs
		},
	}
}

// Ensure makes sure that there is a config of that name and data, and returns it.
// If the newest version has this data, and the same templating, it is taken, with
// its labels made those of the spec; if there is one of the name with other data, or
// one that a rotation is moving to and may take back, a new version is made, named
// name-v2 and so on, which no service uses yet. Needs API 1.30.
//
// Engine endpoints: GET /configs, POST /configs/create, POST /configs/{id}/update
func (c *ConfigClient) Ensure(ctx context.Context, spec ConfigSpec) (*Config, error) {
	const op = "ensure config"
	version, err := c.rotator(op).ensure(ctx, spec.Name, dataSpec{labels: spec.Labels, data: spec.Data, templating: spec.Templating})
	if err != nil {
		return nil, err
	}
	return c.inspect(ctx, op, version.id)
}

// Rotate gives the services that use a config, in any of its versions, new data,
// as [SecretClient.Rotate] does for secrets. Needs API 1.30.
//
// Engine endpoints: GET /configs, POST /configs/create, GET /services, GET /services/{id}, POST /services/{id}/update, GET /tasks, GET /configs/{id}, POST /configs/{id}/update, DELETE /configs/{id}
func (c *ConfigClient) Rotate(ctx context.Context, name string, data []byte, opts *RotateOptions) (*Rotation, error) {
	return c.rotator("rotate config").rotate(ctx, name, data, opts)
}

// UsedBy returns the services that use a config. One that does not exist is
// [ErrNotFound]. Needs API 1.30.
//
// Engine endpoints: GET /configs/{id}, GET /services
func (c *ConfigClient) UsedBy(ctx context.Context, ref string) ([]Service, error) {
	config, err := c.inspect(ctx, "find users of config", ref)
	if err != nil {
		return nil, err
	}
	return c.client.Services.List(ctx, &ServiceListOptions{Configs: []string{config.ID}})
}

// Prune removes the configs among those that opts choose that no service uses, as
// [SecretClient.Prune] does for secrets. Needs API 1.30.
//
// Engine endpoints: GET /configs, GET /services, DELETE /configs/{id}
func (c *ConfigClient) Prune(ctx context.Context, opts *ConfigListOptions) (removed []string, err error) {
	configs, err := c.List(ctx, opts)
	if err != nil {
		return nil, err
	}
	versions := make([]dataVersion, len(configs))
	for i, config := range configs {
		versions[i] = dataVersion{id: config.ID, name: config.Spec.Name, dataSpec: dataSpec{labels: config.Spec.Labels}}
	}
	return c.rotator("prune configs").prune(ctx, versions)
}

func (c *ConfigClient) rotator(op string) *rotator {
	return &rotator{client: c.client, op: op, most: MaxConfigSize,
		list: func(ctx context.Context, prefix string) ([]dataVersion, error) {
			configs, err := c.List(ctx, &ConfigListOptions{NamePrefixes: []string{prefix}})
			var versions []dataVersion
			for _, config := range configs {
				versions = append(versions, dataVersion{id: config.ID, name: config.Spec.Name,
					dataSpec: dataSpec{labels: config.Spec.Labels, data: config.Spec.Data, templating: config.Spec.Templating}})
			}
			return versions, err
		},
		create: func(ctx context.Context, name string, spec dataSpec) (string, error) {
			return c.Create(ctx, ConfigSpec{Name: name, Labels: spec.labels, Data: spec.data, Templating: spec.templating})
		},
		same:       func(v *dataVersion, data []byte) bool { return bytes.Equal(v.data, data) },
		editLabels: c.editLabels,
		remove:     c.Remove,
		refs: func(spec *ServiceSpec) []dataRef {
			container := &spec.TaskTemplate.ContainerSpec
			var refs []dataRef
			for i := range container.Configs {
				config := &container.Configs[i]
				place := "" // for the engine's own use
				if config.File != nil {
					place = config.File.Name
				}
				refs = append(refs, dataRef{place: place, id: &config.ConfigID, name: &config.ConfigName})
			}
			if p := container.Privileges; p != nil && p.CredentialSpec != nil && p.CredentialSpec.Config != "" {
				refs = append(refs, dataRef{place: "credential spec", id: &p.CredentialSpec.Config})
			}
			return refs
		},
	}
}

// contentRounds make passwords costly to try. Tests take fewer.
var contentRounds = 100_000

// hashContent is the label by which the data of a secret is known again.
func hashContent(data []byte) string {
	salt := make([]byte, 16)
	rand.Read(salt) // never fails
	return encodeContent(salt, data)
}

func encodeContent(salt, data []byte) string {
	hash, err := pbkdf2.Key(sha256.New, string(data), salt, contentRounds, sha256.Size)
	if err != nil {
		return "" // in a mode of the standard library that forbids it: then nothing is known again
	}
	return fmt.Sprintf("pbkdf2-sha256:%d:%s:%s", contentRounds, base64.RawURLEncoding.EncodeToString(salt), base64.RawURLEncoding.EncodeToString(hash))
}

// hasContent reports whether a label is that of the data. One with another number
// of rounds is not ours: it could keep us busy for hours.
func hasContent(label string, data []byte) bool {
	parts := strings.Split(label, ":")
	if len(parts) != 4 {
		return false
	}
	salt, err := base64.RawURLEncoding.DecodeString(parts[2])
	if err != nil || len(salt) > 64 || parts[0] != "pbkdf2-sha256" || parts[1] != strconv.Itoa(contentRounds) {
		return false
	}
	return subtle.ConstantTimeCompare([]byte(encodeContent(salt, data)), []byte(label)) == 1
}

// dataSpec is what a version of a secret or config is made of.
type dataSpec struct {
	labels     map[string]string
	data       []byte
	templating *Driver
}

// dataVersion is a secret or config that is there.
type dataVersion struct {
	dataSpec
	id, name  string
	number    int // 1 for the name itself
	hasDriver bool
}

// stage is that of the rotation to this version, and the number of the version
// before, 0 if there was none.
func (v *dataVersion) stage() (stage string, before int) {
	stage, rest, _ := strings.Cut(v.labels[labelRotation], ":")
	number, _, _ := strings.Cut(rest, ":")
	before, _ = strconv.Atoi(number)
	return stage, before
}

func (v *dataVersion) failed() bool {
	stage, _ := v.stage()
	return stage == stageFailed
}

func (v *dataVersion) moving() bool {
	stage, _ := v.stage()
	return stage == stageMoving
}

// dataRef is where a spec names a secret or config, to be changed.
type dataRef struct {
	place string // the file, unique in a container
	id    *string
	name  *string // nil where there is the ID alone
}

// rotator does for secrets and configs what is the same for both.
type rotator struct {
	client     *Client
	op         string
	most       int // bytes of data
	list       func(ctx context.Context, prefix string) ([]dataVersion, error)
	create     func(ctx context.Context, name string, spec dataSpec) (string, error)
	same       func(v *dataVersion, data []byte) bool
	editLabels func(ctx context.Context, ref string, edit func(now map[string]string) (map[string]string, error)) error
	remove     func(ctx context.Context, ref string) error
	refs       func(*ServiceSpec) []dataRef
}

// check refuses what engines would, before anything is sent.
func (r *rotator) check(name string, data []byte) error {
	if len(name) > maxDataName || !dataNameForm.MatchString(name) {
		return invalid(r.op, name, "no valid name: 1 to %d letters, digits and any of _.- between them", maxDataName)
	}
	if err := checkSize(data, r.most); err != nil {
		return invalid(r.op, name, "%v", err)
	}
	return nil
}

// versions are those of a name, the oldest first, and the highest number that a
// name of this form has, whosever it is.
func (r *rotator) versions(ctx context.Context, name string) (versions []dataVersion, highest int, err error) {
	all, err := r.list(ctx, name)
	if err != nil {
		return nil, 0, err
	}
	for _, v := range all {
		switch suffix, numbered := strings.CutPrefix(v.name, name+"-v"); {
		case v.name == name:
			v.number = 1
		case numbered:
			if v.number, err = strconv.Atoi(suffix); err != nil || strconv.Itoa(v.number) != suffix || v.number < 2 {
				continue
			}
		default:
			continue
		}
		highest = max(highest, v.number)
		if v.number == 1 || v.labels[labelVersionOf] == name {
			versions = append(versions, v)
		}
	}
	slices.SortFunc(versions, func(a, b dataVersion) int { return cmp.Compare(a.number, b.number) })
	return versions, highest, nil
}

// maxEnsure bounds how often another's version may be in the way.
const maxEnsure = 20

// insist tries again as long as others take the version that was to be made, or
// rotate to the one that was there.
func (r *rotator) insist(name string, try func() error) error {
	for range maxEnsure {
		if err := try(); !errors.Is(err, ErrNameConflict) {
			return err
		}
	}
	return &Error{Op: r.op, Object: name, Message: "others take one version after the other", kind: ErrNameConflict}
}

// ensure returns the newest version of a name, which has this data: one that is
// there, or a new one.
func (r *rotator) ensure(ctx context.Context, name string, spec dataSpec) (v dataVersion, err error) {
	if err := r.check(name, spec.data); err != nil {
		return v, err
	}
	err = r.insist(name, func() error {
		versions, highest, err := r.versions(ctx, name)
		if err != nil {
			return err
		}
		if newest := last(versions); newest != nil && r.fits(newest, spec) {
			v = *newest
			return r.relabel(ctx, newest, spec.labels)
		}
		v, err = r.add(ctx, name, highest+1, spec, "")
		return err
	})
	return v, err
}

func last(versions []dataVersion) *dataVersion {
	if len(versions) == 0 {
		return nil
	}
	return &versions[len(versions)-1]
}

// fits reports whether tasks would see the same of a version as of the spec. One
// that a rotation is moving to, or has failed with, may be removed by it at any time.
func (r *rotator) fits(v *dataVersion, spec dataSpec) bool {
	return v.labels[labelRotation] == "" && sameDriver(v.templating, spec.templating) && r.same(v, spec.data)
}

// add makes a version of a name, and marks it with the stage of a rotation, if
// there is one.
func (r *rotator) add(ctx context.Context, name string, number int, spec dataSpec, mark string) (dataVersion, error) {
	v := dataVersion{dataSpec: spec, name: name, number: number}
	if number > 1 {
		v.name = fmt.Sprintf("%s-v%d", name, number)
	}
	if len(v.name) > maxDataName {
		return v, invalid(r.op, name, "the name of its next version, %s, is longer than %d", v.name, maxDataName)
	}
	v.labels = ownLabels(spec.labels, map[string]string{labelVersionOf: name})
	setMark(v.labels, mark)
	var err error
	v.id, err = r.create(ctx, v.name, v.dataSpec)
	if lost, ok := errors.AsType[*OutcomeUnknownError](err); ok && mark != "" {
		v.id, err = r.created(ctx, lost)
	}
	return v, err
}

// created is the ID of a version that was made for a rotation, though the answer was
// lost. It is asked for also when ctx has ended: nobody else takes its mark away. No
// other version has the same mark.
func (r *rotator) created(ctx context.Context, lost *OutcomeUnknownError) (id string, err error) {
	ctx, cancel := r.client.bounded(context.WithoutCancel(ctx))
	defer cancel()
	found, err := lost.Resolve(ctx)
	switch {
	case err != nil:
		return "", errors.Join(lost, err)
	case found.Outcome == OutcomeApplied:
		return found.ID, nil
	case found.Outcome == OutcomeNotApplied:
		return "", lost.Err
	}
	return "", lost
}

// ownLabels are labels of the caller beside those that are needed here, which stay
// as they are.
func ownLabels(labels, now map[string]string) map[string]string {
	result := maps.Clone(labels)
	if result == nil {
		result = map[string]string{}
	}
	for _, name := range []string{labelVersionOf, labelContent, labelRotation} {
		delete(result, name)
		if value, ok := now[name]; ok {
			result[name] = value
		}
	}
	return result
}

// relabel gives a version these labels, beside those that are needed here.
func (r *rotator) relabel(ctx context.Context, v *dataVersion, labels map[string]string) error {
	return r.editLabels(ctx, v.id, func(now map[string]string) (map[string]string, error) { return ownLabels(labels, now), nil })
}

func setMark(labels map[string]string, mark string) {
	delete(labels, labelRotation)
	if mark != "" {
		labels[labelRotation] = mark
	}
}

// removeFree removes versions, but for those that are used.
func (r *rotator) removeFree(ctx context.Context, versions []dataVersion) (removed []string, err error) {
	for _, v := range versions {
		err := r.remove(ctx, v.id)
		if errors.Is(err, ErrInUse) || errors.Is(err, ErrNotFound) {
			continue
		}
		if err != nil {
			return removed, err
		}
		removed = append(removed, v.name)
	}
	return removed, nil
}

// prune removes those that no service uses, nor would after a rollback.
func (r *rotator) prune(ctx context.Context, versions []dataVersion) ([]string, error) {
	used := map[string]bool{}
	for service, err := range r.client.Services.All(ctx, nil) {
		if err != nil {
			return nil, err
		}
		for _, spec := range []*ServiceSpec{&service.Spec, service.PreviousSpec} {
			if spec == nil {
				continue
			}
			for _, ref := range r.refs(spec) {
				used[*ref.id] = true
			}
		}
	}
	return r.removeFree(ctx, slices.DeleteFunc(versions, func(v dataVersion) bool { return used[v.id] || v.moving() }))
}
