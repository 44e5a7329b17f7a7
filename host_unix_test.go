//go:build unix

package swarm

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestConfigThatIsNoFile(t *testing.T) {
	for name, make := range map[string]func(path string) error{
		"too many levels of symbolic links": func(path string) error { return os.Symlink(path, path) },
		"not a regular file":                func(path string) error { return os.Mkdir(path, 0o700) },
		"not a regular file ":               func(path string) error { return syscall.Mkfifo(path, 0o600) },
		"not a regular file  ":              func(path string) error { return os.Symlink("/dev/zero", path) },
	} {
		s := around(t)
		path := filepath.Join(s.home, ".docker", "config.json")
		require.NoError(t, os.Mkdir(filepath.Dir(path), 0o700))
		require.NoError(t, make(path))
		assert.Equal(t, path+": "+strings.TrimSpace(name), s.fails())
	}
	s := around(t)
	require.NoError(t, os.WriteFile(filepath.Join(s.home, ".docker"), nil, 0o600))
	assert.Contains(t, s.fails(), "/config.json: not a directory")
}
