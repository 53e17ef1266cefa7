package web

import (
	"errors"
	"net"
	"net/http"
	"strings"
)

// What a request is refused for.
var (
	errHost   = errors.New("refused: this server is not asked for by its address")
	errOrigin = errors.New("refused: another page asked")
)

// foreign reports why a request is none of a browser that was pointed here, or nil.
func (s *Server) foreign(r *http.Request) error {
	if !s.ownHost(r.Host) {
		return errHost
	}
	for _, origin := range r.Header.Values("Origin") {
		if origin != "http://"+r.Host {
			return errOrigin
		}
	}
	// Requests that carry no Origin, such as those for images, have this in all browsers
	// (Fetch Metadata). A link from elsewhere may lead here, but do nothing here.
	switch r.Header.Get("Sec-Fetch-Site") {
	case "", "same-origin", "none":
		return nil
	}
	if r.Header.Get("Sec-Fetch-Mode") == "navigate" && r.Header.Get("Sec-Fetch-Dest") == "document" && !saves(r.URL.Path) {
		return nil
	}
	return errOrigin
}

// ownHost reports whether a Host header is one of this server: its port, and an address,
// the host that it was told to take, or localhost. A name that somebody else bound to
// this machine's address is not.
func (s *Server) ownHost(hostport string) bool {
	host, port, err := net.SplitHostPort(hostport)
	if err != nil {
		host, port = strings.Trim(hostport, "[]"), "80"
	}
	_, own, err := net.SplitHostPort(s.listener.Addr().String())
	if err != nil || port != own {
		return false
	}
	if strings.EqualFold(host, s.host) {
		return true
	}
	ip := net.ParseIP(host)
	if s.Local() {
		return strings.EqualFold(host, "localhost") || ip.IsLoopback()
	}
	return ip != nil || strings.EqualFold(host, "localhost")
}
