package swarm

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// ParseMount reads what --mount takes: fields with commas in between, such as
//
//	type=volume,source=data,target=/data,volume-label=team=x
//	type=bind,source=/srv,target=/srv,readonly
//	type=tmpfs,target=/tmp,tmpfs-size=64m,tmpfs-mode=1777
//
// The type is [MountVolume] unless the text says otherwise; the target is
// required. A source that begins with . is relative to the working directory.
// Which keys there are the switch below says; those of other types are refused.
//
// Unlike the docker command it does so for bind mounts only, refuses types that
// there are not, and labels and options without a key. Errors do not show the
// values of options.
func ParseMount(text string) (Mount, error) {
	m, err := parseMount(text)
	if err != nil {
		return Mount{}, invalid("parse mount", "", "%v", err)
	}
	return m, nil
}

func parseMount(text string) (Mount, error) {
	fields, err := readFields(text)
	if err != nil {
		return Mount{}, fmt.Errorf("the text %w", err)
	}
	m := Mount{Type: MountVolume}
	for _, field := range fields {
		key, value, hasValue := strings.Cut(field, "=")
		if key != strings.TrimSpace(key) || value != strings.TrimSpace(value) {
			return m, fmt.Errorf("there are spaces around %q or its value", strings.TrimSpace(key))
		}
		key = strings.ToLower(key)
		isFlag, err := m.setFlag(key, value, hasValue)
		if !isFlag && err == nil {
			if value == "" {
				return m, fmt.Errorf("%q has no value", key)
			}
			err = m.set(key, value)
		}
		if err != nil {
			return m, fmt.Errorf("%s: %w", key, err)
		}
	}
	return m, m.complete()
}

// setFlag sets what needs no value.
func (m *Mount) setFlag(key, value string, hasValue bool) (isFlag bool, err error) {
	var flag *bool
	switch key {
	case "readonly", "ro":
		flag = &m.ReadOnly
	case "volume-nocopy":
		flag = &m.volumeOptions().NoCopy
	case "bind-create-src":
		flag = &m.bindOptions().CreateMountpoint
	case "bind-nonrecursive":
		return true, errors.New("say bind-recursive=disabled")
	default:
		return false, nil
	}
	switch {
	case !hasValue, value == "true", value == "1":
		*flag = true
	case value == "false", value == "0":
		*flag = false
	default:
		return true, fmt.Errorf("%q is not true or false", value)
	}
	return true, nil
}

func (m *Mount) set(key, value string) (err error) {
	switch key {
	case "type":
		m.Type = lower(MountType(value))
	case "source", "src":
		m.Source = value
	case "target", "dst", "destination":
		m.Target = value
	case "consistency":
		m.Consistency = lower(MountConsistency(value))
	case "bind-propagation":
		m.bindOptions().Propagation = lower(Propagation(value))
	case "bind-recursive":
		err = m.setRecursive(value)
	case "volume-subpath":
		m.volumeOptions().Subpath = value
	case "volume-label":
		o := m.volumeOptions()
		o.Labels, err = setOption(o.Labels, value)
	case "volume-driver":
		m.volumeDriver().Name = value
	case "volume-opt":
		d := m.volumeDriver()
		d.Options, err = setOption(d.Options, value)
	case "image-subpath":
		m.ImageOptions = &ImageOptions{Subpath: value}
	case "tmpfs-size":
		m.tmpfsOptions().SizeBytes, err = ParseBytes(value)
	case "tmpfs-mode":
		var mode uint64
		if mode, err = strconv.ParseUint(value, 8, 32); err != nil {
			return fmt.Errorf("%q is no octal number such as 1777", value)
		}
		m.tmpfsOptions().Mode = os.FileMode(mode)
	default:
		return errors.New("there is no such key")
	}
	return err
}

func (m *Mount) setRecursive(value string) error {
	o := m.bindOptions()
	switch value {
	case "enabled": // is the default
	case "disabled":
		o.NonRecursive = true
	case "writable":
		o.ReadOnlyNonRecursive = true
	case "readonly":
		o.ReadOnlyForceRecursive = true
	default:
		return fmt.Errorf("%q is not enabled, disabled, writable or readonly", value)
	}
	return nil
}

func (m *Mount) bindOptions() *BindOptions { return made(&m.BindOptions) }

func (m *Mount) volumeOptions() *VolumeOptions { return made(&m.VolumeOptions) }

func (m *Mount) volumeDriver() *Driver { return made(&m.volumeOptions().DriverConfig) }

func (m *Mount) tmpfsOptions() *TmpfsOptions { return made(&m.TmpfsOptions) }

// made is what a pointer leads to, made if there is nothing.
func made[T any](p **T) *T {
	if *p == nil {
		*p = new(T)
	}
	return *p
}

// complete checks the whole, when all fields have been read.
func (m *Mount) complete() error {
	if !slices.Contains(append(mountTypes, MountImage), m.Type) {
		return fmt.Errorf("type %q is not one of %s, image", m.Type, listOf(mountTypes))
	}
	if m.Target == "" {
		return errors.New("the target is missing")
	}
	for _, options := range []struct {
		of    MountType
		isSet bool
	}{
		{MountBind, m.BindOptions != nil},
		{MountVolume, m.VolumeOptions != nil},
		{MountImage, m.ImageOptions != nil},
		{MountTmpfs, m.TmpfsOptions != nil},
	} {
		if options.isSet && options.of != m.Type {
			return fmt.Errorf("options of type %s are not for type %s", options.of, m.Type)
		}
	}
	if m.Type == MountBind {
		return m.completeBind()
	}
	return nil
}

func (m *Mount) completeBind() error {
	if m.Source == "." || strings.HasPrefix(m.Source, "."+string(filepath.Separator)) {
		absolute, err := filepath.Abs(m.Source)
		if err != nil {
			return err
		}
		m.Source = absolute
	}
	o := m.BindOptions
	switch {
	case o == nil:
	case (o.ReadOnlyNonRecursive || o.ReadOnlyForceRecursive) && !m.ReadOnly:
		return errors.New("bind-recursive=writable and =readonly need readonly")
	case o.ReadOnlyForceRecursive && o.Propagation != PropagationRPrivate:
		return errors.New("bind-recursive=readonly needs bind-propagation=rprivate")
	}
	return nil
}
