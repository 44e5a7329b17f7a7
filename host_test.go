package swarm

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// surroundings are an environment, a home folder and the options of one New.
type surroundings struct {
	t    *testing.T
	home string
	vars map[string]string
	opts []Option
	goos string
}

func around(t *testing.T) *surroundings {
	return &surroundings{t: t, home: t.TempDir(), vars: map[string]string{}, goos: "linux"}
}

func (s *surroundings) set(name, value string) *surroundings { s.vars[name] = value; return s }

func (s *surroundings) with(opts ...Option) *surroundings { s.opts = opts; return s }

func (s *surroundings) config() *config {
	c := defaultConfig()
	c.environ = environ{
		getenv: func(name string) string { return s.vars[name] },
		home:   func() (string, error) { return s.home, nil },
		goos:   s.goos,
		socket: filepath.Join(s.home, "system.sock"),
	}
	for _, opt := range s.opts {
		require.NoError(s.t, opt(c))
	}
	return c
}

func (s *surroundings) resolve() *endpoint {
	s.t.Helper()
	e, err := resolveEndpoint(s.config())
	require.NoError(s.t, err)
	return e
}

func (s *surroundings) fails() string {
	s.t.Helper()
	e, err := resolveEndpoint(s.config())
	require.Error(s.t, err, "%+v", e)
	require.Nil(s.t, e)
	return err.Error()
}

// file writes a file below the docker configuration folder.
func (s *surroundings) file(name, content string) string {
	path := filepath.Join(s.home, ".docker", name)
	require.NoError(s.t, os.MkdirAll(filepath.Dir(path), 0o700))
	require.NoError(s.t, os.WriteFile(path, []byte(content), 0o600))
	return path
}

func contextID(name string) string {
	sum := sha256.Sum256([]byte(name))
	return hex.EncodeToString(sum[:])
}

// context puts a context with one endpoint into the store.
func (s *surroundings) context(name, host string, skipVerify bool) *surroundings {
	meta, err := json.Marshal(map[string]any{"Name": name, "Metadata": map[string]any{},
		"Endpoints": map[string]any{"docker": map[string]any{"Host": host, "SkipTLSVerify": skipVerify}}})
	require.NoError(s.t, err)
	s.file("contexts/meta/"+contextID(name)+"/meta.json", string(meta))
	return s
}

func (s *surroundings) contextTLS(name string, files map[string]string) *surroundings {
	for file, content := range files {
		s.file("contexts/tls/"+contextID(name)+"/docker/"+file, content)
	}
	return s
}

// certificates makes ca.pem, cert.pem and key.pem, self-signed.
func certificates(t *testing.T) map[string]string {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"},
		NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	require.NoError(t, err)
	private, err := x509.MarshalPKCS8PrivateKey(key)
	require.NoError(t, err)
	certificate := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	return map[string]string{"ca.pem": certificate, "cert.pem": certificate,
		"key.pem": string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}))}
}

// certPath writes certificates into a folder of their own.
func certPath(t *testing.T, files map[string]string) string {
	dir := t.TempDir()
	for name, content := range files {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600))
	}
	return dir
}

func without(files map[string]string, names ...string) map[string]string {
	left := map[string]string{}
	for name, content := range files {
		left[name] = content
	}
	for _, name := range names {
		delete(left, name)
	}
	return left
}

func TestHostForms(t *testing.T) {
	for host, want := range map[string]string{
		"unix:///run/x.sock":                   "unix /run/x.sock",
		"unix:///run/with space/ünï.sock":      "unix /run/with space/ünï.sock",
		"unix://":                              "unix /var/run/docker.sock",
		"tcp://":                               "tcp localhost:2375",
		"tcp://:4000":                          "tcp localhost:4000",
		":4000":                                "tcp localhost:4000",
		"engine:4000":                          "tcp engine:4000",
		"engine":                               "tcp engine:2375",
		"tcp://engine":                         "tcp engine:2375",
		"tcp://my_engine.example.:1":           "tcp my_engine.example.:1",
		"tcp://127.0.0.1:65535/":               "tcp 127.0.0.1:65535",
		"tcp://127.0.0.1:4000/docker/one/":     "tcp 127.0.0.1:4000 path /docker/one",
		"tcp://[::1]":                          "tcp [::1]:2375",
		"[::1]:4000":                           "tcp [::1]:4000",
		"tcp://[fe80::1%25eth0]:4000":          "tcp [fe80::1%eth0]:4000",
		"http://engine":                        "http engine:80",
		"http://engine:4000/a":                 "http engine:4000 path /a",
		"https://engine":                       "https engine:443 TLS",
		"https://engine:4000":                  "https engine:4000 TLS",
		"ssh://engine":                         "ssh engine",
		"ssh://me@engine:22":                   "ssh me@engine:22",
		"ssh://m-e.1_@engine/":                 "ssh m-e.1_@engine",
		"ssh://me@[::1]:22/run/user/1/d.sock":  "ssh me@[::1]:22 path /run/user/1/d.sock",
		"ssh://10.0.0.1/var/run/docker.sock":   "ssh 10.0.0.1 path /var/run/docker.sock",
		"unix:///" + strings.Repeat("a", 106):  "unix /" + strings.Repeat("a", 106),
		"tcp://" + strings.Repeat("a", 63):     "tcp " + strings.Repeat("a", 63) + ":2375",
		"tcp://127.0.0.1:4000/a;b=c,d~e(1)*!$": "tcp 127.0.0.1:4000 path /a;b=c,d~e(1)*!$",
	} {
		t.Run(host, func(t *testing.T) {
			e := around(t).with(WithHost(host)).resolve()
			got := e.scheme + " " + e.address
			if e.path != "" {
				got += " path " + e.path
			}
			if e.tls != nil {
				got += " TLS"
			}
			assert.Equal(t, want, got)
			assert.Equal(t, host, e.host)
			assert.Equal(t, "WithHost", e.source)
			fromEnvironment := around(t).set("DOCKER_HOST", "  "+host+"\n").resolve()
			assert.Equal(t, "DOCKER_HOST", fromEnvironment.source)
			assert.Equal(t, host, fromEnvironment.host)
			fromEnvironment.source = e.source
			assert.Equal(t, e, fromEnvironment)
		})
	}
}

