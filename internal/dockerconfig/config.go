// Package dockerconfig reads what the docker command keeps in its
// configuration folder: config.json, the context store, and certificates.
// Nothing is written. No error holds a file's content.
package dockerconfig

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// maxFile bounds every file read here. Real ones have a few kilobytes.
const maxFile = 1 << 20

// Dir is the configuration folder: DOCKER_CONFIG, else .docker in the home
// folder. The folder need not exist.
func Dir(getenv func(string) string, home func() (string, error)) (string, error) {
	if dir := getenv("DOCKER_CONFIG"); dir != "" {
		return dir, nil
	}
	folder, err := home()
	if err != nil {
		return "", fmt.Errorf("no docker configuration folder: %w", err)
	}
	return filepath.Join(folder, ".docker"), nil
}

// File is config.json, as much of it as is needed.
type File struct {
	// Path is where the file is, or would be.
	Path string `json:"-"`
	// CurrentContext is the context chosen with "docker context use", empty if none was.
	CurrentContext string `json:"currentContext"`
	// Auths are credentials by registry, each decoded when it is asked for: the
	// others may be damaged.
	Auths map[string]json.RawMessage `json:"auths"`
	// CredsStore names the helper that has the credentials, empty if none does.
	CredsStore string `json:"credsStore"`
	// CredHelpers name the helpers of single registries.
	CredHelpers map[string]string `json:"credHelpers"`
}

// Load reads config.json in dir. Without the file, or with an empty one, the
// configuration is empty, as for the docker command.
func Load(dir string) (*File, error) {
	file := &File{Path: filepath.Join(dir, "config.json")}
	data, err := readFile(file.Path)
	if errors.Is(err, fs.ErrNotExist) {
		return file, nil
	}
	if err != nil {
		return nil, err
	}
	if len(data) == 0 {
		return file, nil
	}
	if err := decode(file.Path, data, file); err != nil {
		return nil, err
	}
	return file, nil
}

// decode reads JSON without letting the decoder's error out, which quotes the
// data: credentials stand in config.json.
func decode(path string, data []byte, into any) error {
	err := json.Unmarshal(data, into)
	if err == nil {
		return nil
	}
	if syntax, ok := errors.AsType[*json.SyntaxError](err); ok {
		return fmt.Errorf("%s: damaged: no valid JSON at byte %d", path, syntax.Offset)
	}
	if mismatch, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		return fmt.Errorf("%s: damaged: the JSON at byte %d is of another type than it should be", path, mismatch.Offset)
	}
	return fmt.Errorf("%s: damaged: no valid JSON", path)
}

// readFile reads a regular file of bounded size. Its errors name the path.
func readFile(path string) ([]byte, error) {
	// Looked at before it is opened: opening a named pipe would wait for a writer.
	info, err := os.Stat(path)
	if err != nil {
		return nil, pathError(path, err)
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s: not a regular file", path)
	}
	file, err := os.Open(path)
	if err != nil {
		return nil, pathError(path, err)
	}
	defer file.Close()
	data, err := io.ReadAll(io.LimitReader(file, maxFile+1))
	if err != nil {
		return nil, pathError(path, err)
	}
	if len(data) > maxFile {
		return nil, fmt.Errorf("%s: larger than %d bytes", path, maxFile)
	}
	return data, nil
}

// pathError puts the path first, as all errors here have it.
func pathError(path string, err error) error {
	if wrapped, ok := errors.AsType[*fs.PathError](err); ok {
		err = wrapped.Err
	}
	return fmt.Errorf("%s: %w", path, err)
}
