// Package intercom is a client for the part of Intercom's REST API that
// message dispatch needs: creating messages, searching conversations and
// asking who a token belongs to. It imports nothing else of this module.
//
// The client never retries. Intercom has no idempotency keys, so whether a
// request may be sent again is the caller's decision, and every error says
// what the caller needs for it: [APIError] carries what Intercom answered,
// [TransportError] whether the request may have reached Intercom.
package intercom