func TestHostsThatAreNone(t *testing.T) {
	long := strings.Repeat("x", 10_000)
	for host, want := range map[string]string{
		"gopher://x":                          `unknown scheme "gopher" in "gopher://x"`,
		"TCP://x":                             `unknown scheme "TCP"`,
		"fd://":                               `unknown scheme "fd"`,
		"a b://x":                             `invalid scheme`,
		"://x":                                `invalid scheme`,
		"/var/run/docker.sock":                `no scheme, unix:// or tcp:// for instance, in "/var/run/docker.sock"`,
		"unix:/var/run/docker.sock":           `no scheme`,
		"tcp:/127.0.0.1:1":                    `no scheme`,
		"unix://var/run/docker.sock":          `not absolute`,
		"unix:///" + strings.Repeat("a", 107): `socket path of 108 bytes, the system's limit is 107`,
		"npipe:////./pipe/docker_engine":      `only Windows has`,
		"two words":                           `invalid host name`,
		"tcp://" + strings.Repeat("a", 64):    `invalid host name`,
		"tcp://" + strings.Repeat("a.", 127):  `invalid host name`,
		"tcp://-x":                            `invalid host name`,
		"tcp://x-":                            `invalid host name`,
		"tcp://a..b":                          `invalid host name`,
		"tcp://.":                             `invalid host name`,
		"tcp://bücher.example":                `invalid host name`,
		"tcp://10.0.0.256":                    `invalid host name`,
		"2375":                                `invalid host name`,
		"tcp://h:":                            `invalid port`,
		"tcp://h:0":                           `invalid port`,
		"tcp://h:65536":                       `invalid port`,
		"tcp://h:+1":                          `invalid port`,
		"tcp://h:http":                        `invalid port`,
		"tcp://h:1:2":                         `more than one colon`,
		"tcp://::1":                           `IPv6 addresses need brackets`,
		"tcp://[::1":                          `invalid IPv6 address`,
		"tcp://[::1]x":                        `invalid port`,
		"tcp://[engine]":                      `invalid IPv6 address`,
		"tcp://[127.0.0.1]":                   `invalid IPv6 address`,
		"tcp://[fe80::1%e/th0]":               `invalid IPv6 address`,
		"tcp://h:1?x=1":                       `query or fragment`,
		"tcp://h:1#x":                         `query or fragment`,
		"tcp://h/../x":                        `no plain URL path`,
		"tcp://h/a/./b":                       `no plain URL path`,
		"tcp://h/a//b":                        `no plain URL path`,
		"tcp://h/%2e%2e":                      `no plain URL path`,
		`tcp://h/a\b`:                         `no plain URL path`,
		"tcp://h/a b":                         `no plain URL path`,
		"http://":                             `no host name`,
		"https://:1":                          `no host name`,
		"ssh://":                              `no host name`,
		"ssh://:22":                           `no host name`,
		"ssh://-oProxyCommand=x":              `invalid host name`,
		"ssh://me@-oProxyCommand=x":           `invalid host name`,
		"ssh://-oProxyCommand=x@h":            `invalid user name`,
		"ssh://a b@h":                         `invalid user name`,
		"ssh://@h":                            `invalid user name`,
		"ssh://a@b@h":                         `invalid user name`,
		"ssh://h:22x":                         `invalid port`,
		"ssh://h?x":                           `query or fragment`,
		"ssh://h/a b":                         `no plain socket path`,
		"ssh://h/$(reboot)":                   `no plain socket path`,
		"ssh://h/a;b":                         `no plain socket path`,
		"ssh://h/" + strings.Repeat("a", 107): `socket path of 108 bytes`,
		"tcp://h\x00":                         `control character`,
		"tcp://h\r\nX: y":                     `control character`,
		"unix:///a\x1b[31m":                   `control character`,
		"unix:///a\u0085b":                    `control character`,
		"unix:///a\xff":                       `invalid UTF-8`,
		"tcp://" + long:                       `longer than 4096 bytes`,
		"unix:///" + long:                     `longer than 4096 bytes`,
		long:                                  `longer than 4096 bytes`,
	} {
		t.Run(clip(fmt.Sprintf("%q", host), 60), func(t *testing.T) {
			messages := map[string]string{
				"WithHost":    around(t).with(WithHost(host)).fails(),
				"DOCKER_HOST": around(t).set("DOCKER_HOST", host).fails(),
			}
			if utf8.ValidString(host) {
				messages[`WithContext: context "prod"`] = around(t).context("prod", host, false).with(WithContext("prod")).fails()
			}
			for read, message := range messages {
				assert.True(t, strings.HasPrefix(message, read+": "), message)
				assert.Contains(t, message, want)
				assert.Less(t, len(message), 400)
				assert.NotContains(t, message, "\n")
				assert.NotContains(t, message, "\x1b")
			}
		})
	}
}

