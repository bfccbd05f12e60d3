package ledger

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"maps"
	"slices"
)

// What a record takes over from its task never changes, so it is kept in one
// field, in bytes: records of sent messages are kept for months. In this order:
//
//	flags, one byte
//	the priority as text, unless the flags have it
//	queued at, ms
//	the contacts: 12 bytes if it is one with an id of 24 hexadecimal digits
//	(flagOneContact), else one more than their number, 0 for nil, and each
//	the metadata, if there is any (flagMetadata): how many, and each key and value
//	the order key, if there is one (flagOrder)
//	sent at, ms after queued at; only there once it was sent
//
// Numbers are as in encoding/binary's Varint; texts have their length in front.
const (
	flagPriority   = 0b0011 // 1 to 3: one of packedPriorities, 0: as text
	flagOneContact = 0b0100
	flagMetadata   = 0b1000
	flagOrder      = 0b1_0000
	flagPassHeld   = 0b10_0000 // PassHeld
)

// packedPriorities are the names of the usual priorities by their flags, which
// are part of the format.
func packedPriorities() [4]string { return [4]string{1: "high", 2: "normal", 3: "bulk"} }

// packedPriority returns the flags of a priority, 0 for one that has none.
func packedPriority(priority string) (flags byte) {
	for n := byte(flagPriority); n > 0; n-- {
		if packedPriorities()[n] == priority {
			return n
		}
	}
	return 0
}

// contactBytes is the length of a contact's usual id, in bytes.
const contactBytes = 12

var errPacked = errors.New("its packed field is not valid")

// pack returns what a record takes over from the task.
func (t *Task) pack() []byte {
	b := append(make([]byte, 0, 32), packedPriority(t.Priority))
	if b[0] == 0 {
		b = appendText(b, t.Priority)
	}
	b = binary.AppendVarint(b, millis(t.QueuedAt))
	if len(t.ContactIDs) == 1 && isPlainHex(t.ContactIDs[0]) {
		b[0] |= flagOneContact
		b, _ = hex.AppendDecode(b, []byte(t.ContactIDs[0]))
	} else {
		b = appendContacts(b, t.ContactIDs)
	}
	if len(t.Metadata) > 0 {
		b[0] |= flagMetadata
		b = appendMetadata(b, t.Metadata)
	}
	if t.OrderKey != "" {
		b[0] |= flagOrder
		b = appendText(b, t.OrderKey)
	}
	if t.PassHeld {
		b[0] |= flagPassHeld
	}
	return b
}

func appendMetadata(b []byte, m map[string]string) []byte {
	b = binary.AppendVarint(b, int64(len(m)))
	for _, name := range slices.Sorted(maps.Keys(m)) {
		b = appendText(appendText(b, name), m[name])
	}
	return b
}

func appendContacts(b []byte, ids []string) []byte {
	if ids == nil {
		return binary.AppendVarint(b, 0)
	}
	b = binary.AppendVarint(b, int64(len(ids)+1))
	for _, id := range ids {
		b = appendText(b, id)
	}
	return b
}

// appendText appends a text, of which 24 hexadecimal digits take 13 bytes: their
// length is -1.
func appendText(b []byte, s string) []byte {
	if isPlainHex(s) {
		b, _ = hex.AppendDecode(binary.AppendVarint(b, -1), []byte(s))
		return b
	}
	return append(binary.AppendVarint(b, int64(len(s))), s...)
}

// isPlainHex tells whether a text is what hex.EncodeToString makes of 12 bytes.
func isPlainHex(s string) bool {
	if len(s) != 2*contactBytes {
		return false
	}
	for i := range len(s) {
		if !isHexDigit(s[i]) {
			return false
		}
	}
	return true
}

func isHexDigit(c byte) bool { return c >= '0' && c <= '9' || c >= 'a' && c <= 'f' }

