package ledger

// For the tests, which look at what Redis has.

// IndexBuckets returns the keys of the buckets that a message id may be in.
func IndexBuckets(workspace, messageID string) []string {
	coarse, fine := indexKeys(workspace, messageID)
	return []string{coarse, fine}
}

// IndexedKey returns the key that an entry of a bucket is about.
func IndexedKey(entry string) string {
	if entry == "" {
		return ""
	}
	return unpackKey(entry[indexHourBytes:])
}
