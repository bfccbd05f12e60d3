package monitor

import (
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"

	"go.uber.org/zap"
)

// contentPolicy allows what asynqmon's page is made of: its own scripts, an
// inline one, and a font from Google, without which it still works.
const contentPolicy = "default-src 'self'; script-src 'self' 'unsafe-inline'; " +
	"style-src 'self' 'unsafe-inline' https://fonts.googleapis.com; " +
	"font-src https://fonts.gstatic.com; img-src 'self' data:; " +
	"object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"

// guard keeps other sites from using an operator's browser against next.
func guard(next http.Handler, hosts []string, log *zap.Logger) http.Handler {
	var sites http.CrossOriginProtection
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", contentPolicy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		if name := hostName(r.Host); !allowed(name, hosts) {
			refuse(w, r, log, fmt.Sprintf("host name %q is not allowed: "+
				"use localhost or the IP address, or allow the name with --admin-host", name))
			return
		}
		if err := sites.Check(r); err != nil {
			refuse(w, r, log, "actions from other sites are not allowed")
			return
		}
		if isAction(r) {
			log.Info("monitor action", requestFields(r)...)
		}
		next.ServeHTTP(w, r)
	})
}

func refuse(w http.ResponseWriter, r *http.Request, log *zap.Logger, reason string) {
	log.Warn("monitor request refused", append(requestFields(r), zap.String("reason", reason))...)
	http.Error(w, reason, http.StatusForbidden)
}

func isAction(r *http.Request) bool {
	return !slices.Contains([]string{http.MethodGet, http.MethodHead, http.MethodOptions}, r.Method)
}

func requestFields(r *http.Request) []zap.Field {
	return []zap.Field{
		zap.String("method", r.Method),
		zap.String("path", r.URL.Path),
		zap.String("remote_addr", r.RemoteAddr),
	}
}

// allowed tells whether a name cannot have been pointed here by another site,
// or is known to be ours. For an address, the browser asked for that very one.
func allowed(name string, hosts []string) bool {
	if _, err := netip.ParseAddr(name); err == nil {
		return true
	}
	if name == "localhost" || strings.HasSuffix(name, ".localhost") {
		return true
	}
	return slices.ContainsFunc(hosts, func(h string) bool {
		return h == "*" || name != "" && strings.EqualFold(h, name)
	})
}

// hostName takes the port and the dot of a full name off.
func hostName(hostPort string) string {
	host, _, err := net.SplitHostPort(hostPort)
	if err != nil {
		host = strings.TrimSuffix(strings.TrimPrefix(hostPort, "["), "]")
	}
	return strings.ToLower(strings.TrimSuffix(host, "."))
}