// unpack reads the packed field into the record.
func (r *Record) unpack(packed string) error {
	u := unpacker{rest: []byte(packed)}
	flags := u.bytes(1)
	if u.bad {
		return errPacked
	}
	if n := flags[0] & flagPriority; n > 0 {
		r.Priority = packedPriorities()[n]
	} else {
		r.Priority = u.text()
	}
	queued := u.number()
	r.QueuedAt = fromMillis(queued)
	if flags[0]&flagOneContact != 0 {
		r.ContactIDs = []string{hex.EncodeToString(u.bytes(contactBytes))}
	} else {
		r.ContactIDs = u.contacts()
	}
	if flags[0]&flagMetadata != 0 {
		r.Metadata = u.metadata()
	}
	if flags[0]&flagOrder != 0 {
		r.OrderKey = u.text()
	}
	r.PassHeld = flags[0]&flagPassHeld != 0
	if len(u.rest) > 0 {
		r.SentAt = fromMillis(queued + u.number())
	}
	if u.bad || len(u.rest) > 0 {
		return errPacked
	}
	return nil
}

// unpacker reads nothing any more once something was bad.
type unpacker struct {
	rest []byte
	bad  bool
}

func (u *unpacker) bytes(n int64) []byte {
	if u.bad || n < 0 || n > int64(len(u.rest)) {
		u.bad = true
		return nil
	}
	b := u.rest[:n]
	u.rest = u.rest[n:]
	return b
}

func (u *unpacker) number() int64 {
	n, size := binary.Varint(u.rest)
	if u.bad || size <= 0 {
		u.bad = true
		return 0
	}
	u.rest = u.rest[size:]
	return n
}

func (u *unpacker) text() string {
	n := u.number()
	if n == -1 {
		return hex.EncodeToString(u.bytes(contactBytes))
	}
	return string(u.bytes(n))
}

func (u *unpacker) contacts() []string {
	n := u.number()
	if n <= 0 {
		u.bad = u.bad || n < 0
		return nil
	}
	ids := []string{}
	for range n - 1 {
		if u.bad {
			return nil
		}
		ids = append(ids, u.text())
	}
	return ids
}

func (u *unpacker) metadata() map[string]string {
	m := map[string]string{}
	for range u.number() {
		if u.bad {
			return nil
		}
		name := u.text()
		m[name] = u.text()
	}
	return m
}

// The index has keys that are UUIDs as 16 bytes behind a mark. A key that begins
// with either mark itself has the second one in front of it.
const (
	markUUID   = "\x00"
	markEscape = "\x01"
)

const (
	uuidLength = 36
	uuidBytes  = 16
)

// packKey returns a key as the index has it.
func packKey(key string) string {
	if isPlainUUID(key) {
		b := make([]byte, 0, len(markUUID)+uuidBytes)
		b = append(b, markUUID...)
		for _, part := range [...]string{key[:8], key[9:13], key[14:18], key[19:23], key[24:]} {
			b, _ = hex.AppendDecode(b, []byte(part))
		}
		return string(b)
	}
	if key != "" && (key[:1] == markUUID || key[:1] == markEscape) {
		return markEscape + key
	}
	return key
}

// isPlainUUID tells whether a key is a UUID as it is usually written: any other
// spelling would not come back as it was.
func isPlainUUID(key string) bool {
	if len(key) != uuidLength {
		return false
	}
	for i := range len(key) {
		dash := i == 8 || i == 13 || i == 18 || i == 23
		if dash != (key[i] == '-') || !dash && !isHexDigit(key[i]) {
			return false
		}
	}
	return true
}

// unpackKey is the reverse of packKey.
func unpackKey(packed string) string {
	switch {
	case packed == "":
		return ""
	case packed[:1] == markEscape:
		return packed[1:]
	case packed[:1] != markUUID || len(packed) != len(markUUID)+uuidBytes:
		return packed
	}
	x := hex.EncodeToString([]byte(packed[1:]))
	return x[:8] + "-" + x[8:12] + "-" + x[12:16] + "-" + x[16:20] + "-" + x[20:]
}
