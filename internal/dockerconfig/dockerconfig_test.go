package dockerconfig

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func write(t testing.TB, path, content string) {
	require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o700))
	require.NoError(t, os.WriteFile(path, []byte(content), 0o600))
}

func TestFolder(t *testing.T) {
	home := func() (string, error) { return "/users/me", nil }
	none := func() (string, error) { return "", errors.New("no home") }
	set := func(string) string { return "/etc/docker-cli" }
	unset := func(string) string { return "" }

	dir, err := Dir(set, none)
	require.NoError(t, err)
	assert.Equal(t, "/etc/docker-cli", dir)
	dir, err = Dir(unset, home)
	require.NoError(t, err)
	assert.Equal(t, filepath.Join("/users/me", ".docker"), dir)
	_, err = Dir(unset, none)
	assert.ErrorContains(t, err, "no home")
}

func TestMissingContextCanBeToldFromADamagedOne(t *testing.T) {
	dir := t.TempDir()
	_, err := LoadContext(dir, "prod")
	assert.ErrorIs(t, err, fs.ErrNotExist)
	write(t, metaPath(dir), "{")
	_, err = LoadContext(dir, "prod")
	assert.Error(t, err)
	assert.NotErrorIs(t, err, fs.ErrNotExist)
}

// metaPath is where the docker command (28.2) put the context "prod".
func metaPath(dir string) string {
	return filepath.Join(dir, "contexts/meta/6754af9632a2745e85c293e5aac0863370d9bd3330b9938c00cadfd215227d77/meta.json")
}

var harmless = regexp.MustCompile(`^: (damaged: (no valid JSON( at byte \d+)?|the JSON at byte \d+ is of another type than it should be)|no docker endpoint|the docker endpoint has no host)$`)

// FuzzDamagedFiles checks that errors tell where a file is damaged, and nothing
// of what is in it.
func FuzzDamagedFiles(f *testing.F) {
	for _, content := range []string{"", "{", "null", `{"currentContext":"prod"}`, `{"currentContext":7}`, `{"auths":{"x":{"auth":"c2VjcmV0"}}`,
		`{"Name":"prod","Endpoints":{"docker":{"Host":"tcp://x","SkipTLSVerify":true}}}`, `{"Endpoints":{"docker":null}}`, "\xff\xfe{"} {
		f.Add(content)
	}
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, content string) {
		config := filepath.Join(dir, "config.json")
		write(t, config, content)
		if _, err := Load(dir); err != nil {
			assert.Regexp(t, harmless, err.Error()[len(config):])
		}
		if _, err := readMeta(config); err != nil {
			assert.Regexp(t, harmless, err.Error()[len(config):])
		}
	})
}

// FuzzCertificates checks that nothing in the place of certificates and keys
// makes reading them panic, or shows in an error.
func FuzzCertificates(f *testing.F) {
	f.Add("", "", "")
	f.Add("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "x", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n")
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, ca, cert, key string) {
		write(t, filepath.Join(dir, "ca.pem"), ca)
		write(t, filepath.Join(dir, "cert.pem"), cert)
		write(t, filepath.Join(dir, "key.pem"), key)
		files, err := FindTLS(dir)
		require.NoError(t, err)
		if _, err := files.Config(); err != nil {
			assert.Contains(t, err.Error(), dir)
			assert.Less(t, len(err.Error()), 500+2*len(dir))
		}
	})
}