func TestNoSecretOfAHostGetsIntoErrors(t *testing.T) {
	for _, host := range []string{
		"tcp://user:hunter2@engine:2375",
		"tcp://hunter2@engine:2375",
		"tcp://user:hun/hunter2@engine:2375",
		"tcp://user:hun?hunter2@engine",
		"https://engine/?token=hunter2",
		"https://engine/#hunter2",
		"https://user:hunter2@engine",
		"ssh://user:hunter2@engine",
		"ssh://user:hunter2/x@engine",
		"ssh://user:x#hunter2@engine",
		"user:hunter2@engine:2375",
		"user:hunter2://x@engine:2375",
		"gopher://user:hunter2@engine",
		"hunter2@://engine",
		"tcp://user:hunter2@" + strings.Repeat("x", 5000),
	} {
		message := around(t).with(WithHost(host)).fails()
		assert.NotContains(t, message, "hunter2", host)
	}
}

func TestWhatNamesTheEngineFirst(t *testing.T) {
	full := func() *surroundings {
		s := around(t).set("DOCKER_HOST", "tcp://variable:1").set("DOCKER_CONTEXT", "chosen")
		s.context("chosen", "tcp://chosen:1", false).context("current", "tcp://current:1", false)
		s.context("option", "tcp://option:1", false)
		s.file("config.json", `{"auths":{},"currentContext":"current"}`)
		return s
	}
	for _, row := range []struct {
		around  *surroundings
		address string
		source  string
	}{
		{full().with(WithHost("tcp://host:1")), "host:1", "WithHost"},
		{full().with(WithContext("option")), "option:1", `context "option"`},
		{full(), "variable:1", "DOCKER_HOST"},
		{full().set("DOCKER_HOST", ""), "chosen:1", `context "chosen"`},
		{full().set("DOCKER_HOST", "").set("DOCKER_CONTEXT", ""), "current:1", `context "current"`},
		{full().with(WithContext("default")), "variable:1", "DOCKER_HOST"},
		{full().set("DOCKER_HOST", "").with(WithContext("default")), "", "default"},
		{full().set("DOCKER_HOST", "").set("DOCKER_CONTEXT", "default"), "", "default"},
		{full().set("DOCKER_HOST", " \t\n"), "", "default"}, // set, so no context; blank, so no host
		{around(t), "", "default"},
	} {
		e := row.around.resolve()
		if row.address == "" {
			row.address = filepath.Join(row.around.home, "system.sock")
		}
		assert.Equal(t, row.address, e.address)
		assert.Equal(t, row.source, e.source)
	}
}

func TestWithHostReadsNothingOfTheEnvironment(t *testing.T) {
	s := around(t).with(WithHost("tcp://host")).set("DOCKER_HOST", "gopher://x").set("DOCKER_CONTEXT", "nope").
		set("DOCKER_TLS_VERIFY", "1").set("DOCKER_CERT_PATH", "/nowhere").set("DOCKER_API_VERSION", "nonsense")
	s.file("config.json", "damaged")
	c := s.config()
	e, err := resolveEndpoint(c)
	require.NoError(t, err)
	assert.Equal(t, "host:2375", e.address)
	assert.Nil(t, e.tls)
	assert.Empty(t, c.apiVersion)
}

