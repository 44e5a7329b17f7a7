package dockerconfig

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// TLSFiles is the certificates found in one folder, by path; an empty path is
// a file that is not there.
type TLSFiles struct {
	CA   string // certificates to trust, and no others
	Cert string // the client's certificate, with Key
	Key  string // the client's private key, not encrypted
}

// FindTLS looks for ca.pem, cert.pem and key.pem in dir, which need not exist.
// A certificate without its key, or the other way round, is an error.
func FindTLS(dir string) (TLSFiles, error) {
	var found TLSFiles
	for _, file := range []struct {
		name string
		path *string
	}{{"ca.pem", &found.CA}, {"cert.pem", &found.Cert}, {"key.pem", &found.Key}} {
		path := filepath.Join(dir, file.name)
		_, err := os.Stat(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return TLSFiles{}, pathError(path, err)
		}
		*file.path = path
	}
	if found.Cert != "" && found.Key == "" {
		return TLSFiles{}, fmt.Errorf("%s: there is no key.pem beside it", found.Cert)
	}
	if found.Key != "" && found.Cert == "" {
		return TLSFiles{}, fmt.Errorf("%s: there is no cert.pem beside it", found.Key)
	}
	return found, nil
}

// Empty says that no file was found.
func (f TLSFiles) Empty() bool { return f == TLSFiles{} }

// Config reads the files. Without CA the system's roots are trusted.
func (f TLSFiles) Config() (*tls.Config, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if f.CA != "" {
		authorities, err := readCertificates(f.CA)
		if err != nil {
			return nil, err
		}
		config.RootCAs = x509.NewCertPool()
		for _, authority := range authorities {
			config.RootCAs.AddCert(authority)
		}
	}
	if f.Cert != "" {
		pair, err := readPair(f.Cert, f.Key)
		if err != nil {
			return nil, err
		}
		config.Certificates = []tls.Certificate{pair}
	}
	return config, nil
}

// readCertificates is strict where x509.CertPool is not: a certificate that
// cannot be parsed is an error, not left out.
func readCertificates(path string) ([]*x509.Certificate, error) {
	rest, err := readFile(path)
	if err != nil {
		return nil, err
	}
	var certificates []*x509.Certificate
	for {
		var block *pem.Block
		block, rest = pem.Decode(rest)
		if block == nil {
			break
		}
		if block.Type != "CERTIFICATE" {
			continue
		}
		certificate, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("%s: certificate %d: %w", path, len(certificates)+1, err)
		}
		certificates = append(certificates, certificate)
	}
	if len(certificates) == 0 {
		return nil, fmt.Errorf("%s: no certificate in it", path)
	}
	return certificates, nil
}

func readPair(certPath, keyPath string) (tls.Certificate, error) {
	if _, err := readCertificates(certPath); err != nil {
		return tls.Certificate{}, err
	}
	cert, err := readFile(certPath)
	if err != nil {
		return tls.Certificate{}, err
	}
	key, err := readFile(keyPath)
	if err != nil {
		return tls.Certificate{}, err
	}
	if encrypted(key) {
		return tls.Certificate{}, fmt.Errorf("%s: the key is encrypted, which is not supported", keyPath)
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil { // not wrapped: it quotes lines of the key's file
		return tls.Certificate{}, fmt.Errorf("%s: no private key that belongs to %s", keyPath, certPath)
	}
	return pair, nil
}

func encrypted(key []byte) bool {
	for {
		var block *pem.Block
		block, key = pem.Decode(key)
		if block == nil {
			return false
		}
		if block.Type == "ENCRYPTED PRIVATE KEY" || strings.Contains(block.Headers["Proc-Type"], "ENCRYPTED") {
			return true
		}
	}
}
