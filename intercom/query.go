package intercom

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
)

// Limits of Intercom's search.
const (
	// MaxFilters is how many filters or groups a group may hold.
	MaxFilters = 15
	// maxLevels is how deep groups may be nested.
	maxLevels = 2
)

// Operator compares a field with a value.
type Operator string

// The operators of Intercom's search. Greater and Less include equality, and
// are for dates and integers. In and NotIn take a slice.
const (
	Equal       Operator = "="
	NotEqual    Operator = "!="
	In          Operator = "IN"
	NotIn       Operator = "NIN"
	Greater     Operator = ">"
	Less        Operator = "<"
	Contains    Operator = "~"
	NotContains Operator = "!~"
	StartsWith  Operator = "^"
	EndsWith    Operator = "$"

	and Operator = "AND"
	or  Operator = "OR"
)

// Query is a filter, or a group of queries. Make one with [Filter], [And] and
// [Or].
type Query struct {
	field    string
	operator Operator
	value    any
	group    []Query
}

// Filter compares a conversation's field, such as "source.id", with a value: a
// string, a number, a boolean, or for In and NotIn a slice of them.
func Filter(field string, op Operator, value any) Query {
	return Query{field: field, operator: op, value: value}
}

// And finds what all of the queries find.
func And(queries ...Query) Query { return Query{operator: and, group: queries} }

// Or finds what any of the queries finds.
func Or(queries ...Query) Query { return Query{operator: or, group: queries} }

// MarshalJSON writes the query as Intercom reads it.
func (q Query) MarshalJSON() ([]byte, error) {
	if q.isGroup() {
		return json.Marshal(struct {
			Operator Operator `json:"operator"`
			Value    []Query  `json:"value"`
		}{q.operator, q.group})
	}
	return json.Marshal(struct {
		Field    string   `json:"field"`
		Operator Operator `json:"operator"`
		Value    any      `json:"value"`
	}{q.field, q.operator, q.value})
}

func (q Query) isGroup() bool { return q.operator == and || q.operator == or }

func (q Query) check(path string, level int) error {
	if !q.isGroup() {
		return q.checkFilter(path)
	}
	switch n := len(q.group); {
	case level > maxLevels:
		return &ValidationError{Field: path, Reason: fmt.Sprintf("is nested too deep: groups go %d levels deep", maxLevels)}
	case n == 0:
		return &ValidationError{Field: path, Reason: "is an empty group: give it a filter"}
	case n > MaxFilters:
		return &ValidationError{Field: path, Reason: fmt.Sprintf("holds %d filters and may hold %d: search several times", n, MaxFilters)}
	}
	for i, inner := range q.group {
		if err := inner.check(at(path+".value", i), level+1); err != nil {
			return err
		}
	}
	return nil
}

func (q Query) checkFilter(path string) error {
	known := []Operator{
		Equal, NotEqual, In, NotIn, Greater, Less, Contains, NotContains, StartsWith, EndsWith,
	}
	switch {
	case q.field == "":
		return &ValidationError{Field: path + ".field", Reason: "is required: make queries with Filter, And and Or"}
	case !slices.Contains(known, q.operator):
		return &ValidationError{Field: path + ".operator", Reason: "must be one of the package's operators"}
	case (q.operator == In || q.operator == NotIn) && !isList(q.value):
		return &ValidationError{Field: path + ".value", Reason: "must be a slice that is not empty for " + string(q.operator)}
	}
	return nil
}

func isList(v any) bool {
	r := reflect.ValueOf(v)
	return r.Kind() == reflect.Slice && r.Len() > 0
}
