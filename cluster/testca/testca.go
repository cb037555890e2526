// Package testca makes certificates for clusters that are tried out: in tests, or on
// a developer's computer.
//
//	ca, err := testca.New(dir)
//	files, err := ca.Issue("a", "10.0.0.1")       // for node a, at that address
//	tls, err := cluster.LoadTLS(files.Cert, files.Key, files.CA)
//
// The key of its authority is in memory alone, so one process makes all certificates of a
// cluster. That, and certificates that nobody revokes, is not for production.
package testca

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"
)

// An Authority signs certificates. It may be used by several goroutines at once.
type Authority struct {
	dir  string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// Files are where a node's certificate is, for cluster.LoadTLS.
type Files struct{ Cert, Key, CA string }

// New makes an authority, whose certificate is written to dir/ca.pem. The directory
// must be there.
func New(dir string) (*Authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("testca: making a key: %w", err)
	}
	t := template("stateio test authority")
	t.IsCA, t.BasicConstraintsValid = true, true
	t.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature
	der, err := x509.CreateCertificate(rand.Reader, t, t, &key.PublicKey, key)
	if err != nil {
		return nil, fmt.Errorf("testca: making an authority: %w", err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("testca: making an authority: %w", err)
	}
	a := &Authority{dir, cert, key}
	return a, a.write("ca.pem", "CERTIFICATE", der)
}

// Issue makes a certificate for a node, which is good for the hosts: names, or
// addresses without port. It is written to files that begin with the node's name.
func (a *Authority) Issue(node string, hosts ...string) (Files, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return Files{}, fmt.Errorf("testca: making a key: %w", err)
	}
	t := template(node)
	t.KeyUsage = x509.KeyUsageDigitalSignature
	t.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}
	for _, h := range hosts {
		if ip := net.ParseIP(h); ip != nil {
			t.IPAddresses = append(t.IPAddresses, ip)
		} else {
			t.DNSNames = append(t.DNSNames, h)
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, t, a.cert, &key.PublicKey, a.key)
	if err != nil {
		return Files{}, fmt.Errorf("testca: signing the certificate of %s: %w", node, err)
	}
	keyDER, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return Files{}, fmt.Errorf("testca: encoding the key of %s: %w", node, err)
	}
	if err := a.write(node+".pem", "CERTIFICATE", der); err != nil {
		return Files{}, err
	}
	path := func(name string) string { return filepath.Join(a.dir, name) }
	return Files{path(node + ".pem"), path(node + ".key"), path("ca.pem")}, a.write(node+".key", "EC PRIVATE KEY", keyDER)
}

func template(name string) *x509.Certificate {
	serial, _ := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120)) // never fails
	return &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().AddDate(1, 0, 0),
	}
}

// write writes a file in PEM, and replaces one that is there at once.
func (a *Authority) write(name, kind string, der []byte) error {
	path := filepath.Join(a.dir, name)
	b := pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
	if err := os.WriteFile(path+".tmp", b, 0o600); err != nil {
		return fmt.Errorf("testca: %w", err)
	}
	if err := os.Rename(path+".tmp", path); err != nil {
		return fmt.Errorf("testca: %w", err)
	}
	return nil
}
