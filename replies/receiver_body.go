package replies

import (
	"encoding/hex"
	"errors"
	"io"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
)

// firstRead is more than most notifications have, in bytes.
const firstRead = 16 << 10

// errNoMemory is a body for which there is no room at the moment.
var errNoMemory = errors.New("too many bytes of bodies are held")

// memory bounds the bytes that bodies take together. It counts what has come,
// not what a request announces: to hold much of it, much has to be sent.
type memory struct{ left atomic.Int64 }

func (m *memory) take(n int64) bool {
	if m.left.Add(-n) >= 0 {
		return true
	}
	m.left.Add(n)
	return false
}

// body is a request's body as far as it was read. It is not safe for concurrent
// use.
type body struct {
	bytes  []byte
	memory *memory
}

// read reads src to its end, of which it knows that it has at most limit bytes.
func (b *body) read(src io.Reader, limit int64) error {
	for {
		if len(b.bytes) == cap(b.bytes) {
			if err := b.grow(limit); err != nil {
				return err
			}
		}
		n, err := src.Read(b.bytes[len(b.bytes):cap(b.bytes)])
		b.bytes = b.bytes[:len(b.bytes)+n]
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// grow makes room, with a byte more than limit for the reader to say that it is
// at its end.
func (b *body) grow(limit int64) error {
	size := max(2*int64(cap(b.bytes)), firstRead)
	if 2*size > limit {
		size = limit + 1
	}
	if !b.memory.take(size) {
		return errNoMemory
	}
	larger := make([]byte, len(b.bytes), size)
	copy(larger, b.bytes)
	b.release()
	b.bytes = larger
	return nil
}

// release gives the memory back. The bytes must not be used any more.
func (b *body) release() {
	b.memory.left.Add(int64(cap(b.bytes)))
	b.bytes = nil
}

// unreadVerdict tells why a body could not be read to its end.
func unreadVerdict(err error) verdict {
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return verdictTooLarge
	}
	switch {
	case errors.Is(err, errNoMemory):
		v := verdictBusy.because(err)
		v.unread = true
		return v
	case errors.Is(err, os.ErrDeadlineExceeded):
		return verdictTooSlow
	}
	return verdictCutShort.because(err)
}

// isSignature tells whether the header could be the signature of any body.
func isSignature(header string) bool {
	const digits = 40 // of SHA-1
	given, ok := strings.CutPrefix(header, "sha1=")
	if !ok || len(given) != digits {
		return false
	}
	_, err := hex.DecodeString(given)
	return err == nil
}
