package intercomtest

import (
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
)

// view is a conversation as search sees it.
type view struct {
	c     *conversation
	state conversationState
	days  bool
}

// fieldKind decides which operators a field takes, and which values.
type fieldKind int

const (
	stringField fieldKind = iota
	wordsField
	dateField
	boolField
)

// searchField is a field that can be searched. get returns its values: several
// for a list, none where it is null.
type searchField struct {
	kind fieldKind
	get  func(view) []string
}

func one(s string) []string { return []string{s} }

func date(t time.Time) []string {
	if t.IsZero() {
		return nil
	}
	return one(strconv.FormatInt(t.Unix(), 10))
}

// searchFields are the documented fields that something can be in here.
var searchFields = map[string]searchField{
	"id":                                {stringField, func(v view) []string { return one(v.c.id) }},
	"created_at":                        {dateField, func(v view) []string { return date(v.c.createdAt) }},
	"updated_at":                        {dateField, func(v view) []string { return date(v.state.updatedAt) }},
	"source.id":                         {stringField, func(v view) []string { return one(v.c.message.ID) }},
	"source.type":                       {stringField, func(v view) []string { return one(sourceTypes[v.c.message.MessageType]) }},
	"source.delivered_as":               {stringField, func(view) []string { return one(deliveredAs) }},
	"source.subject":                    {stringField, func(v view) []string { return one(v.c.message.Subject) }},
	"source.body":                       {wordsField, func(v view) []string { return words(v.c.message.Body) }},
	"source.author.id":                  {stringField, func(v view) []string { return one(v.c.message.admin.ID) }},
	"source.author.type":                {stringField, func(view) []string { return one("admin") }},
	"source.author.name":                {stringField, func(v view) []string { return one(v.c.message.admin.Name) }},
	"source.author.email":               {stringField, func(v view) []string { return one(v.c.message.admin.Email) }},
	"contact_ids":                       {stringField, contactIDs},
	"open":                              {boolField, func(view) []string { return one("true") }},
	"read":                              {boolField, func(view) []string { return one("false") }},
	"state":                             {stringField, func(view) []string { return one("open") }},
	"statistics.last_contact_reply_at":  {dateField, func(v view) []string { return date(v.state.lastReply) }},
	"statistics.first_contact_reply_at": {dateField, func(v view) []string { return date(v.state.firstReply) }},
}

func contactIDs(v view) []string {
	found := v.c.message.contacts()
	ids := make([]string, 0, len(found))
	for _, c := range found {
		ids = append(ids, c.ID)
	}
	return ids
}

// operators are those that a kind of field takes.
var operators = map[fieldKind][]string{
	stringField: {"=", "!=", "IN", "NIN", "~", "!~", "^", "$"},
	wordsField:  {"=", "!=", "IN", "NIN", "~", "!~", "^", "$"},
	dateField:   {"=", "!=", "IN", "NIN", ">", "<"},
	boolField:   {"=", "!=", "IN", "NIN"},
}

// filter is one field compared with one value, or with several for IN and NIN.
type filter struct {
	name     string
	field    searchField
	operator string
	values   []string
}

func decodeFilter(doc object) (predicate, *failure) {
	d := decoder{doc: doc}
	f := filter{name: read[string](&d, "field"), operator: read[string](&d, "operator")}
	if d.fail != nil {
		return nil, d.fail
	}
	var ok bool
	if f.field, ok = searchFields[f.name]; !ok {
		return nil, badRequest("invalid_field", "Field is not searchable: "+f.name, "field")
	}
	if !slices.Contains(operators[f.field.kind], f.operator) {
		return nil, badRequest("invalid_operator", "Operator is not valid for "+f.name+": "+f.operator, "operator")
	}
	raws := []json.RawMessage{doc["value"]}
	if f.operator == "IN" || f.operator == "NIN" {
		raws = nil
		if json.Unmarshal(doc["value"], &raws) != nil || raws == nil {
			return nil, badRequest("invalid_value", "Value of "+f.operator+" must be an array", "value")
		}
	}
	for _, raw := range raws {
		v, ok := f.field.kind.value(raw)
		if !ok {
			return nil, badRequest("invalid_value", "Value has the wrong type for "+f.name, "value")
		}
		f.values = append(f.values, v)
	}
	return f, nil
}

// value reads a value that a field of the kind can be compared with.
func (k fieldKind) value(raw json.RawMessage) (string, bool) {
	var text string
	isText := json.Unmarshal(raw, &text) == nil && len(raw) > 0 && raw[0] == '"'
	switch k {
	case boolField:
		s := string(raw)
		return s, s == "true" || s == "false"
	case dateField:
		if !isText {
			text = string(raw)
		}
		n, err := strconv.ParseInt(text, 10, 64)
		return strconv.FormatInt(n, 10), err == nil
	case wordsField:
		return strings.ToLower(text), isText
	case stringField:
	}
	return text, isText
}

func (f filter) match(v view) bool {
	if f.field.kind == dateField {
		return f.matchDate(v)
	}
	have := f.field.get(v)
	if f.field.kind == wordsField && (f.operator == "~" || f.operator == "!~") {
		have = one(strings.ToLower(plain(v.c.message.Body)))
	}
	return f.compare(have, func(have, want string) bool {
		switch f.operator {
		case "~", "!~":
			return strings.Contains(have, want)
		case "^":
			return strings.HasPrefix(have, want)
		case "$":
			return strings.HasSuffix(have, want)
		}
		return have == want
	})
}

// compare tells whether any pair fits, or for the operators that say no,
// whether none does.
func (f filter) compare(have []string, fits func(have, want string) bool) bool {
	negated := f.operator == "!=" || f.operator == "NIN" || f.operator == "!~"
	for _, h := range have {
		for _, w := range f.values {
			if fits(h, w) {
				return !negated
			}
		}
	}
	return negated
}

// matchDate compares seconds, where > and < include equality, or whole days,
// where they do not.
func (f filter) matchDate(v view) bool {
	return f.compare(f.field.get(v), func(have, want string) bool {
		// Both are digits: value and date made them.
		h, _ := strconv.ParseInt(have, 10, 64)
		w, _ := strconv.ParseInt(want, 10, 64)
		if v.days {
			const day = 24 * 60 * 60
			h, w = h/day, w/day
		}
		switch f.operator {
		case ">":
			return h > w || h == w && !v.days
		case "<":
			return h < w || h == w && !v.days
		}
		return h == w
	})
}

// candidates come from the indexes of ids.
func (f filter) candidates(cs *conversations) ([]*conversation, bool) {
	if f.operator != "=" && f.operator != "IN" {
		return nil, false
	}
	var found []*conversation
	for _, v := range f.values {
		switch f.name {
		case "id":
			found = appendFound(found, cs.byID[v])
		case "source.id":
			found = appendFound(found, cs.byMessage[v])
		case "contact_ids":
			found = append(found, cs.byContact[v]...)
		default:
			return nil, false
		}
	}
	return found, true
}

func appendFound(list []*conversation, c *conversation) []*conversation {
	if c == nil {
		return list
	}
	return append(list, c)
}

func isWordRune(r rune) bool { return unicode.IsLetter(r) || unicode.IsDigit(r) || r == '\'' }