func TestConfigFolderOfTheEnvironment(t *testing.T) {
	other := around(t).context("prod", "tcp://prod:1", false)
	s := around(t).set("DOCKER_CONFIG", filepath.Join(other.home, ".docker")).set("DOCKER_CONTEXT", "prod")
	assert.Equal(t, "prod:1", s.resolve().address)
	s.set("DOCKER_CONFIG", filepath.Join(other.home, "nowhere"))
	assert.Contains(t, s.fails(), `DOCKER_CONTEXT: context "prod" does not exist: `)
	s.set("DOCKER_CONTEXT", "")
	assert.Equal(t, "default", s.resolve().source)
}

func TestWithoutHomeFolder(t *testing.T) {
	homeless := func(s *surroundings) (*endpoint, error) {
		c := s.config()
		c.environ.home = func() (string, error) { return "", errors.New("HOME is not set") }
		return resolveEndpoint(c)
	}
	e, err := homeless(around(t))
	require.NoError(t, err)
	assert.Equal(t, "default", e.source)

	e, err = homeless(around(t).set("DOCKER_TLS_VERIFY", "1"))
	require.NoError(t, err)
	assert.NotNil(t, e.tls)

	_, err = homeless(around(t).set("DOCKER_CONTEXT", "prod"))
	assert.EqualError(t, err, `DOCKER_CONTEXT: context "prod": no docker configuration folder: HOME is not set`)
}

func TestDamagedConfigIsAnErrorThatKeepsItsContent(t *testing.T) {
	for content, want := range map[string]string{
		`{"auths": hunter2`:                    "no valid JSON at byte 11",
		`{"auths":{"x":{"auth":"hunter2"}}`:    "no valid JSON at byte",
		`{"currentContext": 7, "x":"hunter2"}`: "of another type",
		`["hunter2"]`:                          "of another type",
		`{} hunter2`:                           "no valid JSON",
		"hunter2":                              "no valid JSON at byte 1",
		"\xef\xbb\xbf{}":                       "no valid JSON at byte",
		`{"x":"` + strings.Repeat("hunter2", 200_000): "larger than 1048576 bytes",
	} {
		s := around(t)
		path := s.file("config.json", content)
		message := s.fails()
		assert.True(t, strings.HasPrefix(message, path+": "), message)
		assert.Contains(t, message, want)
		assert.NotContains(t, message, "hunter2")

		s.set("DOCKER_HOST", "tcp://x:1")
		assert.Equal(t, "x:1", s.resolve().address) // it decides nothing here
	}
	for _, content := range []string{"", "{}", `{"currentContext":""}`, `{"currentContext":"default"}`, `{"auths":{"x":7}}`} {
		s := around(t)
		s.file("config.json", content)
		assert.Equal(t, "default", s.resolve().source, content)
	}
}

func TestCurrentContextThatIsNone(t *testing.T) {
	s := around(t)
	path := s.file("config.json", `{"currentContext":"gone"}`)
	assert.Contains(t, s.fails(), path+`: currentContext: context "gone" does not exist: `)
}

func TestContextNames(t *testing.T) {
	for _, name := range []string{"a", "../x", "a b", "-ab", "a/b", `a\b`, "äb", "a\x00b", strings.Repeat("a", 10_000), "a\n"} {
		for read, message := range map[string]string{
			"WithContext":    around(t).with(WithContext(name)).fails(),
			"DOCKER_CONTEXT": around(t).set("DOCKER_CONTEXT", name).fails(),
		} {
			assert.Contains(t, message, read+`: context "`)
			assert.Contains(t, message, "no valid name")
			assert.Less(t, len(message), 300)
			assert.NotContains(t, message, "\n")
		}
	}
	for _, name := range []string{"ab", "0_.+-", strings.Repeat("a", 200)} {
		assert.Equal(t, "x:1", around(t).context(name, "tcp://x:1", false).with(WithContext(name)).resolve().address)
	}
}

func TestDamagedContexts(t *testing.T) {
	for content, want := range map[string]string{
		"":                                    "no valid JSON",
		"{":                                   "no valid JSON",
		"[]":                                  "another type",
		"null":                                "no docker endpoint",
		"{}":                                  "no docker endpoint",
		`{"Endpoints":{}}`:                    "no docker endpoint",
		`{"Endpoints":{"docker":null}}`:       "no docker endpoint",
		`{"Endpoints":{"docker":[]}}`:         "another type",
		`{"Endpoints":{"docker":{}}}`:         "the docker endpoint has no host",
		`{"Endpoints":{"k8s":{"Host":"x"}}}`:  "no docker endpoint",
		`{"Endpoints":{"docker":{"Host":7}}}`: "another type",
		`{"Endpoints":{"docker":{"Host":"x","SkipTLSVerify":"no"}}}`: "another type",
	} {
		s := around(t).with(WithContext("prod"))
		path := s.file("contexts/meta/"+contextID("prod")+"/meta.json", content)
		message := s.fails()
		assert.Contains(t, message, `WithContext: context "prod": `+path+": ")
		assert.Contains(t, message, want, content)
	}
	s := around(t).with(WithContext("prod"))
	s.file("contexts/meta/"+contextID("prod")+"/meta.json/x", "")
	assert.Contains(t, s.fails(), "meta.json: not a regular file")
}

