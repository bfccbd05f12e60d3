// Package redisconn turns the one Redis URL of the configuration into clients:
// a single server, with or without TLS, Sentinel, or a cluster. Both go-redis
// and asynq get the same clients from it, with the same timeouts.
//
// URLs are taken apart here instead of by net/url, which refuses a list of
// hosts, and whose errors quote the URL and with it the password.
package redisconn
