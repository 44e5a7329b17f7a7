package engines

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
)

// The test image, see integration/testimage. The three differ in what the
// program says it is; each is an image of its own to the engine.
const (
	Image1 = "swarmtest-image:1" // what tests deploy
	Image2 = "swarmtest-image:2" // what they update to
	Image3 = "swarmtest-image:3" // for a second update
)

const (
	imageRepo   = "swarmtest-image"
	imageSource = "github.com/swarm-go/swarm/integration/testimage"
)

var imageTags = []string{"1", "2", "3"}

// LoadImages puts [Image1], [Image2] and [Image3] into the engine.
func (e *Engine) LoadImages(ctx context.Context) error {
	layer, err := imageLayer(ctx, e.arch)
	if err != nil {
		return fmt.Errorf("engines: build test image: %w", err)
	}
	for _, tag := range imageTags {
		if err := e.importImage(ctx, layer, tag); err != nil {
			return fmt.Errorf("engines: %s: import test image: %w", e.Name, err)
		}
	}
	return nil
}

// HasImages says whether test images are there already, perhaps of another build.
func (e *Engine) HasImages(ctx context.Context) bool {
	return e.Call(ctx, http.MethodGet, "/images/"+Image1+"/json", nil, nil) == nil
}

// RemoveImages takes the test images out again, from an engine of the user's own.
func (e *Engine) RemoveImages(ctx context.Context) error {
	var failed []error
	for _, tag := range imageTags {
		failed = append(failed, e.Call(ctx, http.MethodDelete, "/images/"+imageRepo+":"+tag+"?force=1", nil, nil))
	}
	return errors.Join(failed...)
}

func (e *Engine) importImage(ctx context.Context, layer []byte, tag string) error {
	query := url.Values{"fromSrc": {"-"}, "repo": {imageRepo}, "tag": {tag}, "changes": {
		`ENTRYPOINT ["/testimage"]`,
		"ENV SWARMTEST_IMAGE=" + tag,
	}}
	err := e.send(ctx, http.MethodPost, "/images/create?"+query.Encode(), "application/x-tar", bytes.NewReader(layer), nil)
	if err != nil {
		return err
	}
	// A failed import answers 200 too, and says so in its progress.
	return e.Call(ctx, http.MethodGet, "/images/"+imageRepo+":"+tag+"/json", nil, nil)
}

var layers struct {
	sync.Mutex
	byArch map[string][]byte
}

// imageLayer returns the file system of the image, built once per architecture.
func imageLayer(ctx context.Context, arch string) ([]byte, error) {
	layers.Lock()
	defer layers.Unlock()
	if layer, ok := layers.byArch[arch]; ok {
		return layer, nil
	}
	program, err := buildProgram(ctx, arch)
	if err != nil {
		return nil, err
	}
	var layer bytes.Buffer
	archive := tar.NewWriter(&layer)
	failed := errors.Join(
		archive.WriteHeader(&tar.Header{Name: "tmp/", Typeflag: tar.TypeDir, Mode: 0o1777}),
		archive.WriteHeader(&tar.Header{Name: "testimage", Typeflag: tar.TypeReg, Mode: 0o755, Size: int64(len(program))}),
	)
	_, err = archive.Write(program)
	if err := errors.Join(failed, err, archive.Close()); err != nil {
		return nil, err
	}
	if layers.byArch == nil {
		layers.byArch = map[string][]byte{}
	}
	layers.byArch[arch] = layer.Bytes()
	return layer.Bytes(), nil
}

func buildProgram(ctx context.Context, arch string) ([]byte, error) {
	dir, err := os.MkdirTemp("", "swarm-image-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	file := filepath.Join(dir, "testimage")
	build := exec.CommandContext(ctx, "go", "build", "-buildvcs=false", "-ldflags=-s -w", "-o", file, imageSource)
	build.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH="+arch)
	if _, err := output(build); err != nil {
		return nil, err
	}
	return os.ReadFile(file)
}