func TestContextWithCertificates(t *testing.T) {
	all := certificates(t)
	prod := func(files map[string]string) *surroundings {
		return around(t).context("prod", "tcp://prod", false).contextTLS("prod", files).with(WithContext("prod"))
	}
	e := prod(all).resolve()
	assert.Equal(t, "prod:2376", e.address)
	assert.Equal(t, "prod", e.tls.ServerName)
	assert.Equal(t, uint16(tls.VersionTLS12), e.tls.MinVersion)
	assert.False(t, e.tls.InsecureSkipVerify)
	assert.Len(t, e.tls.Certificates, 1)
	authority, _ := pem.Decode([]byte(all["ca.pem"]))
	only := x509.NewCertPool()
	parsed, err := x509.ParseCertificate(authority.Bytes)
	require.NoError(t, err)
	only.AddCert(parsed)
	assert.True(t, only.Equal(e.tls.RootCAs))

	e = prod(without(all, "ca.pem")).resolve()
	assert.Nil(t, e.tls.RootCAs)
	assert.Len(t, e.tls.Certificates, 1)

	assert.Contains(t, prod(without(all, "key.pem")).fails(), "/docker/cert.pem: there is no key.pem beside it")
	assert.Contains(t, prod(without(all, "cert.pem")).fails(), "/docker/key.pem: there is no cert.pem beside it")
	assert.Nil(t, prod(nil).resolve().tls)
}

func TestContextThatSkipsVerification(t *testing.T) {
	s := around(t).context("prod", "tcp://prod", true).with(WithContext("prod"))
	e := s.resolve()
	assert.True(t, e.tls.InsecureSkipVerify)
	assert.Equal(t, "prod:2376", e.address)
}

func TestCertificatesThatDoNotWork(t *testing.T) {
	good, other := certificates(t), certificates(t)
	change := func(name, content string) map[string]string {
		files := without(good)
		files[name] = content
		return files
	}
	half := good["cert.pem"][:len(good["cert.pem"])/2]
	encrypted := "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00\n\naHVudGVyMg==\n-----END RSA PRIVATE KEY-----\n"
	broken := "-----BEGIN CERTIFICATE-----\naHVudGVyMg==\n-----END CERTIFICATE-----\n"
	for name, row := range map[string]struct {
		files map[string]string
		want  string
	}{
		"key of another certificate": {change("key.pem", other["key.pem"]), "/key.pem: no private key that belongs to "},
		"a certificate as key":       {change("key.pem", good["cert.pem"]), "/key.pem: no private key that belongs to "},
		"garbage as key":             {change("key.pem", "hunter2"), "/key.pem: no private key that belongs to "},
		"empty key":                  {change("key.pem", ""), "/key.pem: no private key that belongs to "},
		"encrypted key":              {change("key.pem", encrypted), "/key.pem: the key is encrypted"},
		"encrypted PKCS#8 key":       {change("key.pem", strings.ReplaceAll(good["key.pem"], "PRIVATE", "ENCRYPTED PRIVATE")), "/key.pem: the key is encrypted"},
		"half a certificate":         {change("cert.pem", half), "/cert.pem: no certificate in it"},
		"a key as certificate":       {change("cert.pem", good["key.pem"]), "/cert.pem: no certificate in it"},
		"damaged certificate":        {change("cert.pem", broken), "/cert.pem: certificate 1: "},
		"empty authority":            {change("ca.pem", ""), "/ca.pem: no certificate in it"},
		"damaged second authority":   {change("ca.pem", good["ca.pem"]+broken), "/ca.pem: certificate 2: "},
		"huge authority":             {change("ca.pem", strings.Repeat("x", 1<<20+1)), "/ca.pem: larger than"},
		"no key":                     {without(good, "key.pem"), "/cert.pem: there is no key.pem beside it"},
		"no certificate":             {without(good, "cert.pem"), "/key.pem: there is no cert.pem beside it"},
		"nothing":                    {nil, "DOCKER_CERT_PATH: neither ca.pem nor cert.pem in "},
	} {
		t.Run(name, func(t *testing.T) {
			dir := certPath(t, row.files)
			for _, verify := range []string{"", "1"} {
				message := around(t).set("DOCKER_HOST", "tcp://x").set("DOCKER_CERT_PATH", dir).set("DOCKER_TLS_VERIFY", verify).fails()
				assert.True(t, strings.HasPrefix(message, "DOCKER_CERT_PATH: "), message)
				assert.Contains(t, message, dir)
				assert.Contains(t, message, row.want)
				assert.NotContains(t, message, "hunter2")
				assert.NotContains(t, message, "aHVudGVyMg")
			}
			if row.files == nil {
				return
			}
			message := around(t).context("prod", "tcp://x", false).contextTLS("prod", row.files).with(WithContext("prod")).fails()
			assert.True(t, strings.HasPrefix(message, `WithContext: context "prod": `), message)
			assert.Contains(t, message, row.want[:strings.Index(row.want, ":")])
		})
	}
	s := around(t).set("DOCKER_HOST", "tcp://x").set("DOCKER_CERT_PATH", "/nowhere")
	assert.Equal(t, "DOCKER_CERT_PATH: neither ca.pem nor cert.pem in /nowhere", s.fails())
}

