package intercom

import (
	"crypto/hmac"
	"crypto/sha1" //nolint:gosec // Intercom signs with HMAC-SHA1 and nothing else
	"encoding/hex"
	"strings"
)

// SignatureHeader is the header in which Intercom signs a notification.
const SignatureHeader = "X-Hub-Signature"

const signaturePrefix = "sha1="

// Sign returns the signature of a webhook's body as Intercom puts it into
// SignatureHeader. The secret is the app's client secret.
func Sign(secret string, body []byte) string {
	return signaturePrefix + hex.EncodeToString(sum(secret, body))
}

// VerifySignature tells whether the header is the body's signature by one of
// the secrets; there are two while a secret is being changed. An empty secret
// matches nothing.
func VerifySignature(body []byte, header string, secrets ...string) bool {
	digits, ok := strings.CutPrefix(header, signaturePrefix)
	if !ok {
		return false
	}
	given, err := hex.DecodeString(digits)
	if err != nil {
		return false
	}
	for _, secret := range secrets {
		if secret != "" && hmac.Equal(given, sum(secret, body)) {
			return true
		}
	}
	return false
}

func sum(secret string, body []byte) []byte {
	h := hmac.New(sha1.New, []byte(secret))
	h.Write(body)
	return h.Sum(nil)
}
