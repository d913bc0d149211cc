// A query proxy as one writes it with Go's standard library, to measure beside
// the module: a ReverseProxy that adds a header.
//
//	query_go -listen ADDRESS -token FILE [-ca FILE] URL
package main

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"flag"
	"io"
	"log"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"strings"
	"time"

	"bench/pool"
)

func main() {
	listen := flag.String("listen", "", "address to serve")
	token := flag.String("token", "", "file of the token")
	ca := flag.String("ca", "", "certificates that the remote's is signed by")
	flag.Parse()

	remote, err := url.Parse(flag.Arg(0))
	if err != nil {
		log.Fatal(err)
	}

	text, err := os.ReadFile(*token)
	if err != nil {
		log.Fatal(err)
	}

	authorization := "Bearer " + strings.TrimSpace(string(text))

	transport := &http.Transport{
		MaxIdleConnsPerHost: 1024,
		IdleConnTimeout:     10 * time.Minute,
		DisableCompression:  true,
	}

	if *ca != "" {
		pem, err := os.ReadFile(*ca)
		if err != nil {
			log.Fatal(err)
		}

		roots := x509.NewCertPool()
		roots.AppendCertsFromPEM(pem)
		transport.TLSClientConfig = &tls.Config{
			RootCAs:    roots,
			MinVersion: tls.VersionTLS13,
		}
	}

	proxy := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(remote)
			r.Out.Header.Set("Authorization", authorization)
		},
		BufferPool: pool.New(),
		Transport:  transport,
	}

	// A body is read before it is sent on, as this module does: one that streams
	// has ReverseProxy cut the answer, now and then, that comes early.

	log.Fatal(http.ListenAndServe(*listen, http.HandlerFunc(
		func(w http.ResponseWriter, r *http.Request) {
			if r.ContentLength > 0 {
				body, err := io.ReadAll(r.Body)
				if err != nil {
					return
				}
				r.Body = io.NopCloser(bytes.NewReader(body))
			}

			proxy.ServeHTTP(w, r)
		})))
}