func TestTLSOfTheEnvironment(t *testing.T) {
	all := certificates(t)
	dir := certPath(t, all)
	for name, row := range map[string]struct {
		vars    map[string]string
		files   map[string]string // in the configuration folder
		address string
		trust   string // "", "system" or "ca"
		client  bool   // sends a certificate
	}{
		"nothing":                      {map[string]string{}, all, "x:2375", "", false},
		"certificates alone":           {map[string]string{"DOCKER_CERT_PATH": dir}, nil, "x:2376", "ca", true},
		"verify with certificates":     {map[string]string{"DOCKER_CERT_PATH": dir, "DOCKER_TLS_VERIFY": "1"}, nil, "x:2376", "ca", true},
		"DOCKER_TLS with certificates": {map[string]string{"DOCKER_CERT_PATH": dir, "DOCKER_TLS": "1"}, nil, "x:2376", "ca", true},
		"verify alone":                 {map[string]string{"DOCKER_TLS_VERIFY": "1"}, nil, "x:2376", "system", false},
		"DOCKER_TLS alone":             {map[string]string{"DOCKER_TLS": "1"}, nil, "x:2376", "system", false},
		"any value counts":             {map[string]string{"DOCKER_TLS_VERIFY": "0"}, nil, "x:2376", "system", false},
		"certificates of the folder":   {map[string]string{"DOCKER_TLS_VERIFY": "1"}, all, "x:2376", "ca", true},
		"authority of the folder":      {map[string]string{"DOCKER_TLS_VERIFY": "1"}, without(all, "cert.pem", "key.pem"), "x:2376", "ca", false},
		"no authority":                 {map[string]string{"DOCKER_TLS": "yes"}, without(all, "ca.pem"), "x:2376", "system", true},
		"path before folder":           {map[string]string{"DOCKER_TLS_VERIFY": "1", "DOCKER_CERT_PATH": dir}, map[string]string{"ca.pem": "x"}, "x:2376", "ca", true},
		"an empty path is none":        {map[string]string{"DOCKER_CERT_PATH": ""}, all, "x:2375", "", false},
	} {
		t.Run(name, func(t *testing.T) {
			s := around(t).set("DOCKER_HOST", "tcp://x")
			for name, value := range row.vars {
				s.set(name, value)
			}
			for name, content := range row.files {
				s.file(name, content)
			}
			e := s.resolve()
			assert.Equal(t, row.address, e.address)
			if row.trust == "" {
				assert.Nil(t, e.tls)
				return
			}
			require.NotNil(t, e.tls)
			assert.False(t, e.tls.InsecureSkipVerify)
			assert.Equal(t, uint16(tls.VersionTLS12), e.tls.MinVersion)
			assert.Equal(t, "x", e.tls.ServerName)
			assert.Equal(t, row.trust == "system", e.tls.RootCAs == nil)
			assert.Equal(t, row.client, len(e.tls.Certificates) == 1)
		})
	}
}

func TestSocketsNeedNoCertificates(t *testing.T) {
	for host, scheme := range map[string]string{"unix:///x.sock": "unix", "ssh://x": "ssh"} {
		e := around(t).set("DOCKER_HOST", host).set("DOCKER_TLS_VERIFY", "1").set("DOCKER_CERT_PATH", "/nowhere").resolve()
		assert.Equal(t, scheme, e.scheme)
		assert.Nil(t, e.tls)
	}
	e := around(t).set("DOCKER_CERT_PATH", "/nowhere").resolve()
	assert.Equal(t, "unix", e.scheme)
}

func TestTLSOfTheEnvironmentMovesTheDefaultHost(t *testing.T) {
	for _, goos := range []string{"linux", "windows"} {
		s := around(t).set("DOCKER_TLS_VERIFY", "1")
		s.goos = goos
		e := s.resolve()
		assert.Equal(t, "localhost:2376", e.address)
		assert.Equal(t, "localhost", e.tls.ServerName)
	}
}

