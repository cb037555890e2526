package cluster

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"
)

// LoadTLS makes Options.TLS of three files in PEM: this node's certificate, its key,
// and the authorities that sign the certificates of all nodes. A certificate must be
// good for servers and for clients, and for the host in the address of its node.
//
// When certificate and key are replaced, connections that are made afterwards use the
// new ones, without a restart. Replace each by a rename; while they do not match, or
// can't be loaded, the former pair is used, and slog.Default() has a warning, ever
// more seldom. The errors are those of reading the files, and of what is in them.
func LoadTLS(certFile, keyFile, caFile string) (*tls.Config, error) {
	pem, err := os.ReadFile(caFile)
	if err != nil {
		return nil, fmt.Errorf("cluster: reading the authorities: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("cluster: %s has no certificate in PEM: it must hold those of the authorities", caFile)
	}
	k := &keyPair{certFile: certFile, keyFile: keyFile}
	if _, err := k.get(); err != nil {
		return nil, fmt.Errorf("cluster: loading %s and %s: %w", certFile, keyFile, err)
	}
	return &tls.Config{
		MinVersion: tls.VersionTLS13, ClientAuth: tls.RequireAndVerifyClientCert,
		RootCAs: pool, ClientCAs: pool,
		GetCertificate:       func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return k.get() },
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return k.get() },
	}, nil
}

// A keyPair is a certificate in files, loaded again when they change.
type keyPair struct {
	certFile, keyFile string

	mu     sync.Mutex
	loaded *tls.Certificate
	stamp  [2]fileStamp
	said   reminder
}

type fileStamp struct {
	time time.Time
	size int64
}

// get returns the certificate, or the former one while the files do not match.
func (k *keyPair) get() (*tls.Certificate, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	var stamp [2]fileStamp
	for i, f := range []string{k.certFile, k.keyFile} {
		info, err := os.Stat(f)
		if err != nil {
			return k.former(err)
		}
		stamp[i] = fileStamp{info.ModTime(), info.Size()}
	}
	if k.loaded != nil && stamp == k.stamp {
		return k.loaded, nil
	}
	c, err := tls.LoadX509KeyPair(k.certFile, k.keyFile)
	if err != nil {
		return k.former(err)
	}
	k.loaded, k.stamp = &c, stamp
	return k.loaded, nil
}

// former returns the pair that was loaded before, if one was, and says so.
func (k *keyPair) former(err error) (*tls.Certificate, error) {
	if k.loaded == nil {
		return nil, err
	}
	if k.said.due(time.Now(), err.Error()) {
		slog.Warn("cluster: the certificate can't be loaded again; the former one is used, until it has expired", "cert", k.certFile, "key", k.keyFile, "error", err)
	}
	return k.loaded, nil
}
