// A forward proxy as one writes it with Go's standard library, to measure
// beside the module: https requests in absolute form by ReverseProxy, CONNECT
// by Hijack and two copies.
//
//	forward_go -tls ADDRESS -plain ADDRESS -cert FILE -key FILE -ca FILE TARGET...
package main

import (
	"crypto/tls"
	"crypto/x509"
	"flag"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"os"
	"sync"
	"time"

	"bench/pool"
)

type proxy struct {
	allowed map[string]bool
	reverse *httputil.ReverseProxy
}

func (p *proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	target := r.URL.Host
	if r.Method == http.MethodConnect {
		target = r.Host
	}

	if target == "" {
		http.Error(w, "this is a forward proxy", http.StatusBadRequest)
		return
	}

	if !p.allowed[target] {
		http.Error(w, target+" is not allowed", http.StatusForbidden)
		return
	}

	if r.Method == http.MethodConnect {
		connect(w, target)
		return
	}

	p.reverse.ServeHTTP(w, r)
}

func connect(w http.ResponseWriter, target string) {
	server, err := net.DialTimeout("tcp", target, 5*time.Second)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	defer server.Close()

	client, buffered, err := w.(http.Hijacker).Hijack()
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	defer client.Close()

	if _, err := io.WriteString(client, "HTTP/1.1 200 OK\r\n\r\n"); err != nil {
		return
	}

	// what the client sent early

	if n := buffered.Reader.Buffered(); n > 0 {
		if _, err := io.CopyN(server, buffered, int64(n)); err != nil {
			return
		}
	}

	var both sync.WaitGroup
	both.Add(2)

	go func() {
		defer both.Done()
		copyTo(server, client)
	}()

	go func() {
		defer both.Done()
		copyTo(client, server)
	}()

	both.Wait()
}

// copyTo ends the other direction's half as its own ends.
func copyTo(to, from net.Conn) {
	io.Copy(to, from)

	if half, ok := to.(interface{ CloseWrite() error }); ok {
		half.CloseWrite()
	}
}

func reverse(roots *x509.CertPool) *httputil.ReverseProxy {
	return &httputil.ReverseProxy{
		Director:   func(r *http.Request) { r.URL.Scheme = "https" },
		BufferPool: pool.New(),
		Transport: &http.Transport{
			TLSClientConfig: &tls.Config{
				RootCAs:    roots,
				MinVersion: tls.VersionTLS13,
			},
			MaxIdleConnsPerHost: 1024,
			IdleConnTimeout:     10 * time.Minute,
			DisableCompression:  true,
		},
	}
}

func main() {
	secure := flag.String("tls", "", "address to serve TLS on")
	plain := flag.String("plain", "", "address to serve without")
	cert := flag.String("cert", "", "certificate")
	key := flag.String("key", "", "its key")
	ca := flag.String("ca", "", "certificates that exporters' are signed by")
	flag.Parse()

	pem, err := os.ReadFile(*ca)
	if err != nil {
		log.Fatal(err)
	}

	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)

	p := &proxy{allowed: map[string]bool{}, reverse: reverse(roots)}

	for _, target := range flag.Args() {
		p.allowed[target] = true
	}

	server := &http.Server{
		Handler: p,
		TLSConfig: &tls.Config{
			MinVersion: tls.VersionTLS13,
			NextProtos: []string{"http/1.1"},
		},
		TLSNextProto: map[string]func(*http.Server, *tls.Conn, http.Handler){},
	}

	if *plain != "" {
		listener, err := net.Listen("tcp", *plain)
		if err != nil {
			log.Fatal(err)
		}
		go server.Serve(listener)
	}

	listener, err := net.Listen("tcp", *secure)
	if err != nil {
		log.Fatal(err)
	}

	log.Fatal(server.ServeTLS(listener, *cert, *key))
}