func TestWithTLS(t *testing.T) {
	own := &tls.Config{ServerName: "other", MinVersion: tls.VersionTLS10}
	e := around(t).with(WithHost("tcp://x"), WithTLS(own)).resolve()
	assert.Equal(t, "x:2376", e.address)
	assert.Equal(t, "other", e.tls.ServerName)
	assert.Equal(t, uint16(tls.VersionTLS12), e.tls.MinVersion)
	assert.Equal(t, uint16(tls.VersionTLS10), own.MinVersion, "the caller's configuration is not touched")

	e = around(t).with(WithHost("https://x:1"), WithTLS(&tls.Config{MinVersion: tls.VersionTLS13})).resolve()
	assert.Equal(t, uint16(tls.VersionTLS13), e.tls.MinVersion)

	// It replaces what the environment and contexts name, unread.
	e = around(t).set("DOCKER_HOST", "tcp://x").set("DOCKER_CERT_PATH", "/nowhere").with(WithTLS(own)).resolve()
	assert.Equal(t, "other", e.tls.ServerName)
	e = around(t).context("prod", "tcp://x", true).contextTLS("prod", map[string]string{"ca.pem": "x"}).
		with(WithContext("prod"), WithTLS(own)).resolve()
	assert.False(t, e.tls.InsecureSkipVerify)

	for _, host := range []string{"unix:///x", "ssh://x"} {
		message := around(t).with(WithHost(host), WithTLS(own)).fails()
		assert.True(t, strings.HasPrefix(message, "WithTLS: "), message)
		assert.Contains(t, message, host)
	}
	assert.Contains(t, around(t).with(WithTLS(own)).fails(), "WithTLS: ")
	assert.Equal(t, `WithTLS: TLS is asked for, but "http://x" is plain; write https:// or tcp://`,
		around(t).with(WithHost("http://x"), WithTLS(own)).fails())
	assert.Equal(t, "WithTLS: the newest TLS version allowed is older than 1.2",
		around(t).with(WithHost("tcp://x"), WithTLS(&tls.Config{MaxVersion: tls.VersionTLS11})).fails())
}

func TestPlainHTTPIsRefusedWhereTLSIsAskedFor(t *testing.T) {
	s := around(t).set("DOCKER_HOST", "http://x").set("DOCKER_TLS_VERIFY", "1")
	assert.Equal(t, `DOCKER_HOST: TLS is asked for, but "http://x" is plain; write https:// or tcp://`, s.fails())
	s = around(t).context("prod", "http://x", true).with(WithContext("prod"))
	assert.Contains(t, s.fails(), `context "prod": TLS is asked for, but "http://x" is plain`)
}

func TestCertificatesAreVerifiedForTheHost(t *testing.T) {
	for host, name := range map[string]string{
		"https://engine.example:1":     "engine.example",
		"https://engine.example.":      "engine.example",
		"https://10.0.0.1":             "10.0.0.1",
		"https://[fd00::1]:1":          "fd00::1",
		"https://[fe80::1%25eth0]:1/x": "fe80::1",
	} {
		assert.Equal(t, name, around(t).with(WithHost(host)).resolve().tls.ServerName)
	}
}

func TestVerificationIsSkippedWhenAskedTo(t *testing.T) {
	assert.True(t, around(t).with(WithHost("https://x"), WithInsecureSkipVerify()).resolve().tls.InsecureSkipVerify)
	s := around(t).set("DOCKER_HOST", "tcp://x").set("DOCKER_TLS_VERIFY", "1").with(WithInsecureSkipVerify())
	assert.True(t, s.resolve().tls.InsecureSkipVerify)
}

func listen(t *testing.T, path string) {
	require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o700))
	listener, err := net.Listen("unix", path)
	require.NoError(t, err)
	t.Cleanup(func() { listener.Close() })
}

func TestDefaultSockets(t *testing.T) {
	s := around(t)
	system, rootless := filepath.Join(s.home, "system.sock"), filepath.Join(s.home, "run", "docker.sock")
	desktop, mac := filepath.Join(s.home, ".docker/desktop/docker.sock"), filepath.Join(s.home, ".docker/run/docker.sock")
	s.set("XDG_RUNTIME_DIR", filepath.Dir(rootless))

	assert.Equal(t, system, s.resolve().address, "nothing listens: the error should name the usual socket")
	require.NoError(t, os.MkdirAll(mac, 0o700))
	assert.Equal(t, system, s.resolve().address, "a folder is no socket")
	require.NoError(t, os.Remove(mac))
	for _, path := range []string{desktop, mac, rootless, system} { // each goes before the ones so far
		listen(t, path)
		e := s.resolve()
		assert.Equal(t, path, e.address)
		assert.Equal(t, "unix://"+path, e.host)
		assert.Equal(t, "default", e.source)
	}
	s.set("XDG_RUNTIME_DIR", "run")
	require.NoError(t, os.Remove(system))
	assert.Equal(t, mac, s.resolve().address, "XDG_RUNTIME_DIR must be absolute")
}

