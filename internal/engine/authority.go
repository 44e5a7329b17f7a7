package engine

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"math/big"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/swarm-go/swarm"
)

// newAuthority makes the certificate of a root that nodes trust. Nothing is signed
// with its key, which is forgotten.
func newAuthority(random *rand.Rand, now time.Time) (swarm.TLSInfo, error) {
	key, err := newKey(random)
	if err != nil {
		return swarm.TLSInfo{}, fmt.Errorf("embedded engine: make a key: %w", err)
	}
	begin := now.Add(-5 * time.Minute).Truncate(time.Minute)
	root := &x509.Certificate{
		SerialNumber:          new(big.Int).SetBytes(randomBytes(random, 16)),
		Subject:               pkix.Name{CommonName: "swarm-ca"},
		NotBefore:             begin,
		NotAfter:              begin.Add(20 * 365 * 24 * time.Hour),
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		BasicConstraintsValid: true,
		IsCA:                  true,
	}
	// Without a source of randomness the signature follows from key and text.
	der, err := x509.CreateCertificate(nil, root, root, &key.PublicKey, key)
	if err != nil {
		return swarm.TLSInfo{}, fmt.Errorf("embedded engine: make a root certificate: %w", err)
	}
	return tlsInfo(der)
}

func tlsInfo(der []byte) (swarm.TLSInfo, error) {
	root, err := x509.ParseCertificate(der)
	if err != nil {
		return swarm.TLSInfo{}, fmt.Errorf("embedded engine: read a root certificate: %w", err)
	}
	return swarm.TLSInfo{
		TrustRoot:           string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})),
		CertIssuerSubject:   root.RawSubject,
		CertIssuerPublicKey: root.RawSubjectPublicKeyInfo,
	}, nil
}

// newKey is a key that follows from the random numbers alone.
func newKey(random *rand.Rand) (*ecdsa.PrivateKey, error) {
	scalar := randomBytes(random, 32)
	scalar[0] = 1 // less than the order of the curve, and not zero
	return ecdsa.ParseRawPrivateKey(elliptic.P256(), scalar)
}

func randomBytes(random *rand.Rand, n int) []byte {
	bytes := make([]byte, n)
	for i := range bytes {
		bytes[i] = byte(random.Uint32())
	}
	return bytes
}

// Join tokens are made of a prefix, the digest of the root and a secret, both in
// the digits 0 to z.
const (
	tokenPrefix  = "SWMTKN-1-"
	tokenDigest  = 50
	tokenSecret  = 25
	keyPrefix    = "SWMKEY-1-"
	unlockKeyLen = 32
)

// newToken is a join token for a root.
func newToken(random *rand.Rand, root swarm.TLSInfo) string {
	return tokenPrefix + rootDigest(root) + "-" + base36(randomBytes(random, 16), tokenSecret)
}

func rootDigest(root swarm.TLSInfo) string {
	digest := sha256.Sum256([]byte(root.TrustRoot))
	return base36(digest[:], tokenDigest)
}

func base36(bytes []byte, length int) string {
	return fmt.Sprintf("%0*s", length, new(big.Int).SetBytes(bytes).Text(36))
}

// parseToken is the digest and the secret of a join token.
func parseToken(token string) (digest, secret string, ok bool) {
	rest, found := strings.CutPrefix(token, tokenPrefix)
	digest, secret, _ = strings.Cut(rest, "-")
	return digest, secret, found && len(digest) == tokenDigest && len(secret) == tokenSecret
}

// newUnlockKey is a key that managers ask for after a restart.
func newUnlockKey(random *rand.Rand) string {
	return keyPrefix + base64.RawStdEncoding.EncodeToString(randomBytes(random, unlockKeyLen))
}

// isUnlockKey reports whether a text has the form of such a key.
func isUnlockKey(text string) bool {
	rest, found := strings.CutPrefix(text, keyPrefix)
	_, err := base64.RawStdEncoding.DecodeString(rest)
	return found && err == nil
}

// rotationTime is how long it takes to give all nodes a new root. Real engines need
// seconds.
const rotationTime = 50 * time.Millisecond

// nextRoot is the root that a swarm shall have according to a changed spec, nil
// if it stays as it is.
func (c *Cluster) nextRoot(changed *swarm.Cluster) (*swarm.TLSInfo, error) {
	config := &changed.Spec.CAConfig
	cert, key := config.SigningCACert, config.SigningCAKey
	config.SigningCACert, config.SigningCAKey = "", "" // which no answer ever holds
	switch {
	case cert == "" && key != "":
		return nil, invalid("if a signing CA key is provided, the signing CA cert must also be provided")
	case cert == "" && config.ForceRotate == c.object.Spec.CAConfig.ForceRotate:
		return nil, nil
	case cert == "":
		root, err := newAuthority(c.world.rand, c.world.now())
		return &root, err
	}
	block, rest := pem.Decode([]byte(cert))
	if block == nil {
		return nil, invalid("could not parse the desired CA certificate")
	}
	if more, _ := pem.Decode(rest); more != nil {
		return nil, invalid("the desired CA certificate cannot contain multiple certificates")
	}
	root, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return nil, invalid("could not parse the desired CA certificate")
	}
	if root.NotAfter.Before(c.world.now().AddDate(1, 0, 0)) {
		return nil, invalid("CA certificate expires too soon")
	}
	if key == "" {
		return nil, invalid("there must be at least one valid, reachable external CA corresponding to the desired CA certificate")
	}
	if _, err := tls.X509KeyPair([]byte(cert), []byte(key)); err != nil {
		return nil, invalid("%v", err)
	}
	next, err := tlsInfo(block.Bytes)
	if err != nil || next.TrustRoot == changed.TLSInfo.TrustRoot {
		return nil, err
	}
	return &next, nil
}

// rotateRoot gives a new root to all nodes, after the time that takes, and then
// to the swarm, unless a newer root has come in between.
func (c *Cluster) rotateRoot(next swarm.TLSInfo) {
	c.rotations++
	number := c.rotations
	c.world.after(rotationTime, func() {
		if number != c.rotations {
			return
		}
		c.commit(func(t *tx) {
			for _, node := range c.nodes.all() {
				renewed := *node
				renewed.Description.TLSInfo = next
				put(t, c.nodes, &renewed)
			}
			changed := *c.object
			changed.TLSInfo, changed.RootRotationInProgress = next, false
			changed.JoinTokens.Worker = newToken(c.world.rand, next)
			changed.JoinTokens.Manager = newToken(c.world.rand, next)
			c.putObject(t, &changed)
		})
		for _, d := range c.world.daemons {
			if d.cluster == c && d.nodeID != c.leader { // whose new certificate makes a new session
				d.muteLogs()
			}
		}
	})
}