func TestDefaultSocketThatCannotBeLookedAtIsTaken(t *testing.T) {
	s := around(t)
	listen(t, filepath.Join(s.home, ".docker/run/docker.sock"))
	system := filepath.Join(s.home, "system.sock")
	require.NoError(t, os.Symlink(system, system))
	assert.Equal(t, system, s.resolve().address)
}

func TestWindowsPipes(t *testing.T) {
	s := around(t)
	s.goos = "windows"
	e := s.resolve()
	assert.Equal(t, "npipe", e.scheme)
	assert.Equal(t, "//./pipe/docker_engine", e.address)
	assert.Equal(t, "npipe:////./pipe/docker_engine", e.host)
	s.with(WithHost("npipe:////server/pipe/own engine"))
	assert.Equal(t, "//server/pipe/own engine", s.resolve().address)
	for _, host := range []string{"npipe://x", "npipe:////./pipe/", "npipe:////./x/y", "npipe:////./pipe/a/b"} {
		s.with(WithHost(host))
		assert.Contains(t, s.fails(), "WithHost: no pipe")
	}
}

func TestAPIVersionOfTheEnvironment(t *testing.T) {
	resolve := func(s *surroundings) string {
		c := s.config()
		_, err := resolveEndpoint(c)
		require.NoError(t, err)
		return c.apiVersion
	}
	assert.Equal(t, "1.41", resolve(around(t).set("DOCKER_API_VERSION", "1.41")))
	assert.Equal(t, "1.41", resolve(around(t).set("DOCKER_API_VERSION", "v1.41")))
	assert.Equal(t, "", resolve(around(t).set("DOCKER_API_VERSION", "")))
	assert.Equal(t, "1.45", resolve(around(t).set("DOCKER_API_VERSION", "1.41").with(WithAPIVersion("1.45"))))
	assert.Equal(t, "1.41", resolve(around(t).set("DOCKER_API_VERSION", "1.41").context("prod", "tcp://x", false).with(WithContext("prod"))))
	for _, version := range []string{"abc", "1", "1.x", "-1.41", "1.41/..", "1.23", "0.0", strings.Repeat("1", 10_000)} {
		message := around(t).set("DOCKER_API_VERSION", version).fails()
		assert.True(t, strings.HasPrefix(message, "DOCKER_API_VERSION: "), message)
		assert.Less(t, len(message), 200)
	}
}

// FuzzHost checks what everything behind resolveEndpoint relies on: an address
// has no more than one meaning, and no error shows what could be a secret.
func FuzzHost(f *testing.F) {
	for _, host := range []string{"unix:///var/run/docker.sock", "tcp://127.0.0.1:2375/a", "https://[::1%25lo]:1", "ssh://me@h:22/x",
		"npipe:////./pipe/docker_engine", "host:2375", "tcp://user:secret@h", "gopher://x", "tcp://h\x00", "bücher://ü", "a@b://c?d#e"} {
		f.Add(host)
	}
	f.Fuzz(func(t *testing.T, host string) {
		for _, goos := range []string{"linux", "windows"} {
			at, err := parseHost(host, goos)
			if err != nil {
				assert.Less(t, len(err.Error()), 1000)
				assert.True(t, utf8.ValidString(err.Error()))
				assert.False(t, strings.ContainsFunc(err.Error(), unicode.IsControl))
				continue
			}
			checkLocation(t, at)
		}
	})
}

func checkLocation(t *testing.T, at location) {
	address := at.address(false)
	assert.False(t, strings.ContainsFunc(address+at.path, unicode.IsControl))
	switch at.scheme {
	case "tcp", "http", "https":
		name, port, err := net.SplitHostPort(address)
		require.NoError(t, err)
		assert.NotEmpty(t, name)
		assert.True(t, validPort(port))
		parsed, err := url.Parse("http://" + strings.ReplaceAll(address, "%", "%25") + at.path + "/v1.41/x")
		require.NoError(t, err)
		assert.Equal(t, name, parsed.Hostname())
		assert.Equal(t, port, parsed.Port())
		assert.Equal(t, at.path+"/v1.41/x", parsed.Path)
		assert.Nil(t, parsed.User)
	case "ssh":
		assert.NotEqual(t, byte('-'), address[0])
		assert.NotEqual(t, byte('-'), at.name[0])
		assert.NotContains(t, address+at.path, " ")
	case "unix":
		assert.True(t, strings.HasPrefix(address, "/"))
	case "npipe":
		assert.True(t, strings.HasPrefix(address, "//"))
	default:
		t.Errorf("scheme %q", at.scheme)
	}
}
